"""Streams of experiences, made of any task."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from attar.contracts import Split, Task
from attar.errors import UsageError
from attar.plugins import Captioned
from attar.rng import derive
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from torch import Tensor

from attar_continual.items import InContext, Rows, dataset_of, placed

__all__ = ["Stream", "class_order", "class_stream", "group_stream", "sizes_of"]

TASK = "attar_task"
"""Attribute of an experience that holds its data as a task."""
_SPLITS: tuple[Split, ...] = ("train", "test", "validation")


@dataclass(frozen=True)
class Stream:
    """Experiences of one task.

    Attributes:
        task: All data.
        names: What each experience is about: its classes, or its group.
        train: Training rows of each experience, int64.
        test: Test rows of each experience, or all where the test is one and the same.
        validation: Held-out rows likewise; empty without such data.
        labels: Whether experiences have task labels.
    """

    task: Task
    names: tuple[str, ...]
    train: tuple[Tensor, ...]
    test: tuple[Tensor, ...]
    validation: tuple[Tensor, ...] = ()
    labels: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def benchmark(self) -> Any:
        """Return the streams ``train``, ``test`` and, with held-out data, ``validation`` for Avalanche.

        Items are ``(x, y, task label)``. `x` is a tensor as models take it; where samples are more than
        that, as nodes of a graph are, it is the sample's number, which
        :class:`attar_continual.items.InContext` understands.
        """
        read = self._reader()
        parts: dict[str, list[Any]] = {
            "train": [self._dataset("train", rows, place, read) for place, rows in enumerate(self.train)],
            "test": [self._dataset("test", rows, place, read) for place, rows in enumerate(self.test)],
        }
        if self.validation:
            parts["validation"] = [
                self._dataset("validation", rows, place, read) for place, rows in enumerate(self.validation)
            ]
        made = benchmark_from_datasets(**parts)
        for rows, experience in zip(self.train, made.train_stream, strict=True):
            setattr(experience, TASK, self.task.subset(rows))
        # Networks that grow ask experiences for their classes.
        made = with_classes_timeline(made)
        for stream in made.streams.values():
            for experience in stream:
                # Sets, as Avalanche has them, are no index for its own masks.
                experience.classes_in_this_experience = sorted(experience.classes_in_this_experience)
        return with_task_labels(made) if self.labels else made

    def _reader(self) -> Callable[[Split, Tensor], Tensor]:
        return _numbers(self.task) if placed(self.task) else _inputs(self.task)

    def _dataset(
        self, split: Split, rows: Tensor, place: int, read: Callable[[Split, Tensor], Tensor]
    ) -> Any:
        items = Rows(_Part(read, split, rows), labels_of(self.task, split)[rows])
        return dataset_of(items, items.targets, place if self.labels else 0)


def _numbers(task: Task) -> Callable[[Split, Tensor], Tensor]:
    starts = {split: InContext.start(task, split) for split in _SPLITS}
    return lambda split, rows: rows + starts[split]


def _inputs(task: Task) -> Callable[[Split, Tensor], Tensor]:
    def read(split: Split, rows: Tensor) -> Tensor:
        inputs: Tensor = task.view(rows, split).inputs
        return inputs

    return read


class _Part:
    """Reads some rows of a split by their place."""

    def __init__(self, read: Callable[[Split, Tensor], Tensor], split: Split, rows: Tensor) -> None:
        self._read, self._split, self._rows = read, split, rows

    def __call__(self, places: Tensor) -> Tensor:
        return self._read(self._split, self._rows[places])


def labels_of(task: Task, split: Split) -> Tensor:
    """Return the class of each sample of a split, int64 ``(n,)``."""
    if split == "train":
        return task.labels
    if not task.size(split):
        return torch.zeros(0, dtype=torch.int64)
    return torch.cat([batch.labels for batch in task.epoch(split, 4096)])


def class_order(task: Task, seed: int) -> tuple[int, ...]:
    """Return the classes that have training samples, in a random order."""
    present = (task.counts > 0).nonzero()[:, 0]
    order = torch.randperm(len(present), generator=derive(seed, "classes"))
    return tuple(present[order].tolist())


def sizes_of(experiences: int | Sequence[int], classes: int) -> tuple[int, ...]:
    """Return the number of classes of each experience, which together are all.

    Args:
        experiences: How many experiences, whose sizes then differ by one at most, or the classes of each.
        classes: Number of classes.

    Raises:
        UsageError: If there are more experiences than classes, or the sizes are not those of all classes.
    """
    if isinstance(experiences, int):
        if not 1 <= experiences <= classes:
            raise UsageError(
                f"{classes} classes cannot be told over {experiences} experiences; choose from 1 to {classes}"
            )
        each, more = divmod(classes, experiences)
        return tuple(each + (place < more) for place in range(experiences))
    sizes = tuple(experiences)
    if not sizes or min(sizes) < 1 or sum(sizes) != classes:
        raise UsageError(
            f"experiences of {','.join(map(str, sizes)) or 'no'} classes do not make the {classes} classes; "
            f"their sum must be {classes}"
        )
    return sizes


def class_stream(
    task: Task,
    experiences: int | Sequence[int],
    order: Sequence[int] | None = None,
    *,
    task_labels: bool = False,
) -> Stream:
    """Return experiences that bring new classes: class-incremental, or task-incremental with task labels.

    Args:
        task: The data.
        experiences: How many experiences, or the number of classes of each.
        order: All classes that have training samples, in the order in which they come; as they are
            numbered by default.
        task_labels: Whether experiences have task labels.

    Raises:
        UsageError: If sizes or order do not fit the classes.
    """
    present = (task.counts > 0).nonzero()[:, 0].tolist()
    chosen = list(present if order is None else order)
    if sorted(chosen) != present:
        raise UsageError(f"the order of classes must name each of the {len(present)} classes once")
    groups, first = [], 0
    for size in sizes_of(experiences, len(chosen)):
        groups.append(torch.tensor(chosen[first : first + size]))
        first += size

    def rows(split: Split) -> tuple[Tensor, ...]:
        labels = labels_of(task, split)
        return tuple(torch.isin(labels, group).nonzero()[:, 0] for group in groups)

    return Stream(
        task,
        tuple(", ".join(task.classes[label] for label in group.tolist()) for group in groups),
        rows("train"),
        rows("test"),
        rows("validation") if task.size("validation") else (),
        task_labels,
    )


def group_stream(task: Task, pattern: str, seed: int = 0) -> Stream:
    """Return experiences that bring the same classes from elsewhere: domain-incremental.

    Args:
        task: The data, whose samples have names, as files do.
        pattern: A regular expression with ``(?P<group>…)`` that finds the group in a name.
        seed: Seed of the order of the groups.

    Returns:
        One experience per group, and one test, whose samples are of all groups.

    Raises:
        UsageError: If the pattern is none, or a sample has no name or no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"the pattern {pattern!r} is no regular expression ({error})") from error
    if "group" not in compiled.groupindex:
        raise UsageError(f"the pattern {pattern!r} finds no group; write it with (?P<group>…)")
    rows: dict[str, list[int]] = {}
    for row in range(task.size("train")):
        name = task.caption(row) if isinstance(task, Captioned) else ""
        found = compiled.search(name)
        if found is None:
            what = f"the sample {name!r} has no group" if name else "samples without names have no groups"
            raise UsageError(f"{what}; domains need file names that the pattern {pattern!r} finds")
        rows.setdefault(found["group"], []).append(row)
    names = sorted(rows)
    order = torch.randperm(len(names), generator=derive(seed, "groups")).tolist()
    names = [names[place] for place in order]
    held = torch.arange(task.size("validation"))
    return Stream(
        task,
        tuple(names),
        tuple(torch.tensor(rows[name]) for name in names),
        (torch.arange(task.size("test")),),
        (held,) if len(held) else (),
    )
