"""Rewards: what a finished 8-bit image is worth, one file each."""
