"""Tables of rewards: recorded rewards of the predicted images at each step of trajectories, and of final images."""
