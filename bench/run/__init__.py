"""Hand out trials: the driver, its queue, its writer, status and signals."""
