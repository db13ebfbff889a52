"""Keeping freed memory in the process.

With its defaults, glibc returns large blocks to the system as soon as they are freed and
faults them in again for the next tensor; on a CPU that costs up to half of a step. Only the
command line and worker processes call this, never ``import attar``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["keep_memory", "preloaded_allocator", "tunable"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


_REPLACEMENTS = ("jemalloc", "mimalloc", "tcmalloc")


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function, or None where there is none: macOS, Windows, musl."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return None
    return found


def tunable() -> bool:
    """Return whether :func:`keep_memory` can do anything here, without doing it."""
    return _mallopt() is not None


def preloaded_allocator() -> str | None:
    """Return the name of the allocator that replaces the system's in this process, or None."""
    try:
        loaded = Path("/proc/self/maps").read_text("utf-8", errors="replace")
    except OSError:
        loaded = os.environ.get("DYLD_INSERT_LIBRARIES", "")
    return next((name for name in _REPLACEMENTS if f"lib{name}" in loaded), None)


def keep_memory() -> bool:
    """Tell glibc to keep freed memory; return whether this platform could be told."""
    mallopt = _mallopt()
    if mallopt is None:
        return False
    told = mallopt(_M_MMAP_MAX, 0) == 1
    return bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) == 1 and told)
