"""Sources: which model a loss is evaluated on, and how it changes between steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attar.architectures import capability, coupled
from attar.contracts import Context, State, Subject, SyntheticSet
from attar.cost import Cost
from attar.errors import InternalError

__all__ = ["Ensemble", "Fresh", "FreshState", "Rebuilt"]


class Ensemble(nn.Module):
    """Models side by side, whose embeddings are one long one.

    Args:
        models: The models, each with ``embed``.
    """

    def __init__(self, models: list[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.coupled = any(coupled(model) for model in models)

    def embed(self, inputs: Any) -> Tensor:
        """Return all embeddings, ``(n, Σ d)``."""
        return torch.cat([capability(model, "embed")(inputs) for model in self.models], dim=1)

    def forward(self, inputs: Any) -> Tensor:
        """Return the mean of the logits, ``(n, classes)``."""
        return torch.stack([model(inputs) for model in self.models]).mean(0)


class Rebuilt:
    """State of a source that is rebuilt from the seed, or read from the disk again: nothing is saved."""

    def state_dict(self) -> State:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Accept an empty state.

        Raises:
            InternalError: If the state belongs to another source.
        """
        if state:
            raise InternalError(f"this source has no state, but found {sorted(state)}")


class FreshState(Rebuilt):
    """The models drawn last, one per subject."""

    def __init__(self) -> None:
        self.models: dict[int, tuple[int, nn.Module]] = {}


@dataclass(frozen=True)
class Fresh:
    """Freshly initialized models, each used for a number of steps.

    Attributes:
        model: Architecture, or "" for the task's default.
        reuse: Steps that each model is used for. Real data are shown to a model once, so
            the cost of the real side falls by this factor; 1 is the published schedule.
        count: Models side by side at each step; their embeddings are joined.
    """

    model: str = ""
    reuse: int = 1
    count: int = 1

    def prepare(self, ctx: Context) -> Cost:
        """Do nothing: fresh models need no preparation."""
        return Cost()

    def init(self, ctx: Context) -> FreshState:
        """Return the state before the first step."""
        return FreshState()

    def next(self, state: FreshState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Return the model of the current step, drawing it if its turn begins."""
        version = ctx.clock.step // self.reuse
        known = state.models.get(ctx.clock.subject)
        if known is None or known[0] != version:
            model = self._build(ctx, version).to(ctx.device)
            # The loss differentiates the inputs only; weights are constants.
            model.requires_grad_(False)
            model.train()
            known = (version, model)
            state.models[ctx.clock.subject] = known
        return Subject(model=known[1], version=version)

    def _build(self, ctx: Context, version: int) -> nn.Module:
        if self.count == 1:
            return ctx.task.build(self.model, ctx.gen("model", version))
        return Ensemble(
            [ctx.task.build(self.model, ctx.gen("model", version, index)) for index in range(self.count)]
        )
