"""Amounts that people write: ``100KB``."""

from __future__ import annotations

import re
from datetime import timedelta

from attar.errors import UsageError

__all__ = ["duration", "parse_bytes"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(text: str) -> int:
    """Return the bytes meant by a text such as ``100KB`` (1 KB = 1000 bytes, 1 KiB = 1024).

    Raises:
        UsageError: If the text is no number of bytes.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = None if found is None else _UNITS.get(found[2].upper())
    if found is None or unit is None:
        raise UsageError(f"{text!r} is no number of bytes; write it as 100KB, 1.5MB or 64KiB")
    return int(float(found[1]) * unit)


def duration(seconds: float) -> str:
    """Return seconds in words; longer ones as hours, minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{timedelta(seconds=round(seconds))} (h:mm:ss)"
