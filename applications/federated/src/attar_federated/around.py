"""Networks around a given one: what clients match on while a global network is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from attar.contracts import Context, LabelKind, Objective
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import Method
from torch import Tensor, nn

__all__ = ["Around", "AroundMethod", "load_weights"]


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network the weights of another, in the types of its own."""
    own = model.state_dict()
    model.load_state_dict({name: weights[name].to(own[name]).view_as(own[name]) for name in own})


@dataclass(frozen=True)
class Around(Fresh):
    """Networks at random places around one, each used for a number of steps.

    Attributes:
        weights: State of the network in the middle.
        radius: Norm of what is added to all its parameters together; 0 for the network itself.

    References:
        Xiong et al., "FedDM: Iterative Distribution Matching for Communication-Efficient Federated
        Learning", CVPR 2023, section 3.2: a Gaussian that is cut to a ball. In as many dimensions
        as a network has, all of it lies outside, so that what is cut lies on the sphere.
    """

    weights: Mapping[str, Tensor] = field(default_factory=dict)
    radius: float = 0.0

    def _build(self, ctx: Context, version: int) -> nn.Module:
        model = super()._build(ctx, version)
        load_weights(model, self.weights)
        gen = ctx.gen("around", version)
        away = [torch.randn(parameter.shape, generator=gen) for parameter in model.parameters()]
        norm = torch.stack([(part**2).sum() for part in away]).sum().sqrt()
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), away, strict=True):
                parameter.add_(part, alpha=float(self.radius / norm))
        return model


class AroundMethod:
    """A method whose networks lie around the global one.

    Args:
        method: The method that matches on fresh networks otherwise.
        around: Where the networks lie.
    """

    api = 1

    def __init__(self, method: Method, around: Around) -> None:
        self._method, self._around = method, around
        self.summary, self.reference = method.summary, method.reference
        self.Settings = method.Settings
        self.label_kinds: tuple[LabelKind, ...] = method.label_kinds

    def build(self, settings: Any) -> Objective:
        """Return the method's loss on networks around the global one."""
        objective = self._method.build(settings)
        reuse = objective.source.reuse if isinstance(objective.source, Fresh) else 1
        return replace(objective, source=replace(self._around, reuse=reuse))

    def optimizers(self, settings: Any) -> Mapping[str, OptimSpec]:
        """Return the method's optimizers."""
        return self._method.optimizers(settings)
