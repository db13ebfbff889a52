"""What an encoder of texts is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["TextEncoder"]


class TextEncoder(Protocol):
    """Makes vectors of texts; it is frozen."""

    @property
    def key(self) -> str:
        """Hash of everything that its vectors depend on, hexadecimal."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What an artifact says of it, as JSON values; no path of a machine."""

    @property
    def length(self) -> int:
        """Tokens of a text that are read; 0 for all."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return vectors ``(n, width)``, float32, and the number of tokens that each text has, ``(n,)``."""
