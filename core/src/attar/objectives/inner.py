"""Training a model on the synthetic set so that what comes of it can be differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from attar.batch import Batch
from attar.contracts import Augment, Context
from attar.errors import InternalError
from attar.rng import scoped
from attar.training import training_loss, twice_differentiable

__all__ = [
    "InnerAdam",
    "InnerOptimizer",
    "InnerSGD",
    "InnerTraining",
    "Outer",
    "Tensors",
    "Unroll",
    "adjoint",
    "plain",
    "stopped",
]

Tensors: TypeAlias = tuple[Tensor, ...]
Outer: TypeAlias = Callable[[Tensors], Tensor]
"""Called with the parameters after training; returns the scalar to be differentiated."""


class InnerOptimizer(Protocol):
    """An optimizer whose steps can be differentiated."""

    def slots(self, parameters: Tensors) -> Tensors:
        """Return what it carries from step to step, as it is before the first."""

    def step(
        self, index: int, parameters: Tensors, slots: Tensors, gradients: Tensors, rate: Tensor
    ) -> tuple[Tensors, Tensors]:
        """Return parameters and slots after step `index`, counted from 0."""


@dataclass(frozen=True)
class InnerSGD:
    """Gradient descent with momentum: ``v ← μ v + g, θ ← θ − α v``.

    Attributes:
        momentum: μ; with 0 nothing is carried.
    """

    momentum: float = 0.0

    def slots(self, parameters: Tensors) -> Tensors:
        """Return velocities of zero, or nothing without momentum."""
        return tuple(torch.zeros_like(each) for each in parameters) if self.momentum else ()

    def step(
        self, index: int, parameters: Tensors, slots: Tensors, gradients: Tensors, rate: Tensor
    ) -> tuple[Tensors, Tensors]:
        """Return parameters and velocities after a step."""
        moves = gradients
        if self.momentum:
            moves = tuple(self.momentum * old + new for old, new in zip(slots, gradients, strict=True))
        after = tuple(each - rate * move for each, move in zip(parameters, moves, strict=True))
        return after, moves if self.momentum else ()


@dataclass(frozen=True)
class InnerAdam:
    """Adam: ``θ ← θ − α m̂ / √(v̂ + ε)`` with the running means m of g and v of g².

    ε stands under the root, where it keeps the slope finite at gradients of zero.

    Attributes:
        decay: Decays of the two means.
        eps: ε.

    References:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    decay: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def slots(self, parameters: Tensors) -> Tensors:
        """Return means of zero, first of the gradients and then of their squares."""
        return tuple(torch.zeros_like(each) for each in (*parameters, *parameters))

    def step(
        self, index: int, parameters: Tensors, slots: Tensors, gradients: Tensors, rate: Tensor
    ) -> tuple[Tensors, Tensors]:
        """Return parameters and means after a step."""
        n = len(parameters)
        one, two = self.decay
        first = tuple(one * old + (1 - one) * g for old, g in zip(slots[:n], gradients, strict=True))
        second = tuple(two * old + (1 - two) * g**2 for old, g in zip(slots[n:], gradients, strict=True))
        sizes = 1 - one ** (index + 1), 1 - two ** (index + 1)
        after = tuple(
            each - rate * (m / sizes[0]) / (v / sizes[1] + self.eps).sqrt()
            for each, m, v in zip(parameters, first, second, strict=True)
        )
        return after, (*first, *second)


