"""Who hands out trials: the driver, its queue, its writer, status and signals."""
