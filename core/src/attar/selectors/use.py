"""Applying a selection rule to a task, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.contracts import Task
from attar.errors import InternalError
from attar.plugins import Selector
from attar.rng import derive
from attar.selectors.spaces import class_features

__all__ = ["Selection", "select"]


@dataclass(frozen=True)
class Selection:
    """Chosen training rows.

    Attributes:
        rows: Training rows, int64 ``(n,)``, class by class.
        short: Classes that had fewer samples than were asked for.
    """

    rows: Tensor
    short: tuple[int, ...]


def select(
    task: Task,
    selector: Selector,
    per_class: Sequence[int],
    model: nn.Module | None,
    seed: int,
    name: str,
) -> Selection:
    """Choose ``per_class[c]`` training rows of each class c, or all it has where those are fewer.

    Args:
        task: The task.
        selector: The rule.
        per_class: Number of samples of each class.
        model: Network whose embeddings are the features; None for the preprocessed inputs.
        seed: Seed of the choice.
        name: Name of the rule, which separates its draws from another's.

    Raises:
        InternalError: If the rule returns rows that are no distinct rows of the class.
    """
    chosen, short = [], []
    for label, wanted in enumerate(per_class):
        rows = (task.labels == label).nonzero()[:, 0]
        n = min(wanted, len(rows))
        if n < wanted:
            short.append(label)
        if n == 0:
            continue
        features = class_features(task, model, rows) if selector.uses_features else torch.empty(len(rows), 0)
        own = selector.select(features, n, derive(seed, "select", name, label))
        if len(own) != n or len(own.unique()) != n or int(own.min()) < 0 or int(own.max()) >= len(rows):
            raise InternalError(
                f"the selector {name!r} returned {own.tolist()} where {n} distinct rows "
                f"of {len(rows)} were asked for"
            )
        chosen.append(rows[own])
    return Selection(rows=torch.cat(chosen), short=tuple(short))
