"""The harness: configuration, driver, engines on Ray, Parquet datasets, curves, plots and the command line."""
