"""What was decided for the user on the way to a set, in words."""

from __future__ import annotations

from collections.abc import Mapping

from attar.artifact.manifest import DataRecord, Manifest

__all__ = ["decisions"]

_MOST = 5
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def decisions(manifest: Manifest) -> dict[str, str]:
    """Return how the real data were split and brought into form, and where the set was made.

    What an older version, or another program, left out is not told.
    """
    told = {
        "splits": _splits(manifest.data),
        "shape": _shape(manifest.data),
        "left out": _skipped(manifest.data),
        "made on": f"{manifest.environment.device}, {manifest.environment.precision}",
    }
    return {name: text for name, text in told.items() if text}


def _splits(data: DataRecord) -> str:
    counts = [f"{data.splits[split]:,} {word}" for split, word in _SPLITS.items() if data.splits.get(split)]
    if not counts:
        return ""
    found = data.about.get("drawn")
    drawn = [split for split in _SPLITS if isinstance(found, list) and split in found]
    told = f"{', '.join(counts)} samples"
    if not drawn:
        return told
    return f"{told}; {' and '.join(drawn)} {'were' if len(drawn) > 1 else 'was'} drawn from the data given"


def _shape(data: DataRecord) -> str:
    shape = " × ".join(map(str, data.feature))
    axes = f" ({', '.join(data.axes)})" if len(data.axes) == len(data.feature) > 1 else ""
    form = data.about.get("form")
    more = f": {form}" if isinstance(form, str) else ""
    return f"{shape}{axes}{more}" if shape else ""


def _skipped(data: DataRecord) -> str:
    found = data.about.get("skipped")
    names = found.get("names") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(names, list):
        return ""
    more = ", …" if len(names) > _MOST else ""
    return f"{found.get('samples')} that cannot be read: {', '.join(map(str, names[:_MOST]))}{more}"
