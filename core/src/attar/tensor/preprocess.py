"""Preprocessing of tensors: from natural units to what models take, and back."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from attar.errors import UsageError
from attar.settings import Settings
from attar.tensor.items import Items, piece

__all__ = ["Standardize"]


class Standardize(Settings):
    """``(x / scale - mean) / std`` along one axis of a sample.

    Attributes:
        kind: Names this preprocessing in an artifact.
        scale: Natural units per unit, 255 for 8-bit pixels.
        mean: Mean for each position of the axis, or one for all.
        std: Standard deviation likewise, positive.
        axis: Axis of a sample ``(*feature,)`` that the statistics run along.
    """

    kind: Literal["standardize"] = "standardize"
    scale: float = Field(default=1.0, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    axis: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Standardize:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std have different lengths")
        if any(not value > 0 for value in self.std):
            raise ValueError("every std must be positive")
        return self

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        shape = [1] * like.ndim
        if like.ndim > 1:
            if self.axis + 1 >= like.ndim or len(values) not in (1, like.shape[self.axis + 1]):
                raise UsageError(
                    f"the preprocessing has {len(values)} statistics along axis {self.axis}, which samples "
                    f"of shape {tuple(like.shape[1:])} do not fit"
                )
            shape[self.axis + 1] = len(values)
        return torch.tensor(values, dtype=torch.float32, device=like.device).view(shape)

    def encode(self, raw: Tensor) -> Tensor:
        """Turn samples in natural units ``(n, *feature)`` into float32 as models take them."""
        values = raw.to(torch.float32)
        if self.scale != 1.0:
            values = values / self.scale
        return (values - self._column(self.mean, values)) / self._column(self.std, values)

    def decode(self, values: Tensor) -> Tensor:
        """Turn preprocessed samples ``(n, *feature)`` back into natural units, float32."""
        values = values.to(torch.float32)
        return (values * self._column(self.std, values) + self._column(self.mean, values)) * self.scale

    @classmethod
    def fit(cls, items: Items, *, scale: float = 1.0, axis: int = 0, shared: bool = False) -> Standardize:
        """Return the statistics of `items`, accumulated in pieces in float64.

        Args:
            items: Training samples.
            scale: Natural units per unit.
            axis: Axis of a sample that the statistics run along.
            shared: One mean and one standard deviation for the whole sample.

        Raises:
            UsageError: If there is no sample.
        """
        n = len(items.labels)
        if n == 0:
            raise UsageError("the training data are empty; give at least one sample per class")
        mean = square = torch.zeros(1, dtype=torch.float64)
        count = 0
        for rows in torch.arange(n).split(piece(items.feature, 8, 1024)):
            raw = items.read(rows).to(torch.float64, copy=True).div_(scale)
            values = raw.reshape(1, -1) if shared else raw.movedim(axis + 1, 0).flatten(1)
            # Chan, Golub and LeVeque's update: exact far from zero, where sums of squares are not.
            more = values.shape[1]
            own = values.mean(1)
            distance = own - mean
            apart = values.sub_(own[:, None]).square_().sum(1)
            square = square + apart + distance**2 * (count * more / (count + more))
            count += more
            mean = mean + distance * (more / count)
        std = (square / count).sqrt()
        # A constant feature carries nothing; leaving its scale alone keeps it finite.
        std = torch.where(std > 1e-7 * mean.abs().clamp(min=1e-7), std, torch.ones_like(std))
        return cls(scale=scale, mean=tuple(mean.tolist()), std=tuple(std.tolist()), axis=axis)
