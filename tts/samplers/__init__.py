"""Samplers: transitions from one noise level to the next, with the noise as an argument."""
