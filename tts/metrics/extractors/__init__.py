"""Networks that look at images for the metrics: what a feature is a number of."""
