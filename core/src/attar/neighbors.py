"""What the samples of a set are like: in words, and beside the real samples nearest to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attar.batch import Batch
from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import Captioned, DataInfo, Describes
from attar.settings import Record

__all__ = ["Neighbor", "SampleInfo", "nearest_rows", "sample_infos"]

_AT_ONCE = 4096


class Neighbor(Record):
    """A real training sample near a distilled one.

    Attributes:
        row: Training row.
        distance: Euclidean distance, in units of preprocessed data.
        label: Name of its class.
        caption: What the data call it.
    """

    row: int
    distance: float
    label: str
    caption: str


class SampleInfo(Record):
    """What a distilled sample is like.

    Attributes:
        label: Name of its class.
        described: The sample in words, where the modality has any for it.
        nearest: The real training samples nearest to it, of any class; () where none were asked for.
    """

    label: str
    described: str | None = None
    nearest: tuple[Neighbor, ...] = ()


def nearest_rows(inputs: Tensor, task: Task, count: int) -> tuple[Tensor, Tensor]:
    """Return the training rows nearest to samples, with their Euclidean distances.

    Args:
        inputs: Preprocessed samples ``(n, *feature)``.
        task: The real data.
        count: How many for each sample; fewer where there are fewer rows.

    Returns:
        Distances and rows, each ``(n, count)``, the nearest first.
    """
    vectors = inputs.detach().cpu().to(torch.float32).flatten(1)
    distances = vectors.new_empty(len(vectors), 0)
    rows = torch.empty(len(vectors), 0, dtype=torch.int64)
    for part in torch.arange(len(task.labels)).split(_AT_ONCE):
        # The difference itself: the usual product loses the digits of small distances.
        far = torch.cdist(vectors, task.vectors(part), compute_mode="donot_use_mm_for_euclid_dist")
        distances = torch.cat([distances, far], 1)
        rows = torch.cat([rows, part.expand(len(vectors), -1)], 1)
        kept = distances.topk(min(count, distances.shape[1]), largest=False)
        distances, rows = kept.values, rows.gather(1, kept.indices)
    return distances, rows


def sample_infos(
    batch: Batch, info: DataInfo, modality: Any, task: Task | None, count: int
) -> tuple[SampleInfo, ...]:
    """Return what each sample of a set is like.

    Args:
        batch: The decoded set.
        info: What the artifact says of its data.
        modality: The modality of the set.
        task: The real data, or None to name no neighbors.
        count: Neighbors of each sample.

    Raises:
        UsageError: If neighbors are asked for of data whose samples have no names or are no vectors, or
            what describes a set is missing.
    """
    words = modality.described(batch, info) if isinstance(modality, Describes) else None
    near: list[tuple[Neighbor, ...]] = [()] * len(batch)
    if task is not None:
        near = _neighbors(batch, task, count)
    return tuple(
        SampleInfo(
            label=info.classes[label], described=None if words is None else words[row], nearest=near[row]
        )
        for row, label in enumerate(batch.labels.tolist())
    )


def _neighbors(batch: Batch, task: Task, count: int) -> list[tuple[Neighbor, ...]]:
    if not isinstance(task, Captioned) or not task.caption(0) or not isinstance(batch.inputs, Tensor):
        raise UsageError(
            f"the samples of {task.name!r} have no names to tell which are nearest; leave out --data"
        )
    if tuple(batch.inputs.shape[1:]) != task.feature:
        raise UsageError(
            f"the samples have shape {tuple(batch.inputs.shape[1:])}, those of {task.name!r} {task.feature}; "
            f"name the data that the set was made of, with its settings"
        )
    distances, rows = nearest_rows(batch.inputs, task, count)
    return [
        tuple(
            Neighbor(
                row=row, distance=far, label=task.classes[int(task.labels[row])], caption=task.caption(row)
            )
            for far, row in zip(own_distances, own_rows, strict=True)
        )
        for own_distances, own_rows in zip(distances.tolist(), rows.tolist(), strict=True)
    ]
