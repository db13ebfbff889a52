"""Losses that match the gradients of networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import Context, Subject
from attar.objectives.drawn import DrawsByClass
from attar.portions import rows_backward
from attar.training import training_loss, twice_differentiable

__all__ = ["Distance", "GradientMatch", "absolute", "cosine_rows", "squared"]

Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Called with the real and the synthetic gradient of one parameter; returns a scalar."""


_TINY = 1e-12


def cosine_rows(real: Tensor, syn: Tensor) -> Tensor:
    """Return ``Σ_i (1 − cos(real_i, syn_i))`` over the output rows of a layer.

    A row is all that leads to one output: a kernel ``(out, in, *spatial)`` has rows of
    ``in · spatial`` values. Rows whose real gradient is zero, as behind a unit that never fires,
    have no direction and are left out.

    References:
        Zhao et al., "Dataset Condensation with Gradient Matching", ICLR 2021, equation 6.
    """
    one, other = real.reshape(len(real), -1), syn.reshape(len(syn), -1)
    sizes = one.norm(dim=1), other.norm(dim=1)
    # Not cosine_similarity, which divides all of both gradients: on wide layers that takes longer
    # than the gradients themselves.
    cosine = (one * other).sum(1) / sizes[0].clamp(min=_TINY) / sizes[1].clamp(min=_TINY)
    total: Tensor = ((1 - cosine) * (sizes[0] > 0)).sum()
    return total


def squared(real: Tensor, syn: Tensor) -> Tensor:
    """Return ``Σ (real − syn)²``."""
    return ((real - syn) ** 2).sum()


def absolute(real: Tensor, syn: Tensor) -> Tensor:
    """Return ``Σ |real − syn|``."""
    return (real - syn).abs().sum()


@dataclass(frozen=True)
class GradientMatch(DrawsByClass):
    """Distance of training gradients: ``Σ_c Σ_l D(∇_l L(T_c), ∇_l L(S_c))``.

    The gradients are those of the training loss on the real and on the synthetic samples of one
    class, with respect to each parameter `l` of the model. Where rows of a batch influence one
    another, as with BatchNorm or on a graph, all classes go through the model together and the
    loss is restricted to the rows of one class.

    Attributes:
        distance: Distance of two gradients.
        per_class: Real samples of each class.
        vectors: Whether parameters with a single axis, biases and the scales of normalizations,
            take part.
        head: Whether the last matrix, the classifier, takes part where there are others.
        weighted: Whether a class counts as many times as it has training samples, in parts of the
            largest class's.
        chunk: Most real rows that go through an uncoupled model at a time.

    References:
        Zhao et al., "Dataset Condensation with Gradient Matching", ICLR 2021, equations 5 and 6,
        which leaves vectors out; Kim et al., "Dataset Condensation via Efficient
        Synthetic-Data Parameterization", ICML 2022, section 4.2, which leaves the classifier out;
        Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022, whose code weighs.
    """

    distance: Distance = cosine_rows
    per_class: int = 256
    vectors: bool = False
    head: bool = True
    weighted: bool = False
    chunk: int = 512

    needs = frozenset[str]()
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> dict[int, tuple[Tensor, ...]]:
        """Return the gradients of the real data of each class, one per parameter that takes part."""
        real = self.given(real)
        probe = _Probe(subject.model, self)
        found = {}
        for label in sorted(set(real.labels.tolist())):
            grads = probe.gradients(real, label, chunk=self.chunk, graph=False)
            found[label] = tuple(grad.detach() for grad in grads)
        return found

    def compare(
        self,
        subject: Subject,
        stats: Mapping[int, tuple[Tensor, ...]],
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed distance over the classes that the synthetic batch holds."""
        probe = _Probe(subject.model, self)
        total = torch.zeros((), dtype=next(iter(stats.values()))[0].dtype, device=syn.labels.device)
        counts = ctx.task.counts
        for label in sorted(set(syn.labels.tolist())):
            grads = probe.gradients(syn, label, chunk=len(syn), graph=True)
            weight = float(counts[label] / counts.max()) if self.weighted else 1.0
            for one, other in zip(stats[label], grads, strict=True):
                total = total + weight * self.distance(one, other)
        return total


class _Probe:
    """Takes gradients of the training loss with respect to copies of a model's parameters."""

    def __init__(self, model: nn.Module, loss: GradientMatch) -> None:
        self.model = model
        self.coupled = coupled(model)
        named = {name: each for name, each in model.named_parameters() if loss.vectors or each.ndim > 1}
        matrices = [name for name, each in named.items() if each.ndim > 1]
        if not loss.head and len(matrices) > 1:
            del named[matrices[-1]]
        # Copies that ask for gradient: the model's own parameters stay constants.
        self.free = {name: each.detach().requires_grad_(True) for name, each in named.items()}
        self.whole: tuple[Batch, Tensor] | None = None

    def _logits(self, batch: Batch, graph: bool) -> Tensor:
        with twice_differentiable() if graph else nullcontext():
            logits: Tensor = functional_call(self.model, self.free, (batch.inputs,))
        return logits

    def gradients(self, batch: Batch, label: int, *, chunk: int, graph: bool) -> tuple[Tensor, ...]:
        """Return the gradients of the mean loss over the rows of one class."""
        leaves = tuple(self.free.values())
        if self.coupled:
            if self.whole is None or self.whole[0] is not batch:
                self.whole = batch, self._logits(batch, graph)
            rows = (batch.labels == label).nonzero()[:, 0]
            targets = None if batch.targets is None else batch.targets[rows]
            part = Batch(inputs=batch.labels[rows], labels=batch.labels[rows], targets=targets)
            loss = training_loss(self.whole[1][rows], part, "probability")
            return _gradients(loss, leaves, create_graph=graph, retain_graph=True)
        own = batch.of(label)
        totals: list[Tensor] | None = None
        for piece in own.chunks(rows_backward(own, chunk)):
            share = len(piece) / len(own)
            grads = _gradients(
                training_loss(self._logits(piece, graph), piece, "probability"), leaves, create_graph=graph
            )
            scaled = [grad * share for grad in grads] if share < 1 else list(grads)
            totals = (
                scaled if totals is None else [sum_ + more for sum_, more in zip(totals, scaled, strict=True)]
            )
        return tuple(totals or ())


def _gradients(
    loss: Tensor, leaves: Sequence[Tensor], *, create_graph: bool, retain_graph: bool | None = None
) -> tuple[Tensor, ...]:
    """Return the gradient of each leaf; that of one which the loss does not use is zero."""
    found = torch.autograd.grad(
        loss, leaves, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True
    )
    return tuple(
        torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=True)
    )
