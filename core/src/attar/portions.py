"""Taking a step some classes at a time, so that its memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attar.architectures import coupled
from attar.batch import Batch, map_inputs
from attar.contracts import Loss, Task

__all__ = ["BY_CLASS", "MOST_BYTES", "class_portions", "rows_of"]

BY_CLASS = "by_class"
"""Claim of a loss that it is a sum over the classes of the synthetic batch."""

MOST_BYTES = 2**29
"""Real samples of one portion, preprocessed; models and augmentation need some times as much."""


def _sample_bytes(task: Task) -> int:
    """Return the bytes of one preprocessed sample, or 0 where a sample is no plain tensor."""
    sizes: list[int] = []

    def measure(part: object) -> object:
        sizes.append(part.numel() * part.element_size() if isinstance(part, Tensor) else 0)
        return part

    map_inputs(measure, task.gather(torch.tensor([0])).inputs)
    return 0 if 0 in sizes else sum(sizes)


def class_portions(
    task: Task, loss: Loss, model: nn.Module, labels: Sequence[int], at_once: int
) -> list[list[int]]:
    """Return the classes of a step in portions that are taken one after the other.

    Args:
        task: The real data.
        loss: What is compared; one that is no sum over classes sees all of them at once.
        model: One of the models; one that couples rows sees all classes at once.
        labels: The classes of the synthetic set.
        at_once: Classes of a portion; 0 takes as many as keep the real samples of a portion
            below :data:`MOST_BYTES`.

    Returns:
        The portions, which depend on settings and shapes alone, so that a run is repeatable.
    """
    wanted = loss.real
    if BY_CLASS not in loss.claims or wanted is None or coupled(model):
        return [list(labels)]
    if not at_once:
        size = _sample_bytes(task) * wanted.per_class
        at_once = max(1, MOST_BYTES // size) if size else len(labels)
    return [list(labels[start : start + at_once]) for start in range(0, len(labels), at_once)]


def rows_of(batch: Batch, labels: Sequence[int]) -> Tensor:
    """Return the rows of a batch that belong to some classes, int64, in order."""
    chosen = torch.tensor(labels, dtype=batch.labels.dtype, device=batch.labels.device)
    return torch.isin(batch.labels, chosen).nonzero()[:, 0]
