"""The loop that distills: one step of one objective after another, saved and resumed exactly."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attar.architectures import check_model, coupled
from attar.batch import Batch
from attar.checkpoint import finite
from attar.contracts import (
    Clock,
    Context,
    Objective,
    PreparationStopped,
    State,
    Stateful,
    Subject,
    SyntheticSet,
    Task,
    Workplace,
)
from attar.cost import Cost, Meter
from attar.errors import DivergenceError, InternalError, UsageError
from attar.optim import OptimSpec
from attar.portions import class_portions, rows_at_once, rows_of
from attar.rng import derive, scoped

__all__ = ["Observation", "Outcome", "RunOptions", "StepRecord", "Stopped", "frozen_buffers", "run"]

logger = logging.getLogger(__name__)

_ROWS = 512


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


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes:
        syn: The distilled set.
        learned: Values of the scalars learned beside it.
        loss: Loss of the last step.
        cost: What it cost, interrupted parts included.
    """

    syn: SyntheticSet
    learned: Mapping[str, float]
    loss: float
    cost: Cost


class Stopped(Exception):
    """The run was stopped on request after saving.

    Attributes:
        step: Steps done.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after {step} steps")
        self.step = step


@dataclass(frozen=True)
class Observation:
    """What the real data showed one version of one subject, and the augmentation they had.

    Attributes:
        version: The subject's version.
        stats: What the loss observed, for each portion of the classes.
        draws: The augmentation's draws, one per class, or None.
    """

    version: int
    stats: tuple[Any, ...]
    draws: Any


@contextmanager
def frozen_buffers(model: nn.Module) -> Iterator[None]:
    """Leave the buffers of a model, such as running statistics, as they were.

    The model works on copies meanwhile. Writing the old values back instead would change, under
    autograd's feet, what a later backward pass still needs.
    """
    saved = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in saved:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in saved:
            setattr(module, name, buffer)


class _Engine:
    """The parts of a run that change from step to step."""

    def __init__(
        self,
        task: Task,
        objective: Objective,
        syn: SyntheticSet,
        optim: Mapping[str, OptimSpec],
        seed: int,
        steps: int,
        options: RunOptions,
        at_once: int,
    ) -> None:
        self.at_once = at_once
        self.task, self.objective, self.options, self.seed = task, objective, options, seed
        self.syn = syn.to(options.device)
        self.learned = {
            name: nn.Parameter(torch.tensor(float(value), device=options.device))
            for name, value in objective.learned.items()
        }
        roles = dict(self.syn.groups())
        if self.learned:
            roles["learned"] = list(self.learned.values())
        missing = roles.keys() - optim.keys()
        if missing:
            raise UsageError(
                f"no optimizer is given for {', '.join(sorted(missing))}; add one to the settings"
            )
        self.optim = optim
        self.used = {role: optim[role] for role in roles}
        self.optimizers = {role: optim[role].build(roles[role]) for role in sorted(roles)}
        # Before a state is loaded: a run that is resumed has the units that it began with.
        self.units = {role: optim[role].unit(roles[role]) for role in roles}
        self.context = Context(
            task=task,
            seed=seed,
            clock=Clock(0, steps),
            device=options.device,
            workplace=Workplace(
                folder=options.experts,
                given=options.experts is not None,
                tell=options.tell,
                stop=options.stop,
            ),
        )
        self.prepared = objective.source.prepare(self.context)
        self.source: Stateful = objective.source.init(self.context)
        self.seen: dict[int, Observation] = {}
        self.portions: list[list[int]] | None = None

    def state_dict(self) -> State:
        return {
            "syn": dict(self.syn.state_dict()),
            "optimizers": {role: each.state_dict() for role, each in self.optimizers.items()},
            "source": self.source.state_dict(),
            "learned": {name: each.detach() for name, each in self.learned.items()},
        }

    def load_state_dict(self, state: State) -> None:
        self.syn.load_state_dict(state["syn"])
        for role, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][role])
        self.source.load_state_dict(state["source"])
        with torch.no_grad():
            for name, parameter in self.learned.items():
                parameter.copy_(state["learned"][name])

    def step(self, clock: Clock, subjects: int) -> float:
        """Take one step and return its loss."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for k in range(subjects):
            total += self._subject(replace(self.context, clock=replace(clock, subject=k)))
        active = self.syn.active(clock) | {"learned"}
        if not math.isfinite(total):
            return total
        for role, optimizer in self.optimizers.items():
            if role in active:
                for group in optimizer.param_groups:
                    group["lr"] = self.units[role] * self.optim[role].rate(clock.step, clock.steps)
                optimizer.step()
        return total

    def relabel(self, clock: Clock) -> None:
        """Give the set the labels that the models of a step answer to it."""
        ctx = replace(self.context, clock=clock)
        model = self.objective.source.next(self.source, ctx, self.syn).model
        batch = self.syn.decode().constant()
        with torch.no_grad(), frozen_buffers(model), scoped(ctx.gen("relabel", clock.step)):
            parts = [batch] if coupled(model) else batch.chunks(rows_at_once(batch, _ROWS))
            logits = torch.cat([model(part.inputs) for part in parts])
            self.syn.relabel((logits / self.objective.relabel).softmax(1))

    def _subject(self, ctx: Context) -> float:
        subject = self.objective.source.next(self.source, ctx, self.syn)
        if self.portions is None:
            loss = self.objective.loss
            with torch.no_grad():
                labels = self.syn.decode().labels.cpu()
            self.portions = class_portions(self.task, loss, subject.model, labels, self.at_once)
        # Not merely disabled without bf16: not every device has autocast in every version.
        bf16 = self.options.bf16
        precision = torch.autocast(ctx.device.type, dtype=torch.bfloat16) if bf16 else nullcontext()
        with frozen_buffers(subject.model), precision:
            # Streams of their own: a resumed run observes again, at another step.
            with scoped(ctx.gen("observe", subject.version)):
                seen = self._observed(subject, ctx)
        with scoped(ctx.gen("compare", ctx.clock.step)), frozen_buffers(subject.model), precision:
            if len(self.portions) > 1:
                return self._portioned(subject, seen, ctx)
            return self._compared(subject, seen.stats[0], self.syn.decode(), seen.draws, ctx)

    def _compared(self, subject: Subject, stats: Any, batch: Batch, draws: Any, ctx: Context) -> float:
        """Return the loss of a batch and send its gradient back."""
        shown = self._augmented(batch, draws)
        loss = self.objective.loss.compare(subject, stats, shown, ctx, self.learned)
        if loss.ndim != 0:
            raise InternalError(f"a loss must be a scalar, but has shape {tuple(loss.shape)}")
        loss.backward()
        return float(loss.detach())

    def _portioned(self, subject: Subject, seen: Observation, ctx: Context) -> float:
        """Return the loss of the whole set, a portion of its classes at a time."""
        batch, outs, leaves = self.syn.decode().detached()
        total = 0.0
        for labels, stats in zip(self.portions or (), seen.stats, strict=True):
            part = batch.take(rows_of(batch, labels))
            total += self._compared(subject, stats, part, seen.draws, ctx)
        reached = [(out, leaf.grad) for out, leaf in zip(outs, leaves, strict=True) if leaf.grad is not None]
        torch.autograd.backward([out for out, _ in reached], [grad for _, grad in reached])
        return total

    def _augmented(self, batch: Batch, draws: Any) -> Batch:
        if draws is None or self.task.augment is None:
            return batch
        return self.task.augment.apply(batch, draws, batch.labels)

    def _observed(self, subject: Subject, ctx: Context) -> Observation:
        """Return what real data show this version of the subject, looking only once."""
        known = self.seen.get(ctx.clock.subject)
        if known is not None and known.version == subject.version:
            return known
        draws = None
        if self.objective.siamese and self.task.augment is not None:
            draws = self.task.augment.draw(len(self.task.classes), ctx.gen("augment", subject.version))
        # One generator for all portions: how they are cut changes no draw of a class.
        gen = ctx.gen("real", subject.version)
        wanted, stats = self.objective.loss.real, []
        for labels in self.portions or ():
            real = None
            if wanted is not None:
                real = self.task.draw(wanted.per_class, gen, labels).to(ctx.device)
                real = self._augmented(real, draws)
            stats.append(self.objective.loss.observe(subject, real, ctx))
        found = Observation(version=subject.version, stats=tuple(stats), draws=draws)
        self.seen[ctx.clock.subject] = found
        return found


