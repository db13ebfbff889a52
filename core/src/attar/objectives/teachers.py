"""Models that were trained on real data once and for all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from attar.contracts import Context, Subject, SyntheticSet
from attar.cost import Cost
from attar.experts import Experts, ExpertSpec, experts_folder
from attar.objectives.sources import Rebuilt

__all__ = ["Teachers", "TeachersState"]


class TeachersState(Rebuilt):
    """The teachers at hand."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []


@dataclass(frozen=True)
class Teachers:
    """Networks trained on the whole training data, in evaluation mode; a random one at each step.

    Attributes:
        model: Architecture, or "" for the task's default.
        experts: How they are trained; one snapshot at the end suffices.

    References:
        Yin et al., "Squeeze, Recover and Relabel: Dataset Condensation at ImageNet Scale From A New
        Perspective", NeurIPS 2023, section 2: squeeze.
    """

    model: str
    experts: ExpertSpec

    def _experts(self, ctx: Context) -> Experts:
        folder = ctx.workplace.folder or experts_folder()
        return Experts(ctx.task, self.model, self.experts, folder, ctx.device)

    def prepare(self, ctx: Context) -> Cost:
        """Train the teachers that are missing, and return what all of them cost.

        Raises:
            PreparationStopped: If the workplace asked for it.
        """
        return self._experts(ctx).prepare(ctx.workplace, "teacher")

    def init(self, ctx: Context) -> TeachersState:
        """Return the state before the first step."""
        return TeachersState()

    def next(self, state: TeachersState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Return one of the teachers."""
        if not state.models:
            state.models = self._restored(ctx)
        gen = ctx.gen("teacher", ctx.clock.step)
        index = int(torch.randint(len(state.models), (1,), generator=gen))
        return Subject(model=state.models[index], version=index)

    def _restored(self, ctx: Context) -> list[nn.Module]:
        models = []
        for expert in self._experts(ctx).required():
            model = ctx.task.build(self.model, ctx.gen("model", expert.record.index)).to(ctx.device)
            expert.restore(model)
            models.append(model.requires_grad_(False).eval())
        return models
