"""Labeled samples behind an index: read on demand, so that they need not fit in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.errors import UsageError

__all__ = [
    "ArrayItems",
    "Items",
    "ItemsView",
    "JoinedItems",
    "RelabeledItems",
    "check_labels",
    "piece",
    "sample_name",
]

_MOST_BYTES = 2**25
"""Samples that are looked at together."""


class Items(Protocol):
    """Labeled samples in natural units (pixels 0–255 as uint8, say)."""

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``, -1 for none."""

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample as read."""

    def read(self, rows: Tensor) -> Tensor:
        """Return the samples meant by `rows`, int64 ``(k,)``, as ``(k, *feature)``."""

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of the samples and labels meant by `rows`, or of all, hexadecimal."""

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of these samples in their cheapest lossless form."""


@runtime_checkable
class _Named(Protocol):
    """What items offer beside, whose samples have names, as files do."""

    def name(self, row: int) -> str:
        """Return the name of a sample, or "" where it has none."""


def sample_name(items: Items, row: int) -> str:
    """Return what a sample is called, or "" where such items have no names."""
    return items.name(row) if isinstance(items, _Named) else ""


class ArrayItems:
    """Samples in a NumPy array, in memory or memory-mapped, of any numeric type.

    Args:
        values: ``(n, *feature)``.
        labels: Integers ``(n,)``.
        name: What the data are called in errors.
        size: Bytes of a sample in its cheapest lossless form; those that it takes in the array if None.

    Raises:
        UsageError: If the lengths differ, or a value is NaN or infinite.
    """

    def __init__(
        self, values: NDArray[Any], labels: NDArray[Any], name: str = "data", size: int | None = None
    ) -> None:
        _check_numbers(values, labels, name)
        if len(values) != len(labels):
            raise UsageError(
                f"{name} has {len(values)} samples but {len(labels)} labels; give one label per sample"
            )
        _check_finite(values, name)
        self._values = values
        self._labels = labels.astype(np.int64)
        self._size = int(np.prod(values.shape[1:])) * values.dtype.itemsize if size is None else size

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""
        return torch.from_numpy(self._labels)

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self._values.shape[1:])

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)`` in the array's type."""
        return torch.from_numpy(np.ascontiguousarray(self._values[rows.numpy()]))

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of shape, type, values and labels."""
        rows = torch.arange(len(self._labels)) if rows is None else rows
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{len(rows)}{self.feature}{self._values.dtype}".encode())
        for part in rows.split(piece(self.feature, self._values.dtype.itemsize, 4096)):
            digest.update(np.ascontiguousarray(self._values[part.numpy()]).data)
            digest.update(np.ascontiguousarray(self._labels[part.numpy()]).data)
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples."""
        return len(rows) * self._size