def check(task: Task, objective: Objective, model: str, seed: int) -> None:
    """Refuse a model that lacks what the loss needs or does not fit the data, before any work.

    Raises:
        UsageError: Naming what is wrong.
    """
    check_model(task, model, seed, objective.loss.needs)
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
        resume: Steps done, state and cost of an interrupted run.
        options: How the run is carried out.

    Returns:
        The set with its cost. A resumed run ends bit for bit where the uninterrupted one
        does, given the same machine type and number of threads.

    Raises:
        DivergenceError: If the loss or the set stops being finite; the last state saved is good.
        Stopped: If `options.stop` asked for it; the state has been saved.
        UsageError: If settings do not fit together.
    """
    options = options or RunOptions()
    try:
        engine = _Engine(task, objective, syn, optim, seed, steps, options, classes_at_once)
    except PreparationStopped:
        raise Stopped(0 if resume is None else resume[0]) from None
    done, loss, meter = 0, math.nan, Meter(Cost() if options.counted else engine.prepared)
    if resume is not None:
        done, state, cost = resume
        engine.load_state_dict(state)
        meter = Meter(cost)
    saved = done
    for step in range(done, steps):
        loss = engine.step(Clock(step, steps), subjects)
        done = step + 1
        if not math.isfinite(loss):
            raise DivergenceError(_diverged(done, saved, engine.used))
        for callback in options.callbacks:
            callback(StepRecord(step=done, steps=steps, loss=loss, cost=meter.read(), syn=engine.syn))
        stopping = done < steps and options.stop()
        if done % options.save_every == 0 or done == steps or stopping:
            state = engine.state_dict()
            if not finite([state["syn"], state["learned"]]):
                raise DivergenceError(_diverged(done, saved, engine.used))
            if options.save is not None:
                options.save(done, state, meter.read())
                saved = done
        if stopping:
            raise Stopped(done)
    if objective.relabel and engine.syn.label_kind == "probability":
        engine.relabel(Clock(steps - 1, steps))
    learned = {name: float(each.detach()) for name, each in engine.learned.items()}
    return Outcome(syn=engine.syn, learned=learned, loss=loss, cost=meter.read())


def _diverged(step: int, saved: int, optim: Mapping[str, OptimSpec]) -> str:
    rates = ", ".join(f"{role} {spec.lr:g}" for role, spec in sorted(optim.items()))
    return (
        f"the run stopped being finite at step {step} (last good checkpoint: step {saved}); "
        f"lower the step size objective.lr (now: {rates})"
    )
