"""Tables of rewards: what trajectories of a model predict at each step, and what their images are worth."""
