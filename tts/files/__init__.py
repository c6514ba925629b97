"""Weights and other files: fetched, checked, staged and read as data."""