@dataclass(frozen=True)
class InnerTraining:
    """Steps of a model on a synthetic batch; the same step draws the same whenever it is taken.

    Attributes:
        model: The model, whose structure is used, not its parameters.
        ctx: The step of the run.
        optimizer: The optimizer.
        batch: Rows per step, in an order that is drawn for each pass; 0 takes all.
        augment: Applied with one draw per row, if any.
    """

    model: nn.Module
    ctx: Context
    optimizer: InnerOptimizer
    batch: int = 0
    augment: Augment | None = None

    def start(self) -> Tensors:
        """Return the parameters that the model has now."""
        return tuple(each.detach() for each in self.model.parameters())

    def begin(self, parameters: Tensors) -> Tensors:
        """Return the state before the first step: parameters, then slots."""
        return (*parameters, *self.optimizer.slots(parameters))

    def parameters(self, state: Tensors) -> Tensors:
        """Return the parameters of a state."""
        return state[: len(list(self.model.parameters()))]

    def shown(self, index: int, syn: Batch) -> Batch:
        """Return what step `index` trains on."""
        clock = self.ctx.clock
        if self.batch and self.batch < len(syn):
            passes, place = divmod(index, math.ceil(len(syn) / self.batch))
            gen = self.ctx.gen("inner order", clock.step, passes)
            order = torch.randperm(len(syn), generator=gen)
            rows = order[place * self.batch : (place + 1) * self.batch]
            syn = syn.take(rows.to(syn.labels.device))
        if self.augment is None:
            return syn
        draws = self.augment.draw(len(syn), self.ctx.gen("inner augment", clock.step, index))
        return self.augment.apply(syn, draws, torch.arange(len(syn), device=syn.labels.device))

    def gradient(self, index: int, parameters: Tensors, syn: Batch, *, graph: bool) -> Tensors:
        """Return the gradients of the training loss of step `index`.

        Args:
            index: Number of the step, from 0.
            parameters: Where they are taken.
            syn: The synthetic batch.
            graph: Whether they can be differentiated with respect to parameters and batch.
        """
        names = [name for name, _ in self.model.named_parameters()]
        leaves = tuple(
            each if graph and each.requires_grad else each.detach().requires_grad_() for each in parameters
        )
        with torch.enable_grad(), scoped(self.ctx.gen("inner dropout", self.ctx.clock.step, index)):
            shown = self.shown(index, syn if graph else syn.constant())
            with twice_differentiable() if graph else nullcontext():
                logits = functional_call(self.model, dict(zip(names, leaves, strict=True)), (shown.inputs,))
            loss = training_loss(logits, shown, "probability")
            found = torch.autograd.grad(loss, leaves, create_graph=graph, allow_unused=True)
        return tuple(
            torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=True)
        )

    def step(self, index: int, state: Tensors, syn: Batch, rate: Tensor, *, graph: bool) -> Tensors:
        """Return the state after step `index` of step size `rate`."""
        parameters = self.parameters(state)
        gradients = self.gradient(index, parameters, syn, graph=graph)
        after, slots = self.optimizer.step(index, parameters, state[len(parameters) :], gradients, rate)
        return (*after, *slots)

    def forward(self, state: Tensors, syn: Batch, rates: Tensor, steps: range) -> Tensors:
        """Return the state after some steps, as constants."""
        with torch.no_grad():
            for index in steps:
                state = tuple(
                    each.detach() for each in self.step(index, state, syn, rates[index], graph=False)
                )
        return state


Unroll: TypeAlias = Callable[[InnerTraining, Tensors, Batch, Tensor, range, Outer], Tensor]
"""Called with the training, its state, the batch, the step sizes ``(T,)``, which steps are taken, and
what is asked of the parameters after them; returns the answer, differentiable in batch and step sizes."""


def plain(
    training: InnerTraining, state: Tensors, syn: Batch, rates: Tensor, steps: range, outer: Outer
) -> Tensor:
    """Keep all steps in memory: the exact gradient, by backpropagation through the training.

    References:
        Cazenave et al., "Dataset Distillation by Matching Training Trajectories", CVPR 2022,
        algorithm 1.
    """
    for index in steps:
        state = training.step(index, state, syn, rates[index], graph=True)
    return outer(training.parameters(state))


