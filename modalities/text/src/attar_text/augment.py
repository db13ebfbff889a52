"""Augmentation of vectors of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from attar.tensor import Noise
from torch import Generator, Tensor

__all__ = ["Dropout", "TokenDropout", "TokenNoise"]


def _kept(shape: Sequence[int], draws: Tensor, rate: float) -> Tensor:
    """Return for each draw, the seed of a choice, what is kept, bool ``(n, *shape)``."""
    seeds, where = draws.unique(return_inverse=True)
    kept = [torch.rand(*shape, generator=torch.Generator().manual_seed(int(seed))) >= rate for seed in seeds]
    return torch.stack(kept)[where]


@dataclass(frozen=True)
class Dropout:
    """Set numbers to zero, their mean, and scale the others up.

    A draw is the seed of the choice, so that it fits samples of any size.

    Attributes:
        rate: Part that is set to zero.
    """

    rate: float = 0.1

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, int64 ``(k,)``."""
        return torch.randint(2**62, (k,), generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one choice per sample; equal draws make equal choices."""
        return values * _kept(values.shape[1:], draws, self.rate).to(values) / (1 - self.rate)


@dataclass(frozen=True)
class TokenDropout:
    """Leave out tokens: set whole rows of ``(length, width)`` to zero.

    Attributes:
        rate: Part of the tokens that is left out.
    """

    rate: float = 0.1

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, int64 ``(k,)``."""
        return torch.randint(2**62, (k,), generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one choice per sample; equal draws make equal choices."""
        return values * _kept(values.shape[1:2], draws, self.rate).to(values)[:, :, None]


@dataclass(frozen=True)
class TokenNoise:
    """Add normal noise to tokens ``(length, width)``; rows of zeros, which are none, stay zero.

    Attributes:
        std: Standard deviation, in units of preprocessed data.
    """

    std: float = 0.3

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, int64 ``(k,)``."""
        return Noise(self.std).draw(k, gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Add noise; equal draws give equal noise."""
        noisy = Noise(self.std).transform(values, draws)
        return torch.where((values != 0).any(-1, keepdim=True), noisy, values)
