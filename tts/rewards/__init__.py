"""Rewards: numbers that judge a finished 8-bit image, one file each."""
