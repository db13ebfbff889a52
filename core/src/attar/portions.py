"""Taking a step some classes at a time, so that its memory does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attar.architectures import coupled
from attar.batch import Batch, map_inputs
from attar.contracts import Loss, Task

__all__ = [
    "BY_CLASS",
    "MOST_BYTES",
    "class_portions",
    "positions",
    "rows_at_once",
    "rows_backward",
    "rows_forward",
    "rows_of",
]

BY_CLASS = "by_class"
"""Claim of a loss that it is a sum over the classes of the synthetic batch."""

MOST_BYTES = 2**28
"""Real samples of one portion, preprocessed; augmentation needs some times as much."""

_SMALL_POSITIONS = 32 * 32
_CACHED_POSITIONS = 32 * _SMALL_POSITIONS
_REMEMBERED_POSITIONS = 128 * _SMALL_POSITIONS
_MOST_GRAPH = 2**30
# What the field's network of 128 channels keeps for the way back: six tensors in its first
# block, and half as much again in the others.
_GRAPH_BYTES = 128 * 9 * 4


def positions(sample: Tensor) -> int:
    """Return the positions of one sample ``(*feature,)``: pixels, moments, or 1 for a vector."""
    return math.prod(sample.shape[1:])


def rows_at_once(batch: Batch, most: int) -> int:
    """Return how many rows of a batch go through a model at a time: fewer where samples are large.

    Args:
        batch: The batch.
        most: The number for samples of up to 32 × 32 positions, and for all that are no tensor.
    """
    if not isinstance(batch.inputs, Tensor) or not len(batch):
        return most
    return max(1, min(most, most * _SMALL_POSITIONS // positions(batch.inputs[0])))


def rows_forward(batch: Batch, most: int) -> int:
    """Return how many rows go through a model at a time where nobody asks for gradients.

    On a CPU they are so few that what is between layers stays in its caches: with 128 channels in
    bfloat16, a quarter of the time is saved. Elsewhere, and with gradients, as :func:`rows_at_once`.

    Args:
        batch: The batch.
        most: As there.
    """
    rows = rows_at_once(batch, most)
    return rows if torch.is_grad_enabled() else _within(batch, rows, _CACHED_POSITIONS)


def rows_backward(batch: Batch, most: int) -> int:
    """Return how many rows go through a model and back at a time, where their gradients are only summed.

    On a CPU they are so few that a tenth of the time is saved in float32, and most of the memory: more
    at a time gain nothing there. Elsewhere as :func:`rows_at_once`.

    Args:
        batch: The batch.
        most: As there.
    """
    return _within(batch, rows_at_once(batch, most), _REMEMBERED_POSITIONS)


def _within(batch: Batch, rows: int, most: int) -> int:
    """Return `rows`, or fewer that have `most` positions together where samples are on a CPU."""
    if not isinstance(batch.inputs, Tensor) or batch.inputs.device.type != "cpu" or not len(batch):
        return rows
    return max(1, min(rows, most // positions(batch.inputs[0])))


def _sizes(task: Task) -> tuple[int, int]:
    """Return bytes and positions of one preprocessed sample, or zeros where it is no tensor."""
    found: list[tuple[int, int]] = []

    def measure(part: object) -> object:
        if isinstance(part, Tensor) and len(part) == 1:
            found.append((part.numel() * part.element_size(), positions(part[0])))
        else:
            found.append((0, 0))
        return part

    map_inputs(measure, task.gather(torch.tensor([0])).inputs)
    if (0, 0) in found:
        return 0, 0
    return sum(size for size, _ in found), max(places for _, places in found)


def class_portions(
    task: Task, loss: Loss, model: nn.Module, labels: Tensor, at_once: int, least: int = 1
) -> list[list[int]]:
    """Return the classes of a step in portions that are taken one after the other.

    Args:
        task: The real data.
        loss: What is compared; one that is no sum over classes sees all of them at once.
        model: One of the models; one that couples rows sees all classes at once.
        labels: Class of each decoded synthetic sample, int64 ``(n,)``.
        at_once: Classes of a portion; 0 takes as many as keep the real samples of a portion
            below :data:`MOST_BYTES`, and the synthetic ones with what models of the usual
            width remember of them below four times that.
        least: Portions that there are at least, where the classes suffice.

    Returns:
        The portions, which depend on settings and shapes alone, so that a run is repeatable.
    """
    wanted = loss.real
    classes = sorted(set(labels.tolist()))
    if BY_CLASS not in loss.claims or wanted is None or coupled(model):
        return [classes]
    if not at_once:
        size, places = _sizes(task)
        real = size * wanted.per_class
        graph = places * _GRAPH_BYTES * int(labels.bincount().max())
        fit = min(MOST_BYTES // real, _MOST_GRAPH // graph) if real and graph else len(classes)
        at_once = max(1, fit)
    at_once = min(at_once, math.ceil(len(classes) / least))
    return [classes[start : start + at_once] for start in range(0, len(classes), at_once)]


def rows_of(batch: Batch, labels: Sequence[int]) -> Tensor:
    """Return the rows of a batch that belong to some classes, int64, in order."""
    chosen = torch.tensor(labels, dtype=batch.labels.dtype, device=batch.labels.device)
    return torch.isin(batch.labels, chosen).nonzero()[:, 0]
