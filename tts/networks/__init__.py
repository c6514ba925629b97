"""Raw networks."""
