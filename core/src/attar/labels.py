"""Targets beyond the class: what learned labels start at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from attar.contracts import LabelKind
from attar.errors import UsageError
from attar.plugins import Method, MethodSettings

__all__ = ["centered", "initial_targets", "label_kind"]

# How much of a one-hot label softmax leaves to the other classes at the start: at 0 it would
# have no slope to learn by.
_SMOOTHING = 0.1


def label_kind(method: Method, settings: MethodSettings) -> LabelKind:
    """Return the kind of labels that a method is asked to make.

    Raises:
        UsageError: If the method cannot make such labels.
    """
    kinds = method.label_kinds
    if not settings.labels:
        return kinds[0]
    if settings.labels not in kinds:
        raise UsageError(
            f"objective.labels={settings.labels} makes no sense for this method, whose loss can learn from "
            f"{' and '.join(kinds)} labels; choose one of these"
        )
    return settings.labels


def centered(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return one-hot labels minus ``1 / classes``, ``(n, classes)``: rows sum to zero."""
    return functional.one_hot(labels, classes).to(dtype) - 1 / classes


def initial_targets(labels: Tensor, classes: int, kind: LabelKind) -> Tensor | None:
    """Return what learned targets start at, float32 ``(n, classes)``.

    Probabilities are learned as scores whose softmax they are, so that no step leaves the simplex.

    Args:
        labels: Classes, int64 ``(n,)``.
        classes: Number of classes.
        kind: What the targets are: scores of smoothed one-hot labels for ``probability``,
            centered one-hot labels for ``regression``, None for ``hard``.
    """
    if kind == "hard":
        return None
    if kind == "regression":
        return centered(labels, classes)
    smooth = (1 - _SMOOTHING) * functional.one_hot(labels, classes).to(torch.float32) + _SMOOTHING / classes
    return smooth.log()
