"""Vectors of texts as samples."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from attar.errors import UsageError
from torch import Tensor

from attar_text.corpus import Texts
from attar_text.store import Encoded, hashes

__all__ = ["VectorItems"]

_AT_ONCE = 4096


class VectorItems:
    """Vectors of labeled texts, memory-mapped.

    Args:
        vectors: Where the vectors are.
        texts: The texts and their labels.
        name: What the data are called in errors.
        key: Hash of what made the vectors of the texts.

    Raises:
        UsageError: If a vector is NaN or infinite, as of an encoder that is no good in half precision.
    """

    def __init__(self, vectors: Encoded, texts: Texts, name: str, key: str) -> None:
        self._vectors = vectors
        self._key = key
        self._hashes = hashes(texts.texts)
        self._labels = texts.labels
        self._bytes = texts.sizes()
        for start in range(0, len(texts.labels), _AT_ONCE):
            values = vectors.read(np.arange(start, min(start + _AT_ONCE, len(texts.labels))))
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
        """Return a hash of texts, labels and encoder.

        Not of the vectors, whose last digits are the machine's.
        """
        chosen = np.arange(len(self._labels)) if rows is None else rows.numpy()
        digest = hashlib.blake2b(f"{self._key}{len(chosen)}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self._hashes[chosen]).data)
        digest.update(np.ascontiguousarray(self._labels[chosen]).data)
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the texts as UTF-8; the encoder is not counted."""
        return int(self._bytes[rows.numpy()].sum())
