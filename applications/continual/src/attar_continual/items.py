"""Samples as Avalanche sees them, and networks that take them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attar.batch import Batch
from attar.contracts import Split, Task
from avalanche.benchmarks.utils import (
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
    TaskLabels,
)
from torch import Tensor, nn

__all__ = ["InContext", "Rows", "dataset_of", "placed"]

_LARGEST = 256 * 2**20
"""Bytes of decoded samples that are kept; what is larger is decoded whenever it is asked for."""


class Rows(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Some samples of a task, one at a time.

    Args:
        read: Returns the inputs of some of them, float32 ``(k, *feature)``, or their numbers.
        labels: Class of each, int64 ``(n,)``.

    Attributes:
        targets: The classes as numbers, as Avalanche reads them.
    """

    def __init__(self, read: Callable[[Tensor], Tensor], labels: Tensor) -> None:
        self._read = read
        self.targets: list[int] = labels.tolist()
        self._kept: Tensor | None = None
        if self.targets:
            one = read(torch.zeros(1, dtype=torch.int64))
            if one.numel() * one.element_size() * len(self.targets) <= _LARGEST:
                self._kept = read(torch.arange(len(self.targets)))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        kept = self._kept
        value = self._read(torch.tensor([place]))[0] if kept is None else kept[place]
        return value, self.targets[place]


class InContext(nn.Module):
    """A network whose inputs are more than tensors, for loaders that hand out tensors.

    Samples are known by number: those of the training data first, then those of the test and of the
    held-out data, then what was added. What has no number is passed on as it is.

    Args:
        model: The network.
        task: The data.
    """

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self._sources: list[tuple[int, Callable[[Tensor], Batch]]] = []
        self._task = task
        for split in ("train", "test", "validation"):
            self._sources.append((task.size(split), _Viewed(task, split)))

    @staticmethod
    def start(task: Task, split: Split) -> int:
        """Return the number of the first sample of a split."""
        before: dict[str, Sequence[Split]] = {
            "train": (),
            "test": ("train",),
            "validation": ("train", "test"),
        }
        return sum(task.size(each) for each in before[split])

    def __deepcopy__(self, memo: dict[int, Any]) -> InContext:
        """Return a copy of the network with the same data: GDumb copies networks at each experience."""
        made = InContext(copy.deepcopy(self.model, memo), self._task)
        made._sources = list(self._sources)
        made.train(self.training)
        return made

    def remember(self, batch: Batch) -> Tensor:
        """Add samples, and return their numbers, int64 ``(n,)``."""
        first = sum(n for n, _ in self._sources)
        self._sources.append((len(batch), _Taken(batch)))
        return torch.arange(first, first + len(batch))

    def forward(self, inputs: Any) -> Tensor:
        """Return the answers to numbered samples, int64 ``(n,)``, or to inputs as models take them."""
        if not isinstance(inputs, Tensor) or inputs.is_floating_point():
            answers: Tensor = self.model(inputs)
            return answers
        found: list[tuple[Tensor, Tensor]] = []
        first = 0
        for n, read in self._sources:
            places = ((inputs >= first) & (inputs < first + n)).nonzero()[:, 0]
            if len(places):
                batch = read(inputs[places].cpu() - first).to(inputs.device)
                found.append((places, self.model(batch.inputs)))
            first += n
        order = torch.cat([places for places, _ in found]).argsort()
        return torch.cat([answers for _, answers in found])[order]


class _Viewed:
    """Reads samples of a split in their context."""

    def __init__(self, task: Task, split: Split) -> None:
        self._task, self._split = task, split

    def __call__(self, rows: Tensor) -> Batch:
        return self._task.view(rows, self._split)


class _Taken:
    """Reads samples of a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __call__(self, rows: Tensor) -> Batch:
        return self._batch.take(rows)


def placed(task: Task) -> bool:
    """Return whether samples of a task are known by number, since they are more than a tensor each."""
    return not isinstance(task.view(torch.zeros(1, dtype=torch.int64)).inputs, Tensor)


def dataset_of(
    items: Any, targets: Sequence[int], tasks: Sequence[int] | int = 0, **further: Sequence[Any]
) -> Any:
    """Return samples as a data set of Avalanche whose items are ``(x, y, *further, task)``.

    Args:
        items: Yields pairs of a sample and its class.
        targets: The classes.
        tasks: Task label of each, or of all.
        further: What else each item has, by name.
    """
    attributes = [DataAttribute(list(targets), "targets")]
    attributes += [DataAttribute(list(each), name, use_in_getitem=True) for name, each in further.items()]
    attributes.append(TaskLabels([tasks] * len(targets) if isinstance(tasks, int) else list(tasks)))
    return TaskAwareSupervisedClassificationDataset([items], data_attributes=attributes)
