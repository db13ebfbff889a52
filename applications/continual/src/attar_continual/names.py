"""The names that are compared, known without loading Avalanche."""

from __future__ import annotations

__all__ = ["LOGS", "METHODS", "REAL"]

METHODS = (
    "naive",
    "replay",
    "herding",
    "gdumb",
    "herding-gdumb",
    "distilled",
    "distilled-gdumb",
    "joint",
)
"""What can be compared, in the order of tables."""

REAL = ("replay", "herding", "gdumb", "herding-gdumb")
"""Those whose memory holds real samples."""

LOGS = ("csv", "tensorboard")
"""Loggers of Avalanche that can be asked for."""