def adjoint(
    training: InnerTraining, state: Tensors, syn: Batch, rates: Tensor, steps: range, outer: Outer
) -> Tensor:
    """Keep the states between steps only, and take each step again on the way back: exact, too.

    With v the gradient of the answer with respect to the state after a step, that before the step is
    ``vᵀ ∂(state after) / ∂(state before)``: of gradient descent ``v − α H v``. In memory are the
    activations of one step and a copy of the state for each.
    """
    copy, outs, leaves = syn.detached()
    own = rates.detach().requires_grad_(rates.requires_grad)
    inputs = [*leaves, own] if rates.requires_grad else leaves
    states = [tuple(each.detach() for each in state)]
    for index in steps:
        states.append(training.forward(states[-1], copy, own, range(index, index + 1)))
    answer, back = _answered(training, states.pop(), outer)
    totals = [torch.zeros_like(each) for each in inputs]
    for index in reversed(steps):
        before = [each.detach().requires_grad_() for each in states.pop()]
        after = training.step(index, tuple(before), copy, own[index], graph=True)
        moving = [(each, v) for each, v in zip(after, back, strict=True) if each.requires_grad]
        found = torch.autograd.grad(
            [each for each, _ in moving],
            [*before, *inputs],
            grad_outputs=[v for _, v in moving],
            allow_unused=True,
        )
        back = [
            torch.zeros_like(each) if v is None else v
            for each, v in zip(before, found[: len(before)], strict=True)
        ]
        _add(totals, found[len(before) :])
    return _carrying(answer, [*outs, rates] if rates.requires_grad else outs, totals)


def stopped(
    training: InnerTraining, state: Tensors, syn: Batch, rates: Tensor, steps: range, outer: Outer
) -> Tensor:
    """Take each step's gradient as a function of its batch alone, not of the steps before.

    After ``θ_T = θ_0 − Σ α_i g_i``, the answer's gradient v with respect to θ_T reaches batch i as
    ``−α_i vᵀ ∂g_i / ∂x_i`` at constant θ_i. Memory is that of one step, whatever their number. Exact for
    one step only: that later steps depend on earlier batches is left out.

    Raises:
        InternalError: If the optimizer carries anything from step to step.

    References:
        Cui et al., "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory", ICML 2023,
        equations 5 to 8.
    """
    if training.optimizer.slots(training.parameters(state)):
        raise InternalError("stopped gradients are those of gradient descent without momentum")
    copy, outs, leaves = syn.detached()
    own = rates.detach()
    answer, back = _answered(training, training.forward(state, copy, own, steps), outer)
    totals = [torch.zeros_like(each) for each in leaves]
    slopes = torch.zeros_like(own)
    for index in steps:
        gradients = training.gradient(index, state, copy, graph=True)
        moving = [(g, -own[index] * v) for g, v in zip(gradients, back, strict=True) if g.requires_grad]
        if leaves:
            found = torch.autograd.grad(
                [g for g, _ in moving], leaves, grad_outputs=[v for _, v in moving], allow_unused=True
            )
            _add(totals, found)
        gradients = tuple(each.detach() for each in gradients)
        slopes[index] = -torch.stack([(v * g).sum() for v, g in zip(back, gradients, strict=True)]).sum()
        state, _ = training.optimizer.step(index, state, (), gradients, own[index])
    if not rates.requires_grad:
        return _carrying(answer, outs, totals)
    return _carrying(answer, [*outs, rates], [*totals, slopes])


def _answered(training: InnerTraining, state: Tensors, outer: Outer) -> tuple[Tensor, list[Tensor]]:
    """Return the answer to a state and its gradient with respect to each tensor of the state."""
    leaves = [each.detach().requires_grad_() for each in state]
    with torch.enable_grad():
        answer = outer(training.parameters(tuple(leaves)))
    found = torch.autograd.grad(answer, leaves, allow_unused=True)
    return answer.detach(), [
        torch.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=True)
    ]


def _add(totals: list[Tensor], more: Sequence[Tensor | None]) -> None:
    for index, each in enumerate(more):
        if each is not None:
            totals[index] = totals[index] + each


def _carrying(answer: Tensor, outs: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Return the answer as a function of `outs` with these gradients there."""
    for out, gradient in zip(outs, gradients, strict=True):
        # Zero in value, so that only the gradient is added.
        answer = answer + ((out - out.detach()) * gradient).sum()
    return answer
