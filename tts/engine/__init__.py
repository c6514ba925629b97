"""Continuous batching on one device."""
