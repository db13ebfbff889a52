"""``attar cache``."""

from __future__ import annotations

from attar.cached import cache_info, clear_cache
from attar.cli import tables

__all__ = ["clear", "print_info"]


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def print_info(*, as_json: bool) -> None:
    """Print what the cache folder holds."""
    found = cache_info()
    if as_json:
        tables.print_json(found)
        return
    rows = {
        each.name: f"{each.files:,} files, {_size(each.bytes)}: {each.summary}" for each in found.sections
    }
    tables.print_pairs({"folder": found.folder, **rows})


def clear(section: str | None, older: float, *, as_json: bool) -> None:
    """Delete what is cached and say how much it was."""
    found = clear_cache(section, older)
    if as_json:
        tables.print_json(found)
        return
    rows = {"deleted": f"{found.files:,} files, {_size(found.bytes)}"}
    if found.kept:
        rows["kept"] = f"{found.kept:,} files in use"
    tables.print_pairs(rows)
