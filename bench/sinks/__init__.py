"""Send a run's numbers to experiment trackers."""
