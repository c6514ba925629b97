"""A run's files: storage, schema, parts, manifest."""
