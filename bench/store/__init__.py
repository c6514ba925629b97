"""Where a run lies: storage, schema, parts, manifest."""
