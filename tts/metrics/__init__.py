"""Metrics of sets of images, and the extractors of their features."""
