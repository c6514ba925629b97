"""Where else a run's numbers go: experiment trackers that others look at."""
