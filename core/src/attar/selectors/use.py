"""Applying a selection rule to a task, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.contracts import Task
from attar.errors import InternalError
from attar.plugins import Selector
from attar.rng import derive
from attar.selectors.spaces import class_features

__all__ = ["Selection", "select", "select_many"]


@dataclass(frozen=True)
class Selection:
    """Chosen training rows.

    Attributes:
        rows: Training rows, int64 ``(n,)``, class by class.
        short: Classes that had fewer samples than were asked for.
    """

    rows: Tensor
    short: tuple[int, ...]


def select_many(
    task: Task,
    selectors: Mapping[str, Selector],
    per_class: Sequence[int],
    model: nn.Module | None,
    seed: int,
) -> dict[str, Selection]:
    """Choose ``per_class[c]`` training rows of each class c, or all it has where those are fewer.

    Features of a class are computed once for all rules and then dropped.

    Args:
        task: The task.
        selectors: The rules by name; the name separates a rule's draws from another's.
        per_class: Number of samples of each class.
        model: Network whose embeddings are the features; None for the preprocessed inputs.
        seed: Seed of the choice.

    Raises:
        InternalError: If a rule returns rows that are no distinct rows of the class.
    """
    chosen: dict[str, list[Tensor]] = {name: [] for name in selectors}
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
            own = selector.select(features, n, derive(seed, "select", name, label))
            _check(own, n, len(rows), name)
            chosen[name].append(rows[own])
    return {name: Selection(rows=torch.cat(pieces), short=tuple(short)) for name, pieces in chosen.items()}


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
) -> Selection:
    """Choose training rows by one rule; see :func:`select_many`."""
    return select_many(task, {name: selector}, per_class, model, seed)[name]
