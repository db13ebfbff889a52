"""Infinitely wide networks, as the kernels that they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from attar.errors import UsageError
from attar.nets import Depth

__all__ = ["InfiniteMLP", "NoLogits", "relu_kernel"]

# How near to 1 a cosine may come: its slope there is infinite, and rounding passes it.
_NEAR = {torch.float32: 1e-6, torch.float64: 1e-12}


def relu_kernel(covariance: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a ReLU layer with weights of variance ``2 / fan-in`` makes of a covariance.

    Args:
        covariance: Of the activations before it, ``(n, m)``.
        one: Second moments of those of the first samples, ``(n,)``; the layer keeps them.
        other: Those of the second samples, ``(m,)``.

    Returns:
        The covariance after the layer, and the covariance of its slopes, each ``(n, m)``.

    References:
        Cho and Saul, "Kernel Methods for Deep Learning", NIPS 2009, equations 3 to 6.
    """
    near = _NEAR.get(covariance.dtype, 1e-6)
    norms = (one[:, None] * other[None, :]).clamp(min=torch.finfo(covariance.dtype).tiny).sqrt()
    cosine = (covariance / norms).clamp(-1 + near, 1 - near)
    slope = (math.pi - torch.arccos(cosine)) / math.pi
    return norms * (torch.sqrt(1 - cosine**2) / math.pi + slope * cosine), slope


class NoLogits(nn.Module):
    """Base of infinitely wide networks, which answer nothing without a training set."""

    def forward(self, inputs: object) -> Tensor:
        """Refuse.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "an infinitely wide network has a kernel and no logits; choose another architecture, such as mlp"
        )


class InfiniteMLP(NoLogits):
    """A fully connected ReLU network of infinite width, without parameters.

    Weights have variance ``2 / fan-in`` and biases `bias_variance`, so that a finite network of
    growing width has this kernel in the limit.

    Args:
        feature: Shape of one sample, ``(*feature,)``.
        classes: Number of classes; not used.
        depth: Number of hidden layers.
        kind: ``ntk``, the tangent kernel of a network trained in all layers, or ``nngp``, the
            covariance of its outputs at initialization, which training the last layer alone has.
        bias_variance: Variance of the biases.

    References:
        Jacot et al., "Neural Tangent Kernel", NeurIPS 2018, theorem 1.
    """

    coupled = False

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        depth: Depth = 2,
        kind: Literal["ntk", "nngp"] = "ntk",
        bias_variance: Annotated[float, Field(ge=0)] = 0.01,
    ) -> None:
        super().__init__()
        self.depth, self.kind, self.bias_variance = depth, kind, bias_variance

    def kernel(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the kernel between samples ``(n, *feature)`` and ``(m, *feature)``, ``(n, m)``."""
        a, b = one.flatten(1), other.flatten(1)
        bias, d = self.bias_variance, a.shape[1]
        covariance = 2 * (a @ b.T) / d + bias
        own = [2 * (each**2).sum(1) / d + bias for each in (a, b)]
        tangent = covariance
        for _ in range(self.depth):
            covariance, slope = relu_kernel(covariance, *own)
            covariance = covariance + bias
            tangent = covariance + tangent * slope
            own = [each + bias for each in own]
        return tangent if self.kind == "ntk" else covariance
