"""Families of flows that draw prompts; each says what is its own, and no more."""
