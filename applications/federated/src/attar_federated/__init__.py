"""Federated learning with distilled sets, on Flower."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attar_federated.server import Outcome, ServerOptions
    from attar_federated.settings import FederatedRecipe
    from attar_federated.simulation import simulate

# Flower reads these when it is imported. What a user set stays as it is.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray announces that it will stop hiding accelerators from workers that ask for none, as ours do.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

_HOMES = {
    "FederatedRecipe": "settings",
    "Outcome": "server",
    "ServerOptions": "server",
    "simulate": "simulation",
}

__all__ = ["FederatedRecipe", "Outcome", "ServerOptions", "simulate"]


def __getattr__(name: str) -> Any:
    # Flower takes a second to import, which help need not wait for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
