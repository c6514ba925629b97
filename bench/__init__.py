"""The harness: configuration, driver, engines on Ray, Parquet datasets, curves, plots and the command line."""

import os

# Ray reads these when it is imported, and this comes before any module of ours that does so. Whoever joins a cluster
# without tokens says so with RAY_AUTH_MODE=disabled.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
