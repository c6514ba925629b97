"""Networks that compute features of images for metrics."""
