"""Ending a run on request."""

from __future__ import annotations

__all__ = ["Interrupted", "never"]


class Interrupted(Exception):
    """A run was stopped on request; what was finished is kept."""


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False
