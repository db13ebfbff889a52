"""Differentiable augmentation of spectrograms, as used for distillation and for training.

Spectrograms are ``(n, 1, positions, frames)`` and standardized per position, so that zero is the
mean of a band, which is what masks leave, as in SpecAugment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from attar.tensor import Noise, TensorAugment
from torch import Generator, Tensor

__all__ = ["Loudness", "Mask", "TimeShift", "siamese"]


@dataclass(frozen=True)
class TimeShift:
    """Move in time by up to a part of the length; the first or last frame fills what opens.

    Attributes:
        most: Part of the frames.
    """

    most: float = 0.15

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws in [0, 1), ``(k,)``."""
        return torch.rand(k, generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one shift per sample."""
        frames = values.shape[-1]
        shifts = ((2 * draws - 1) * self.most * frames).round().to(torch.int64)
        source = (torch.arange(frames)[None, :] - shifts[:, None]).clamp(0, frames - 1)
        where = source.view(-1, *[1] * (values.ndim - 2), frames).to(values.device)
        return values.gather(-1, where.expand_as(values))


@dataclass(frozen=True)
class Mask:
    """Set a stretch of frames, or of neighboring bands, to the mean.

    Attributes:
        axis: Axis counted from the end: -1 for time, -2 for bands.
        most: Longest stretch, as a part of the axis.

    References:
        Park et al., "SpecAugment", Interspeech 2019, section 2.
    """

    axis: int
    most: float = 0.2

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws in [0, 1), ``(k, 2)``: how long a stretch is, and where."""
        return torch.rand(k, 2, generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one mask per sample."""
        side = values.shape[self.axis]
        length = draws[:, 0] * self.most * side
        start = draws[:, 1] * (side - length)
        places = torch.arange(side)[None, :]
        inside = (places >= start[:, None].floor()) & (places < (start + length)[:, None].floor())
        shape = [len(values)] + [1] * (values.ndim - 1)
        shape[self.axis] = side
        return values * (~inside).view(shape).to(values)


@dataclass(frozen=True)
class Loudness:
    """Make a recording louder or softer: in decibels, a sum.

    Attributes:
        most: Greatest change, in standard deviations.
    """

    most: float = 0.5

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws in [0, 1), ``(k,)``."""
        return torch.rand(k, generator=gen)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one change per sample."""
        change = ((2 * draws - 1) * self.most).to(values)
        return values + change.view(-1, *[1] * (values.ndim - 1))


def siamese() -> TensorAugment:
    """Return time shift, masks of time and bands, loudness and noise: one per draw."""
    return TensorAugment((TimeShift(), Mask(-1), Mask(-2), Loudness(), Noise(0.3)))
