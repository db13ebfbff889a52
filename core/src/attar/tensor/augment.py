"""The augmentation frame for tensors: operations that draw first and are applied later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from attar.batch import Batch

__all__ = ["Gain", "Mixing", "Mixup", "Noise", "Operation", "Shift", "TensorAugment"]


class Operation(Protocol):
    """One random, differentiable transformation of samples ``(n, *feature)``."""

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` independent draws, ``(k, *)``; they fit samples of any size."""

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw per sample; `values` is left alone."""


@runtime_checkable
class Mixing(Protocol):
    """A transformation that also looks at the other samples."""

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` independent draws, ``(k, *)``."""

    def mix(self, values: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw per sample, given the classes of all; `values` is left alone."""


@dataclass(frozen=True)
class Draws:
    """Draws of a :class:`TensorAugment`: which operations, and the numbers each would use."""

    choice: Tensor
    numbers: tuple[Tensor, ...]


@dataclass(frozen=True)
class TensorAugment:
    """Applies one of several operations per draw, or all of them in order.

    Attributes:
        operations: The operations.
        mode: ``one`` picks one operation for each draw, as differentiable siamese
            augmentation does; ``all`` applies every operation in order.
    """

    operations: Sequence[Operation | Mixing]
    mode: Literal["one", "all"] = "one"

    def draw(self, k: int, gen: Generator) -> Draws:
        """Return `k` independent draws."""
        choice = torch.randint(len(self.operations), (k,), generator=gen)
        return Draws(choice, tuple(operation.draw(k, gen) for operation in self.operations))

    def apply(self, batch: Batch, params: Draws, which: Tensor) -> Batch:
        """Transform inputs ``(n, *feature)``; row i uses draw ``which[i]``."""
        which = which.cpu()
        values: Tensor = batch.inputs
        if self.mode == "all":
            for operation, numbers in zip(self.operations, params.numbers, strict=True):
                values = _applied(operation, values, batch.labels, numbers[which])
            return batch.with_inputs(values)
        choice = params.choice[which]
        parts, places = [], []
        for index, operation in enumerate(self.operations):
            rows = (choice == index).nonzero()[:, 0]
            if len(rows):
                numbers = params.numbers[index][which[rows]]
                there = rows.to(values.device)
                parts.append(_applied(operation, values[there], batch.labels[there], numbers))
                places.append(rows)
        if not parts:
            return batch
        order = torch.cat(places).argsort().to(values.device)
        return batch.with_inputs(torch.cat(parts)[order])


def _applied(operation: Operation | Mixing, values: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    if isinstance(operation, Mixing):
        return operation.mix(values, labels, draws)
    return operation.transform(values, draws)


def _per_sample(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.to(like).view(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Gain:
    """Multiply by a factor in ``[1/ratio, ratio)``, uniform on a logarithmic scale."""

    ratio: float = 1.25

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k,)``."""
        return torch.rand(k, generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one factor per sample."""
        return values * _per_sample(self.ratio ** (2 * draws - 1), values)


@dataclass(frozen=True)
class Noise:
    """Add normal noise of a standard deviation, in units of preprocessed data.

    A draw is the seed of the noise, so that it fits samples of any size.
    """

    std: float = 0.1

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, int64 ``(k,)``."""
        return torch.randint(2**62, (k,), generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Add noise; equal draws give equal noise."""
        seeds, where = draws.unique(return_inverse=True)
        noise = torch.stack(
            [
                torch.randn(values.shape[1:], generator=torch.Generator().manual_seed(int(seed)))
                for seed in seeds
            ]
        )
        return values + self.std * noise[where].to(values)


@dataclass(frozen=True)
class Shift:
    """Shift along the last axes by up to `most` positions; what enters is zero.

    Attributes:
        most: Greatest shift, in positions.
        axes: How many of the last axes shift, each on its own.
    """

    most: int = 1
    axes: int = 2

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, int64 ``(k, axes)``."""
        return torch.randint(-self.most, self.most + 1, (k, self.axes), generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one shift per sample."""
        for index in range(self.axes):
            axis = values.ndim - self.axes + index
            side = values.shape[axis]
            source = torch.arange(side)[None, :] - draws[:, index : index + 1]
            inside = (source >= 0) & (source < side)
            shape = [len(values)] + [1] * (values.ndim - 1)
            shape[axis] = side
            where = source.clamp(0, side - 1).view(shape).to(values.device)
            values = values.gather(axis, where.expand_as(values)) * inside.view(shape).to(values)
        return values


@dataclass(frozen=True)
class Mixup:
    """Move samples toward others of their class, which leaves their labels what they are.

    A sample becomes λx + (1 - λ)x', with λ from a beta distribution of both parameters `alpha`
    and at least a half. Equal draws choose the neighbor that is as far along the class.

    Attributes:
        alpha: Parameter of the distribution; smaller ones mix less.

    References:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 1, with
        equal labels.
    """

    alpha: float = 1.0

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 2)``: λ, and how far along the class the other sample is."""
        # Of two gamma variates of equal shape, the share of one is beta-distributed.
        shape = torch.full((k, 2), self.alpha, dtype=torch.float64)
        one, other = torch._standard_gamma(shape, generator=gen).unbind(1)
        share = one / (one + other).clamp(min=1e-300)
        along = torch.rand(k, generator=gen, dtype=torch.float64)
        return torch.stack([torch.maximum(share, 1 - share), along], 1)

    def mix(self, values: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        """Mix each sample with one of its class; a class of one sample is left alone."""
        own = labels.cpu()
        order = own.argsort(stable=True)
        counts = torch.bincount(own)
        size = counts[own]
        first = (counts.cumsum(0) - counts)[own]
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(own)))
        step = 1 + (draws[:, 1] * (size - 1)).long().clamp(max=(size - 2).clamp(min=0))
        other = order[first + (place - first + step) % size]
        share = _per_sample(draws[:, 0], values)
        return share * values + (1 - share) * values[other.to(values.device)]
