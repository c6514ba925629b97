"""Families of text-to-image transformers; each file holds only what differs from the shared base."""
