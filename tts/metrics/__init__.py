"""Metrics of sets of images, and what of an image they look at."""
