"""Continual learning with distilled sets as memory, on Avalanche.

Its parts are for what Avalanche's users have already: :class:`DistilledReplay` and
:class:`DistilledGDumb` are plugins of any strategy, :class:`DistilledBuffer` is a storage policy, and
:func:`class_stream` and :func:`group_stream` make streams of any task of Attar.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attar_continual.budget import Budget
    from attar_continual.buffers import DistilledBuffer
    from attar_continual.items import InContext
    from attar_continual.plugins import DistilledGDumb, DistilledReplay
    from attar_continual.streams import Stream, class_stream, group_stream

__all__ = [
    "Budget",
    "DistilledBuffer",
    "DistilledGDumb",
    "DistilledReplay",
    "InContext",
    "Stream",
    "class_stream",
    "group_stream",
]

_HOMES = {
    "Budget": "budget",
    "DistilledBuffer": "buffers",
    "DistilledGDumb": "plugins",
    "DistilledReplay": "plugins",
    "InContext": "items",
    "Stream": "streams",
    "class_stream": "streams",
    "group_stream": "streams",
}


def __getattr__(name: str) -> Any:
    """Load Avalanche, which takes long, once a part of this package is used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
