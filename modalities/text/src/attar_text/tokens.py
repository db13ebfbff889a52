"""Texts as rows of the input embeddings of their tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from attar.tensor import Standardize
from numpy.typing import NDArray
from torch import Tensor

from attar_text.corpus import Texts
from attar_text.encoders import TransformerEncoder

__all__ = ["PADDING", "TokenItems", "embedded", "nearest_tokens", "padded", "token_scale", "usual_length"]

PADDING = -1
"""What stands where a text has no token; its embedding is zero."""

_COVERED = 0.95
_MOST = 64
_AT_ONCE = 1024
_NONE = -1


def usual_length(ids: Sequence[Sequence[int]], most: int) -> int:
    """Return the tokens that 19 of 20 texts have at most, no more than 64 and `most`."""
    lengths = sorted(len(each) for each in ids)
    covering = lengths[min(len(lengths) - 1, int(_COVERED * len(lengths)))]
    return max(1, min(covering, _MOST, most or _MOST))


def padded(ids: Sequence[Sequence[int]], length: int) -> NDArray[np.int32]:
    """Return tokens as ``(n, length)``, cut or filled up with :data:`PADDING`."""
    values = np.full((len(ids), length), PADDING, dtype=np.int32)
    for row, own in enumerate(ids):
        values[row, : len(own)] = own[:length]
    return values


def embedded(ids: Tensor, table: Tensor) -> Tensor:
    """Return embeddings ``(n, length, width)`` of tokens ``(n, length)``, zero for :data:`PADDING`."""
    return table[ids.to(torch.int64).clamp(min=0)] * (ids >= 0)[:, :, None]


class TokenItems:
    """Labeled texts as embeddings of tokens ``(length, width)``; zero where a text has ended.

    Args:
        ids: Tokens ``(n, length)``, :data:`PADDING` for none.
        table: Embedding of every token, float32 ``(vocabulary, width)``.
        texts: The texts and their labels.
        key: Hash of the encoder.
    """

    def __init__(self, ids: NDArray[np.int32], table: Tensor, texts: Texts, key: str) -> None:
        self._ids = ids
        self._table = table
        self._key = key
        self._labels = texts.labels
        self._bytes = texts.sizes()

    @property
    def labels(self) -> Tensor:
        """Class of each text, int64 ``(n,)``."""
        return torch.from_numpy(self._labels)

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one text, ``(length, width)``."""
        return int(self._ids.shape[1]), int(self._table.shape[1])

    def read(self, rows: Tensor) -> Tensor:
        """Return embeddings ``(k, length, width)``."""
        return embedded(torch.from_numpy(self._ids[rows.numpy()]), self._table)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of tokens, labels and encoder."""
        chosen = np.arange(len(self._labels)) if rows is None else rows.numpy()
        digest = hashlib.blake2b(f"{self._key}{len(chosen)}{self.feature}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self._ids[chosen]).data)
        digest.update(np.ascontiguousarray(self._labels[chosen]).data)
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the texts as UTF-8; the encoder is not counted."""
        return int(self._bytes[rows.numpy()].sum())


def token_scale(ids: NDArray[np.int32], table: Tensor) -> Standardize:
    """Return the spread of the embeddings of all tokens in texts, about zero: padding stays zero."""
    total, count = 0.0, 0
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        rows = table[torch.from_numpy(part[part >= 0]).to(torch.int64)].to(torch.float64)
        total += float(rows.pow(2).sum())
        count += rows.numel()
    spread = (total / count) ** 0.5 if count else 0.0
    return Standardize(std=(spread or 1.0,))


def nearest_tokens(
    values: Tensor, encoder: TransformerEncoder, *, most: int = 2**24
) -> list[list[tuple[str, float]]]:
    """Return, for each row of each text, the token whose embedding is nearest, with its distance.

    Rows nearer to zero than to any token are none, as behind the end of a text, and are left out.

    Args:
        values: Embeddings in natural units, ``(n, length, width)``.
        encoder: Whose tokens they are.
        most: Distances that are held at once.
    """
    table = encoder.embeddings
    n, length, width = values.shape
    rows = values.reshape(-1, width)
    places, distances = [], []
    for part in rows.split(max(1, most // len(table))):
        least = torch.cdist(part, table).min(1)
        # Some encoders keep a token of zeros to fill up with.
        places.append(torch.where(least.values < part.norm(dim=1), least.indices, _NONE))
        distances.append(least.values)
    found = torch.cat(places).view(n, length)
    far = torch.cat(distances).view(n, length)
    return [
        list(zip(encoder.words(own[own != _NONE].tolist()), apart[own != _NONE].tolist(), strict=True))
        for own, apart in zip(found, far, strict=True)
    ]
