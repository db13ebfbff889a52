"""What held-out data say of a set, and the step of a run that they say is best.

More steps of a method are not always better: a set may come to fit the models that it is matched on, and
no longer those that will be trained on it. The test split takes no part in any choice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from attar.contracts import State, SyntheticSet, Task
from attar.engine import Engine
from attar.errors import UsageError
from attar.plugins import MethodSettings
from attar.rng import derive
from attar.saved import require, same_form
from attar.training import BatchEpochs, accuracy, fit

__all__ = ["BestStep", "Validation", "check_choice", "held_out_accuracy", "validation"]

logger = logging.getLogger(__name__)

_NETWORKS = 2


@dataclass(frozen=True)
class Validation:
    """How a run is judged on its way.

    Attributes:
        every: Steps between two looks; there is one after the last step, too.
        accuracy: Returns what held-out data say of a set, in percent.
    """

    every: int
    accuracy: Callable[[SyntheticSet], float]


def check_choice(task: Task, chosen: MethodSettings) -> None:
    """Refuse a choice among runs or steps that held-out data cannot make.

    Raises:
        UsageError: If nothing is held out, or no step would be looked at but the last.
    """
    asked = {"restarts": chosen.restarts > 1, "validate_every": chosen.validate_every > 0}
    nothing = {"restarts": 1, "validate_every": 0}
    for name in (name for name, flag in asked.items() if flag):
        if not task.size("validation"):
            raise UsageError(
                f"objective.{name} chooses on held-out data, and {task.name!r} has none; set "
                f"data.validation, or objective.{name}={nothing[name]}"
            )
    if chosen.validate_every > chosen.steps:
        raise UsageError(
            f"objective.validate_every={chosen.validate_every} is more than objective.steps={chosen.steps}; "
            f"choose fewer, or 0 to keep the last step's set"
        )


def held_out_accuracy(
    task: Task, syn: SyntheticSet, model: str, seed: int, purpose: str, device: torch.device
) -> float:
    """Return the mean accuracy, in percent, of two networks that are trained on a set, on held-out data.

    They are trained as the data's default protocol says. Their draws depend on the seed and the purpose
    alone, so that sets are judged by the same networks.

    Args:
        task: The real data.
        syn: The set.
        model: Architecture of the networks.
        seed: Seed of the run.
        purpose: What the set is judged for.
        device: Where the networks live.
    """
    with torch.no_grad():
        batch = syn.decode().constant().to(device)
    epochs, total = BatchEpochs(batch, syn.label_kind), 0.0
    protocol = next(iter(task.protocols.values()))

    def score(trained: torch.nn.Module) -> float:
        return accuracy(trained, task, "validation", device=device)

    for number in range(_NETWORKS):
        network = task.build(model, derive(seed, purpose, "network", number)).to(device)
        gen = derive(seed, purpose, "fit", number)
        fit(network, epochs, protocol, gen, task.augment, score=score, device=device)
        total += score(network)
    return total / _NETWORKS


def validation(
    task: Task, chosen: MethodSettings, model: str, seed: int, device: torch.device
) -> Validation | None:
    """Return how held-out data judge the set of a run on its way, if they do.

    Args:
        task: The real data.
        chosen: The settings of the method.
        model: Architecture that the set is meant for.
        seed: Seed of the run.
        device: Where networks live.
    """
    if not chosen.validate_every:
        return None

    def judged(syn: SyntheticSet) -> float:
        with torch.no_grad():
            stored = syn.bake()
        return held_out_accuracy(task, stored, model, seed, "validate", device)

    return Validation(chosen.validate_every, judged)


class BestStep:
    """The set that held-out data judged best so far, as a run goes on.

    Args:
        validation: How it is judged; None keeps nothing.
    """

    def __init__(self, validation: Validation | None) -> None:
        self._validation = validation
        self._kept: State = {}
        self.scores: list[tuple[int, float]] = []

    def look(self, step: int, engine: Engine) -> None:
        """Judge the set after a step where it is time to; the earliest of equals is kept."""
        validation, clock = self._validation, engine.context.clock
        if validation is None or (step % validation.every and step != clock.steps):
            return
        ranks = engine.ranks
        found = ranks.share(validation.accuracy(engine.syn) if ranks.rank == 0 else 0.0)
        logger.info("step %d: %.1f %% on held-out data", step, found)
        if not self.scores or found > max(score for _, score in self.scores):
            self._kept = engine.made()
        self.scores.append((step, found))

    def restore(self, engine: Engine) -> None:
        """Give the engine the set that was best."""
        if self.scores:
            engine.remake(self._kept)

    def state_dict(self) -> State:
        """Return what a checkpoint holds of it: nothing where nothing is judged."""
        return {"best": {"scores": self.scores, "kept": self._kept}} if self.scores else {}

    def load_state_dict(self, state: State, step: int, engine: Engine) -> None:
        """Go on from a checkpoint that holds what :meth:`state_dict` returned.

        Args:
            state: What it holds.
            step: Steps done.
            engine: The parts of the run.

        Raises:
            SavedStateError: If it is none of such a run.
        """
        steps, every = engine.context.clock.steps, 0 if self._validation is None else self._validation.every
        looks = [each for each in range(1, step + 1) if each % every == 0 or each == steps] if every else []
        require(("best" in state) == bool(looks), "the best set")
        if not looks:
            return
        best = state["best"]
        fits = isinstance(best, Mapping) and same_form(best.get("scores"), [[each, 0.0] for each in looks])
        require(fits and engine.has_made(best.get("kept")), "the best set")
        require([each for each, _ in best["scores"]] == looks, "the best set")
        self.scores = [(each, score) for each, score in best["scores"]]
        self._kept = best["kept"]
