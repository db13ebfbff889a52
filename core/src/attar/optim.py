"""Optimizers as values: what steps a role of a synthetic set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from attar.settings import Settings

__all__ = ["MEAN_NORM", "OptimSpec"]

MEAN_NORM = "mean_norm"
"""Key of a parameter group that holds the running mean of its gradients' norm."""


class OptimSpec(Settings):
    """An optimizer and its settings.

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        lr: Step size, positive.
        momentum: Momentum of ``sgd``, in ``[0, 1)``.
        weight_decay: L2 penalty, at least 0.
        final: Fraction of the step size that is left in the last step, reached along half a
            cosine; 1 keeps it constant.
        relative: Whether the step size is in units of the standard deviation of the parameters as
            they are when the optimizer is built, so that one setting serves data of any scale.
        clip: Decay of a running mean of the gradients' norm; gradients longer than the mean are
            shortened to it. 0 leaves them as they are.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    final: float = Field(default=1.0, ge=0, le=1)
    relative: bool = False
    clip: float = Field(default=0.0, ge=0, lt=1)

    def rate(self, step: int, steps: int) -> float:
        """Return the step size of a step, from 0, of a run of `steps` steps.

        References:
            Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
            ICLR 2017, equation 5.
        """
        done = step / max(steps - 1, 1)
        return self.lr * (self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2)

    def unit(self, parameters: Iterable[nn.Parameter]) -> float:
        """Return what step sizes are multiplied by: 1, or the standard deviation where relative."""
        if not self.relative:
            return 1.0
        values = torch.cat([each.detach().flatten() for each in parameters])
        spread = float(values.std(correction=0)) if len(values) else 0.0
        return spread if 0 < spread < math.inf else 1.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of `parameters`."""
        stepped = list(parameters)
        optimizer = self._plain(stepped, self.lr * self.unit(stepped))
        if self.clip:
            optimizer.param_groups[0][MEAN_NORM] = 0.0
            optimizer.register_step_pre_hook(self._shorten)
        return optimizer

    def _plain(self, stepped: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        if self.name == "sgd":
            return torch.optim.SGD(stepped, lr=lr, momentum=self.momentum, weight_decay=self.weight_decay)
        kind = torch.optim.Adam if self.name == "adam" else torch.optim.AdamW
        return kind(stepped, lr=lr, weight_decay=self.weight_decay)

    def _shorten(self, optimizer: torch.optim.Optimizer, given: object, named: object) -> None:
        """Shorten the gradients of the first group to the running mean of their norm.

        The mean is part of the group, so that it is saved and restored with the optimizer.

        References:
            Feng et al., "Embarrassingly Simple Dataset Distillation", ICLR 2024, section 4.2.
        """
        group = optimizer.param_groups[0]
        grads = [each.grad for each in group["params"] if each.grad is not None]
        if not grads:
            return
        norm = float(torch.stack([grad.norm() for grad in grads]).norm())
        if not math.isfinite(norm):
            return
        before = group[MEAN_NORM] or norm
        group[MEAN_NORM] = self.clip * before + (1 - self.clip) * norm
        if norm > before:
            for grad in grads:
                grad.mul_(before / norm)
