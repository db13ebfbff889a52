"""Targets beyond the class: what learned labels start at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from attar.contracts import LabelKind

__all__ = ["centered", "initial_targets"]


def centered(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return one-hot labels minus ``1 / classes``, ``(n, classes)``: rows sum to zero."""
    return functional.one_hot(labels, classes).to(dtype) - 1 / classes


def initial_targets(labels: Tensor, classes: int, kind: LabelKind) -> Tensor | None:
    """Return what learned targets start at: one-hot probabilities, or centered real values.

    Args:
        labels: Classes, int64 ``(n,)``.
        classes: Number of classes.
        kind: What the targets are; None is returned for ``hard``.
    """
    if kind == "hard":
        return None
    return (
        functional.one_hot(labels, classes).to(torch.float32)
        if kind == "probability"
        else centered(labels, classes)
    )