def piece(feature: Sequence[int], size: int, most: int) -> int:
    """Return how many samples are looked at together, so that memory does not grow with their size.

    Args:
        feature: Shape of a sample.
        size: Bytes of one of its values.
        most: The number for small ones.
    """
    return max(1, min(most, _MOST_BYTES // (size * max(1, math.prod(feature)))))


def _check_numbers(values: NDArray[Any], labels: NDArray[Any], name: str) -> None:
    if values.ndim < 2 or values.dtype.kind not in "biuf":
        raise UsageError(
            f"{name} must be real numbers of shape (n, *feature), but is {values.dtype} of shape "
            f"{values.shape}"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"the labels of {name} must be integers of shape (n,), but are {labels.dtype} "
            f"of shape {labels.shape}"
        )


def _check_finite(values: NDArray[Any], name: str) -> None:
    if not np.issubdtype(values.dtype, np.floating):
        return
    size = piece(values.shape[1:], values.dtype.itemsize, 4096)
    for start in range(0, len(values), size):
        part = values[start : start + size]
        bad = ~np.isfinite(part).reshape(len(part), -1).all(1)
        if bad.any():
            raise UsageError(
                f"{name} holds NaN or infinite values, first in sample {start + int(bad.argmax())}; "
                f"remove or repair such samples"
            )


def check_labels(labels: Tensor, classes: int, where: str) -> None:
    """Refuse labels outside of ``[0, classes)``.

    Raises:
        UsageError: Naming the range found.
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UsageError(
            f"the {where} run from {int(labels.min())} to {int(labels.max())}, but there are {classes} "
            f"classes; number the classes from 0"
        )


class ItemsView:
    """Some of the samples of other items, without a copy.

    Args:
        items: The items looked at.
        rows: Which of them, int64 ``(n,)``.
    """

    def __init__(self, items: Items, rows: Tensor) -> None:
        self._items = items
        self._rows = rows

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""
        return self._items.labels[self._rows]

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._items.feature

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)``."""
        return self._items.read(self._rows[rows])

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of the samples looked at, whatever else the items hold."""
        return self._items.fingerprint(self._rows if rows is None else self._rows[rows])

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples in their cheapest lossless form."""
        return self._items.nbytes(self._rows[rows])

    def name(self, row: int) -> str:
        """Return what a sample is called, or "" where it has no name."""
        return sample_name(self._items, int(self._rows[row]))


class JoinedItems:
    """Several items one after another, without a copy.

    Args:
        parts: The items, of samples of one shape and type.
    """

    def __init__(self, parts: Sequence[Items]) -> None:
        self._parts = tuple(parts)
        self._starts = torch.tensor([0, *(len(part.labels) for part in parts)]).cumsum(0)

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""
        return torch.cat([part.labels for part in self._parts])

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._parts[0].feature

    def _shares(self, rows: Tensor) -> list[tuple[Items, Tensor, Tensor]]:
        """Return the parts that `rows` are in, with places in `rows` and rows of the part."""
        owner = torch.bucketize(rows, self._starts[1:], right=True)
        found = []
        for index, part in enumerate(self._parts):
            places = (owner == index).nonzero()[:, 0]
            if len(places):
                found.append((part, places, rows[places] - self._starts[index]))
        return found

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)``."""
        shares = self._shares(rows)
        if not shares:
            return self._parts[0].read(rows)
        order = torch.cat([places for _, places, _ in shares]).argsort()
        return torch.cat([part.read(own) for part, _, own in shares])[order]

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of the samples meant by `rows`, and of their order."""
        chosen = torch.arange(len(self.labels)) if rows is None else rows
        digest = hashlib.blake2b(digest_size=16)
        for part, places, own in self._shares(chosen):
            digest.update(part.fingerprint(own).encode())
            digest.update(places.numpy().tobytes())
        return digest.hexdigest()

    def name(self, row: int) -> str:
        """Return what a sample is called, or "" where it has no name."""
        ((part, _, own),) = self._shares(torch.tensor([row]))
        return sample_name(part, int(own))

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples in their cheapest lossless form."""
        return sum(part.nbytes(own) for part, _, own in self._shares(rows))


class RelabeledItems:
    """Other items whose classes have other numbers, without a copy.

    Args:
        items: The items.
        numbers: The new number of each class, int64 ``(classes,)``; samples without a class keep none.
    """

    def __init__(self, items: Items, numbers: Tensor) -> None:
        self._items = items
        self._numbers = numbers

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""
        labels = self._items.labels
        return torch.where(labels < 0, labels, self._numbers[labels.clamp(min=0)])

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._items.feature

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)``."""
        return self._items.read(rows)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of the samples and of their new labels."""
        digest = hashlib.blake2b(self._items.fingerprint(rows).encode(), digest_size=16)
        digest.update(self._numbers.numpy().tobytes())
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples in their cheapest lossless form."""
        return self._items.nbytes(rows)

    def name(self, row: int) -> str:
        """Return what a sample is called, or "" where it has no name."""
        return sample_name(self._items, row)
