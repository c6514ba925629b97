"""Check what a machine can do, before a study is trusted to it."""
