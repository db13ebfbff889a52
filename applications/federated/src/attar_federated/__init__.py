"""Federated learning with distilled sets, on Flower."""

import os

# Flower reads these when it is imported. What a user set stays as it is.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray announces that it will stop hiding accelerators from workers that ask for none, as ours do.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
