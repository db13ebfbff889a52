"""Keeping freed memory in the process.

With its defaults, glibc returns large blocks to the system as soon as they are freed and
faults them in again for the next tensor; on a CPU that costs up to half of a step. Only the
command line and worker processes call this, never ``import attar``.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_memory"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_memory() -> bool:
    """Tell glibc to keep freed memory; return whether this platform could be told."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # musl and others have no mallopt.
    told = mallopt(_M_MMAP_MAX, 0) == 1
    return bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) == 1 and told)
