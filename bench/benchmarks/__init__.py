"""What the harness costs over the bare network, each ratio measured side by side."""
