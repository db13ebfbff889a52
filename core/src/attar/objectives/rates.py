"""Step sizes of training on the synthetic set, where they are learned and where they are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["FixedRate", "OneRate", "RatePerStep", "Rates"]


class Rates(Protocol):
    """Says what the step sizes are."""

    def learned(self, steps: int) -> dict[str, float]:
        """Return the initial values of the scalars that are learned, by name."""

    def read(self, learned: Mapping[str, Tensor], steps: int, like: Tensor) -> Tensor:
        """Return the step sizes ``(steps,)``, of the type and on the device of `like`."""


@dataclass(frozen=True)
class FixedRate:
    """One step size that is not learned.

    Attributes:
        rate: The step size, positive.
    """

    rate: float

    def learned(self, steps: int) -> dict[str, float]:
        """Return nothing."""
        return {}

    def read(self, learned: Mapping[str, Tensor], steps: int, like: Tensor) -> Tensor:
        """Return the step size for every step."""
        return torch.full((steps,), self.rate, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class OneRate:
    """One step size, learned by its logarithm, so that it stays positive.

    Attributes:
        rate: Its initial value.
    """

    rate: float

    def learned(self, steps: int) -> dict[str, float]:
        """Return ``log_rate``."""
        return {"log_rate": math.log(self.rate)}

    def read(self, learned: Mapping[str, Tensor], steps: int, like: Tensor) -> Tensor:
        """Return the step size for every step."""
        return learned["log_rate"].exp().to(like).expand(steps)


@dataclass(frozen=True)
class RatePerStep:
    """A step size for each step, learned by their logarithms.

    Attributes:
        rate: Their initial value.

    References:
        Wang et al., "Dataset Distillation", 2018, section 3.1.
    """

    rate: float

    def learned(self, steps: int) -> dict[str, float]:
        """Return ``log_rate_0`` and so on."""
        return {f"log_rate_{index}": math.log(self.rate) for index in range(steps)}

    def read(self, learned: Mapping[str, Tensor], steps: int, like: Tensor) -> Tensor:
        """Return the step sizes in order."""
        return torch.stack([learned[f"log_rate_{index}"] for index in range(steps)]).exp().to(like)
