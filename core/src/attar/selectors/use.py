"""Applying a selection rule to a task, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from attar.batch import Batch
from attar.contracts import Task
from attar.errors import InternalError, UsageError
from attar.plugins import Averages, Selector
from attar.rng import derive
from attar.selectors.spaces import class_features

__all__ = ["Means", "Selection", "check_averages", "select", "select_many"]

_ROWS = 512


@dataclass(frozen=True)
class Selection:
    """Chosen training rows.

    Attributes:
        rows: Training rows, int64 ``(n,)``, class by class.
        short: Classes that had fewer samples than were asked for.
    """

    rows: Tensor
    short: tuple[int, ...]

    def batch(self, task: Task) -> Batch:
        """Return the samples."""
        return task.gather(self.rows)


@dataclass(frozen=True)
class Means:
    """Groups of training rows, whose means are the samples.

    Attributes:
        rows: Training rows, int64 ``(k,)``, group by group, and these class by class.
        sizes: Rows of each group, int64 ``(n,)``.
    """

    rows: Tensor
    sizes: Tensor

    def batch(self, task: Task) -> Batch:
        """Return the means, reading the rows in pieces."""
        owners = torch.arange(len(self.sizes)).repeat_interleave(self.sizes)
        first = task.gather(self.rows[:1]).inputs
        total = torch.zeros(len(self.sizes), *first.shape[1:], dtype=torch.float64)
        for rows, own in zip(self.rows.split(_ROWS), owners.split(_ROWS), strict=True):
            total.index_add_(0, own, task.gather(rows).inputs.to(torch.float64))
        means = total / self.sizes.view(-1, *[1] * (total.dim() - 1))
        return Batch(means.to(first), task.labels[self.rows[self.sizes.cumsum(0) - 1]])


def check_averages(task: Task, selector: Selector, name: str) -> None:
    """Refuse a selector that averages samples where these are more than a tensor.

    Raises:
        UsageError: Naming another kind of selector.
    """
    if isinstance(selector, Averages) and not task.averages:
        raise UsageError(
            f"{name!r} averages samples, and those of {task.name!r} are more than numbers; choose a selector "
            f"of real samples, such as k-means"
        )


def _groups(selector: Averages, features: Tensor, n: int, gen: Generator, name: str) -> tuple[Tensor, Tensor]:
    """Return the rows of a class, group by group, and how many each group has."""
    groups = selector.groups(features, n, gen)
    counts = torch.bincount(groups, minlength=n)
    if len(groups) != len(features) or len(counts) != n or int(counts.min()) < 1:
        raise InternalError(
            f"the selector {name!r} made groups of {counts.tolist()} where {n} of {len(features)} rows were "
            f"asked for"
        )
    return groups.argsort(stable=True), counts


def select_many(
    task: Task,
    selectors: Mapping[str, Selector],
    per_class: Sequence[int],
    model: nn.Module | None,
    seed: int,
) -> dict[str, Selection | Means]:
    """Choose ``per_class[c]`` samples of each class c, or as many as it has rows where those are fewer.

    Features of a class are computed once for all rules and then dropped.

    Args:
        task: The task.
        selectors: The rules by name; the name separates a rule's draws from another's.
        per_class: Number of samples of each class.
        model: Network whose embeddings are the features; None for the preprocessed inputs.
        seed: Seed of the choice.

    Raises:
        UsageError: If a rule averages samples that have no mean.
        InternalError: If a rule returns rows that are no distinct rows of the class.
    """
    for name, selector in selectors.items():
        check_averages(task, selector, name)
    chosen: dict[str, list[Tensor]] = {name: [] for name in selectors}
    sizes: dict[str, list[Tensor]] = {name: [] for name in selectors}
    short = []
    need_features = any(selector.uses_features for selector in selectors.values())
    for label, wanted in enumerate(per_class):
        rows = (task.labels == label).nonzero()[:, 0]
        n = min(wanted, len(rows))
        if n < wanted:
            short.append(label)
        if n == 0:
            continue
        features = class_features(task, model, rows) if need_features else torch.empty(len(rows), 0)
        for name, selector in selectors.items():
            gen = derive(seed, "select", name, label)
            if isinstance(selector, Averages):
                own, counts = _groups(selector, features, n, gen, name)
                sizes[name].append(counts)
            else:
                own = selector.select(features, n, gen)
                _check(own, n, len(rows), name)
            chosen[name].append(rows[own])
    return {
        name: Means(torch.cat(pieces), torch.cat(sizes[name]))
        if isinstance(selectors[name], Averages)
        else Selection(rows=torch.cat(pieces), short=tuple(short))
        for name, pieces in chosen.items()
    }


def _check(own: Tensor, n: int, have: int, name: str) -> None:
    if len(own) != n or len(own.unique()) != n or int(own.min()) < 0 or int(own.max()) >= have:
        raise InternalError(
            f"the selector {name!r} returned {own.tolist()} where {n} distinct rows of {have} were asked for"
        )


def select(
    task: Task,
    selector: Selector,
    per_class: Sequence[int],
    model: nn.Module | None,
    seed: int,
    name: str,
) -> Selection | Means:
    """Choose samples by one rule, real ones or means of such; see :func:`select_many`."""
    return select_many(task, {name: selector}, per_class, model, seed)[name]
