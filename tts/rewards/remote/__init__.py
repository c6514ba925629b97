"""Rewards that another process computes, asked over HTTP."""
