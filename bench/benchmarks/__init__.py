"""Measure what the harness costs over the bare network, each ratio side by side."""
