"""Optimizers as values: what steps a role of a synthetic set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from attar.settings import Settings

__all__ = ["OptimSpec"]


class OptimSpec(Settings):
    """An optimizer and its settings.

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        lr: Step size, positive.
        momentum: Momentum of ``sgd``, in ``[0, 1)``.
        weight_decay: L2 penalty, at least 0.
        final: Fraction of the step size that is left in the last step, reached along half a
            cosine; 1 keeps it constant.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    final: float = Field(default=1.0, ge=0, le=1)

    def rate(self, step: int, steps: int) -> float:
        """Return the step size of a step, from 0, of a run of `steps` steps.

        References:
            Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
            ICLR 2017, equation 5.
        """
        done = step / max(steps - 1, 1)
        return self.lr * (self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of `parameters`."""
        if self.name == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
            )
        kind = torch.optim.Adam if self.name == "adam" else torch.optim.AdamW
        return kind(parameters, lr=self.lr, weight_decay=self.weight_decay)
