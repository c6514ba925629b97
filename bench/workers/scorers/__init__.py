"""Rewards that have processes of their own, for all engines."""
