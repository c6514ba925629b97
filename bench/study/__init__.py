"""What a run is: its configuration, resolved into trials."""
