"""Resolve a run's configuration into trials."""
