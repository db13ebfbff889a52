"""Optimizers as values: what steps a role of a synthetic set."""

from __future__ import annotations

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
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of `parameters`."""
        if self.name == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
            )
        kind = torch.optim.Adam if self.name == "adam" else torch.optim.AdamW
        return kind(parameters, lr=self.lr, weight_decay=self.weight_decay)
