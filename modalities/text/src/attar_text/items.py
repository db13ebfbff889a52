"""Vectors of texts as samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from numpy.typing import NDArray
from torch import Tensor

from attar_text.store import Encoded

__all__ = ["VectorItems"]

_AT_ONCE = 4096


class VectorItems:
    """Vectors of labeled texts, memory-mapped.

    Args:
        vectors: Where the vectors are.
        texts: The texts.
        labels: Class of each, int64 ``(n,)``.
        name: What the data are called in errors.

    Raises:
        UsageError: If a vector is NaN or infinite, as of an encoder that is no good in half precision.
    """

    def __init__(self, vectors: Encoded, texts: Sequence[str], labels: NDArray[Any], name: str) -> None:
        self._vectors = vectors
        self._labels = labels
        self._bytes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], dtype=np.int64)
        for start in range(0, len(labels), _AT_ONCE):
            values = vectors.read(np.arange(start, min(start + _AT_ONCE, len(labels))))
            bad = ~np.isfinite(values).reshape(len(values), -1).all(1)
            if bad.any():
                raise UsageError(
                    f"the vector of text {start + int(bad.argmax())} of {name!r} is not finite; choose "
                    f"another encoder, or data.stored=float32"
                )

    @property
    def labels(self) -> Tensor:
        """Class of each text, int64 ``(n,)``."""
        return torch.from_numpy(self._labels)

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one vector."""
        return self._vectors.shape

    def read(self, rows: Tensor) -> Tensor:
        """Return vectors ``(k, *feature)`` in the type that they are kept in."""
        return torch.from_numpy(self._vectors.read(rows.numpy()))

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of vectors and labels."""
        chosen = torch.arange(len(self._labels)) if rows is None else rows
        digest = hashlib.blake2b(f"{len(chosen)}{self.feature}".encode(), digest_size=16)
        for part in chosen.split(_AT_ONCE):
            digest.update(np.ascontiguousarray(self._vectors.read(part.numpy())).data)
            digest.update(np.ascontiguousarray(self._labels[part.numpy()]).data)
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the texts as UTF-8; the encoder is not counted."""
        return int(self._bytes[rows.numpy()].sum())
