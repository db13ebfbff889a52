"""The exceptions that cross Attar's public boundary."""

from __future__ import annotations

__all__ = ["AttarError", "DivergenceError", "InternalError", "PluginError", "UsageError"]


class AttarError(Exception):
    """Base of every exception that Attar raises on purpose."""


class UsageError(AttarError, ValueError):
    """Something the user can mend: the message names the thing and the fix in one sentence."""


class PluginError(UsageError):
    """A plugin that cannot be found, loaded or accepted."""


class DivergenceError(UsageError):
    """A run whose loss or values stopped being finite."""


class InternalError(AttarError, RuntimeError):
    """A broken invariant of Attar or of a plugin: a bug, never the user's mistake."""
