"""A batch: what models see, and who it belongs to.

The core never looks into a batch's inputs. They are a tensor, a tuple or dictionary of
inputs, or an object of a modality's own that says itself how rows are taken from it
(:class:`Structured`): a graph keeps its graph and narrows its index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from attar.errors import InternalError

__all__ = ["Batch", "Inputs", "Structured", "map_inputs", "map_values"]


@runtime_checkable
class Structured(Protocol):
    """Inputs that are more than tensors whose first axis counts the rows."""

    def take(self, rows: Tensor) -> Self:
        """Return the rows meant, int64 ``(k,)``, in their context."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return a copy with `function` applied to every floating-point tensor."""

    def cat(self, others: Sequence[Self]) -> Self:
        """Return this and `others` side by side; graphs become block-diagonal."""

    def to(self, device: torch.device) -> Self:
        """Return a copy on `device`."""


Inputs: TypeAlias = "Tensor | tuple[Any, ...] | Mapping[str, Any] | Structured"


def map_inputs(function: Callable[[Any], Any], inputs: Inputs) -> Any:
    """Apply `function` to each tensor and each :class:`Structured` object in `inputs`."""
    if isinstance(inputs, Tensor | Structured):
        return function(inputs)
    if isinstance(inputs, tuple):
        return tuple(map_inputs(function, part) for part in inputs)
    if isinstance(inputs, Mapping):
        return {name: map_inputs(function, part) for name, part in inputs.items()}
    raise InternalError(f"a batch cannot hold inputs of type {type(inputs).__name__}")


def map_values(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Any:
    """Apply `function` to every floating-point tensor of `inputs`, leaving the rest alone."""

    def one(part: Tensor | Structured) -> Any:
        if not isinstance(part, Tensor):
            return part.map(function)
        return function(part) if part.is_floating_point() else part

    return map_inputs(one, inputs)


def _take(inputs: Inputs, rows: Tensor) -> Any:
    def one(part: Tensor | Structured) -> Any:
        return part.index_select(0, rows) if isinstance(part, Tensor) else part.take(rows)

    return map_inputs(one, inputs)


def _cat(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, tuple):
        return tuple(_cat(column) for column in zip(*parts, strict=True))
    if isinstance(first, Mapping):
        return {name: _cat([part[name] for part in parts]) for name in first}
    return first.cat(parts[1:])


@dataclass(frozen=True)
class Batch:
    """Inputs with their labels.

    Attributes:
        inputs: What a model is called with; its rows are the batch's.
        labels: Class that each row belongs to, int64 ``(n,)``.
        targets: What a model is trained to answer where that is more than the label:
            probabilities or real values ``(n, classes)``, or None.
    """

    inputs: Any
    labels: Tensor
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Batch:
        """Return the rows meant, int64 ``(k,)``; a graph keeps its graph and narrows its index."""
        return Batch(
            inputs=_take(self.inputs, rows),
            labels=self.labels.index_select(0, rows),
            targets=None if self.targets is None else self.targets.index_select(0, rows),
        )

    def of(self, label: int) -> Batch:
        """Return the rows of one class."""
        return self.take((self.labels == label).nonzero()[:, 0])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        return Batch(
            inputs=map_inputs(lambda part: part.to(device), self.inputs),
            labels=self.labels.to(device),
            targets=None if self.targets is None else self.targets.to(device),
        )

    def chunks(self, size: int) -> list[Batch]:
        """Return the batch in pieces of at most `size` rows, in order."""
        if len(self) <= size:
            return [self]
        rows = torch.arange(len(self), device=self.labels.device)
        return [self.take(part) for part in rows.split(size)]

    def with_inputs(self, inputs: Any) -> Batch:
        """Return the same rows with other inputs."""
        return replace(self, inputs=inputs)

    def constant(self) -> Batch:
        """Return the same values without gradient: what a model is trained on."""
        targets = None if self.targets is None else self.targets.detach()
        return Batch(map_values(Tensor.detach, self.inputs), self.labels, targets)

    def detached(self) -> tuple[Batch, list[Tensor], list[Tensor]]:
        """Return a copy that stands on fresh leaves, with what it was cut from.

        A loss that would need the memory of all classes at once takes gradients with respect
        to `leaves` piece by piece and sends them on with ``torch.autograd.backward(outs, grads)``.

        Returns:
            The copy; `outs`, the differentiable tensors of this batch; `leaves`, the tensors
            of the copy that stand for them, in the same order.
        """
        outs: list[Tensor] = []
        leaves: list[Tensor] = []

        def cut(tensor: Tensor) -> Tensor:
            if not tensor.requires_grad:
                return tensor
            leaf = tensor.detach().requires_grad_()
            outs.append(tensor)
            leaves.append(leaf)
            return leaf

        inputs = map_values(cut, self.inputs)
        targets = None if self.targets is None else cut(self.targets)
        return Batch(inputs=inputs, labels=self.labels, targets=targets), outs, leaves

    def portion(self, rows: Tensor) -> tuple[Batch, Callable[[], None]]:
        """Return rows on leaves of their own, and what sends their gradients to the leaves of this batch.

        As :meth:`take`, but going back through a choice of rows would fill a tensor as large as
        all of them for every portion.

        Args:
            rows: int64 ``(k,)``, each at most once.
        """
        pairs: list[tuple[Tensor, Tensor]] = []

        def cut(part: Tensor | Structured) -> Any:
            if not isinstance(part, Tensor):
                return part.take(rows)
            if not part.requires_grad:
                return part.index_select(0, rows)
            own = part.detach().index_select(0, rows).requires_grad_()
            pairs.append((part, own))
            return own

        def send() -> None:
            for leaf, own in pairs:
                if own.grad is not None:
                    if leaf.grad is None:
                        leaf.grad = torch.zeros_like(leaf)
                    leaf.grad.index_add_(0, rows, own.grad)

        inputs = map_inputs(cut, self.inputs)
        targets = None if self.targets is None else cut(self.targets)
        return Batch(inputs=inputs, labels=self.labels.index_select(0, rows), targets=targets), send

    @classmethod
    def cat(cls, batches: Sequence[Batch]) -> Batch:
        """Return the rows of all `batches` in order; graphs become block-diagonal.

        Raises:
            InternalError: If there is no batch, or some but not all have targets.
        """
        if not batches:
            raise InternalError("there is no batch to concatenate")
        targets = [batch.targets for batch in batches if batch.targets is not None]
        if targets and len(targets) != len(batches):
            raise InternalError("batches with and without targets cannot be concatenated")
        return cls(
            inputs=_cat([batch.inputs for batch in batches]),
            labels=torch.cat([batch.labels for batch in batches]),
            targets=torch.cat(targets) if targets else None,
        )
