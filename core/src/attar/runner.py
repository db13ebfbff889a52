"""The loop that distills: one step of one objective after another, saved and resumed exactly."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from attar.architectures import check_model
from attar.checkpoint import finite
from attar.contracts import (
    Clock,
    Objective,
    PreparationStopped,
    State,
    SyntheticSet,
    Task,
    Workplace,
)
from attar.cost import Cost, Meter
from attar.engine import Engine, frozen_buffers
from attar.errors import DivergenceError
from attar.held_out import BestStep, Validation
from attar.optim import OptimSpec
from attar.ranks import ALONE, Ranks
from attar.rng import derive
from attar.saved import require, whole

__all__ = ["Outcome", "RunOptions", "StepRecord", "Stopped", "frozen_buffers", "run"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepRecord:
    """What a callback is told after a step.

    Attributes:
        step: Steps done, from 1.
        steps: Steps of the whole run.
        loss: Loss of the step, summed over its models.
        cost: Cost so far.
        syn: The set as it is; it changes with the next step, so keep a copy of what you keep.
    """

    step: int
    steps: int
    loss: float
    cost: Cost
    syn: SyntheticSet


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; none of it changes what is distilled, but device and precision.

    Attributes:
        device: Where models and the set live; draws are made on the CPU everywhere.
        bf16: Whether forward passes run in bfloat16.
        callbacks: Called after each step.
        save: Called with the steps done, the state and the cost so far.
        save_every: Steps between calls of `save`.
        stop: Asked after each step; True saves and ends the run early.
        experts: Folder of all experts that the run needs; None makes them and keeps them in the cache.
        counted: Whether what sources prepare is counted elsewhere, as by a run before this one.
        tell: Called with what is being prepared before the first step, for people.
        ranks: The processes that the run is divided among.
    """

    device: torch.device = torch.device("cpu")
    bf16: bool = False
    callbacks: Sequence[Callable[[StepRecord], None]] = ()
    save: Callable[[int, State, Cost], None] | None = None
    save_every: int = 100
    stop: Callable[[], bool] = field(default=lambda: False)
    experts: Path | None = None
    counted: bool = False
    tell: Callable[[str], None] = field(default=lambda note: None)
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes:
        syn: The distilled set.
        learned: Values of the scalars learned beside it.
        loss: Loss of the last step.
        cost: What it cost, interrupted parts included.
        validated: Steps at which held-out data judged the set, and their accuracies in percent.
    """

    syn: SyntheticSet
    learned: Mapping[str, float]
    loss: float
    cost: Cost
    validated: tuple[tuple[int, float], ...] = ()


class Stopped(Exception):
    """The run was stopped on request after saving.

    Attributes:
        step: Steps done.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after {step} steps")
        self.step = step


def check(task: Task, objective: Objective, model: str, seed: int, networks: int = 1) -> None:
    """Refuse a model that lacks what the loss needs or does not fit the data, before any work.

    Args:
        task: The real data.
        objective: What it is for.
        model: Architecture.
        seed: Seed of the initialization.
        networks: Such models that are in memory together.

    Raises:
        UsageError: Naming what is wrong.
    """
    check_model(task, model, seed, objective.loss.needs, networks)
    suits = getattr(objective.loss, "suits", None)
    if suits is not None:
        suits(task.build(model, derive(seed, "check")))


def run(
    task: Task,
    objective: Objective,
    syn: SyntheticSet,
    *,
    steps: int,
    optim: Mapping[str, OptimSpec],
    seed: int,
    subjects: int = 1,
    classes_at_once: int = 0,
    validation: Validation | None = None,
    resume: tuple[int, State, Cost] | None = None,
    options: RunOptions | None = None,
) -> Outcome:
    """Distill a task into a synthetic set.

    Args:
        task: The real data; its test split is never touched.
        objective: What is matched, on which models.
        syn: The set at its start; it is changed in place.
        steps: Number of steps.
        optim: Optimizer of each role of the set, and of ``learned``.
        seed: Seed that every draw is derived from.
        subjects: Models per step, whose gradients are summed.
        classes_at_once: Classes that are in memory together where the loss is a sum over
            classes; 0 chooses by their size.
        validation: How held-out data judge the set on its way, of which the best is kept; None keeps
            that of the last step.
        resume: Steps done, state and cost of an interrupted run.
        options: How the run is carried out.

    Returns:
        The set with its cost. A resumed run ends bit for bit where the uninterrupted one
        does, given the same machine type and number of threads.

    Raises:
        DivergenceError: If the loss or the set stops being finite; the last state saved is good.
        Stopped: If `options.stop` asked for it; the state has been saved.
        UsageError: If settings do not fit together.
        SavedStateError: If the state to go on from is none of such a run.
    """
    options = options or RunOptions()
    try:
        engine = _engine(task, objective, syn, optim, seed, steps, classes_at_once, options)
    except PreparationStopped:
        raise Stopped(0 if resume is None else resume[0]) from None
    done, loss, meter = 0, math.nan, Meter(Cost() if options.counted else engine.prepared)
    best = BestStep(validation)
    if resume is not None:
        done, state, cost = resume
        require(whole(done, 1, steps), "the step")
        engine.load_state_dict(state)
        best.load_state_dict(state, done, engine)
        meter = Meter(cost)
    saved = done
    for step in range(done, steps):
        loss = engine.step(Clock(step, steps), subjects)
        done = step + 1
        if not math.isfinite(loss):
            raise DivergenceError(_diverged(done, saved, engine.used))
        for callback in options.callbacks:
            callback(StepRecord(step=done, steps=steps, loss=loss, cost=meter.read(), syn=engine.syn))
        best.look(done, engine)
        stopping = options.ranks.any(done < steps and options.stop())
        if done % options.save_every == 0 or done == steps or stopping:
            state = engine.state_dict() | best.state_dict()
            if not finite([state["syn"], state["learned"]]):
                raise DivergenceError(_diverged(done, saved, engine.used))
            if options.save is not None:
                options.save(done, state, meter.read())
                saved = done
        if stopping:
            raise Stopped(done)
    best.restore(engine)
    if objective.relabel and engine.syn.label_kind == "probability":
        engine.relabel(Clock(steps - 1, steps))
    learned = {name: float(each.detach()) for name, each in engine.learned.items()}
    judged = tuple(best.scores)
    return Outcome(syn=engine.syn, learned=learned, loss=loss, cost=meter.read(), validated=judged)


def _engine(
    task: Task,
    objective: Objective,
    syn: SyntheticSet,
    optim: Mapping[str, OptimSpec],
    seed: int,
    steps: int,
    classes_at_once: int,
    options: RunOptions,
) -> Engine:
    """Return the parts of a run, once what its source prepares is there."""
    workplace = Workplace(
        folder=options.experts,
        given=options.experts is not None,
        tell=options.tell,
        stop=options.stop,
    )
    return Engine(
        task,
        objective,
        syn,
        optim,
        seed,
        steps,
        classes_at_once,
        device=options.device,
        bf16=options.bf16,
        workplace=workplace,
        ranks=options.ranks,
    )


def _diverged(step: int, saved: int, optim: Mapping[str, OptimSpec]) -> str:
    rates = ", ".join(f"{role} {spec.lr:g}" for role, spec in sorted(optim.items()))
    return (
        f"the run stopped being finite at step {step} (last good checkpoint: step {saved}); "
        f"lower the step size objective.lr (now: {rates})"
    )
