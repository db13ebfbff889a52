"""Training rows by class, as every task draws them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

__all__ = ["RowsByClass"]


class RowsByClass:
    """The rows of each class, in order.

    Args:
        labels: Class of each row, int64 ``(n,)``.
        classes: Number of classes.

    Attributes:
        counts: Rows per class, int64 ``(classes,)``.
    """

    def __init__(self, labels: Tensor, classes: int) -> None:
        self._n = len(labels)
        self.counts = torch.bincount(labels, minlength=classes)
        order: Tensor = torch.argsort(labels, stable=True)
        self._rows: tuple[Tensor, ...] = order.split(self.counts.tolist())

    def of(self, label: int) -> Tensor:
        """Return the rows of a class, int64 ``(n,)``."""
        return self._rows[label]

    def draw(self, n: int, gen: Generator, labels: Sequence[int] | None = None) -> Tensor:
        """Return up to `n` random rows of each label, without replacement, one label after the other.

        With ``labels=None``: `n` rows, uniform over all.
        """
        if labels is None:
            return torch.randperm(self._n, generator=gen)[:n]
        return torch.cat([own[torch.randperm(len(own), generator=gen)[:n]] for own in map(self.of, labels)])
