"""Sources: which model a loss is evaluated on, and how it changes between steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from attar.contracts import Context, State, Subject, SyntheticSet
from attar.errors import InternalError

__all__ = ["Fresh", "FreshState"]


class FreshState:
    """The models drawn last, one per subject; rebuilt from the seed, so nothing is saved."""

    def __init__(self) -> None:
        self.models: dict[int, tuple[int, nn.Module]] = {}

    def state_dict(self) -> State:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Accept an empty state.

        Raises:
            InternalError: If the state belongs to another source.
        """
        if state:
            raise InternalError(f"a fresh source has no state, but found {sorted(state)}")


@dataclass(frozen=True)
class Fresh:
    """Freshly initialized models, each used for a number of steps.

    Attributes:
        model: Architecture, or "" for the task's default.
        reuse: Steps that each model is used for. Real data are shown to a model once, so
            the cost of the real side falls by this factor; 1 is the published schedule.
    """

    model: str = ""
    reuse: int = 1

    def prepare(self, ctx: Context) -> None:
        """Do nothing: fresh models need no preparation."""

    def init(self, ctx: Context) -> FreshState:
        """Return the state before the first step."""
        return FreshState()

    def next(self, state: FreshState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Return the model of the current step, drawing it if its turn begins."""
        version = ctx.clock.step // self.reuse
        known = state.models.get(ctx.clock.subject)
        if known is None or known[0] != version:
            model = ctx.task.build(self.model, ctx.gen("model", version)).to(ctx.device)
            # The loss differentiates the inputs only; weights are constants.
            model.requires_grad_(False)
            model.train()
            known = (version, model)
            state.models[ctx.clock.subject] = known
        return Subject(model=known[1], version=version)
