"""Rewards that another process computes, behind a wire."""
