"""Targets beyond the class: what learned labels start at; and classes by other numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from attar.contracts import LabelKind
from attar.errors import UsageError
from attar.plugins import Method, MethodSettings

__all__ = ["centered", "classes_differ", "initial_targets", "label_kind", "renumbered"]

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


def classes_differ(own: Sequence[str], classes: Sequence[str]) -> str:
    """Return in what some classes differ from others, as the end of a sentence; "" where they are the same.

    Args:
        own: Names of the classes of a set.
        classes: Names of the classes of the data that are given.
    """
    if tuple(own) == tuple(classes):
        return ""
    if sorted(own) == sorted(classes):
        place = next(i for i, (one, other) in enumerate(zip(own, classes, strict=True)) if one != other)
        return (
            f"the classes are the same in another order: class {place} is {own[place]!r} in the set "
            f"({_some(own)}) and {classes[place]!r} in the data ({_some(classes)}); give the data in the "
            f"form that the set was made of, such as class folders instead of a table"
        )
    lost = next((name for name in own if name not in set(classes)), None)
    if lost is not None:
        return (
            f"the set has the class {lost!r}, which the data have not ({_some(classes)}); give the same data"
        )
    new = next(name for name in classes if name not in set(own))
    return f"the data have the class {new!r}, which the set has not ({_some(own)}); give the same data"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def renumbered(own: Sequence[str], classes: Sequence[str], data: str, *, leave_out: bool = False) -> Tensor:
    """Return the number that each class has among those of others, int64 ``(own,)``.

    Args:
        own: Names of the classes of some data.
        classes: Names of all classes.
        data: What the data are called in errors.
        leave_out: Whether a class that is not among all gets -1 rather than being refused.

    Raises:
        UsageError: If a class is not among all.
    """
    number = {name: label for label, name in enumerate(classes)}
    strange = [name for name in own if name not in number]
    if strange and not leave_out:
        raise UsageError(
            f"{data!r} has the class {strange[0]!r}, which is none of the {len(classes)} that all share "
            f"({', '.join(classes[:5])}{', …' if len(classes) > 5 else ''}); rename or remove it"
        )
    return torch.tensor([number.get(name, -1) for name in own], dtype=torch.int64)
