"""One step of a run: what real data show, what the set shows, and the optimizers that follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import (
    Clock,
    Context,
    Objective,
    State,
    Stateful,
    Subject,
    SyntheticSet,
    Task,
    Workplace,
)
from attar.errors import InternalError, UsageError
from attar.optim import OptimSpec
from attar.portions import class_portions, rows_at_once, rows_of
from attar.precision import reduced_precision
from attar.ranks import ALONE, Ranks, summed_gradients
from attar.rng import scoped
from attar.saved import give_optimizer, require, same_form, told_of_others

__all__ = ["Engine", "Observation", "frozen_buffers"]

_ROWS = 512


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


class Engine:
    """The parts of a run that change from step to step."""

    def __init__(
        self,
        task: Task,
        objective: Objective,
        syn: SyntheticSet,
        optim: Mapping[str, OptimSpec],
        seed: int,
        steps: int,
        at_once: int,
        device: torch.device,
        bf16: bool,
        workplace: Workplace,
        ranks: Ranks = ALONE,
    ) -> None:
        self.at_once, self.ranks = at_once, ranks
        self.task, self.objective, self.bf16 = task, objective, bf16
        self.syn = syn.to(device)
        self.learned = {
            name: nn.Parameter(torch.tensor(float(value), device=device))
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
        self.context = Context(task, seed, Clock(0, steps), device, workplace)
        self.prepared = objective.source.prepare(self.context)
        self.source: Stateful = objective.source.init(self.context)
        self.seen: dict[int, Observation] = {}
        self.portions: list[list[int]] | None = None

    def state_dict(self) -> State:
        """Return all that a checkpoint holds."""
        return {
            "syn": dict(self.syn.state_dict()),
            "optimizers": {role: each.state_dict() for role, each in self.optimizers.items()},
            "source": self.source.state_dict(),
            "learned": {name: each.detach() for name, each in self.learned.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state that :meth:`state_dict` returned.

        Raises:
            SavedStateError: If it is none of such a run.
        """
        require(isinstance(state, Mapping) and self.state_dict().keys() <= state.keys(), "the whole")
        self.remake(state)
        saved = state["optimizers"]
        require(isinstance(saved, Mapping) and saved.keys() == self.optimizers.keys(), "an optimizer")
        for role, optimizer in self.optimizers.items():
            give_optimizer(optimizer, saved[role])
        told_of_others(lambda: self.source.load_state_dict(state["source"]))

    def made(self) -> State:
        """Return a copy of what a run is for: the set, and the scalars learned beside it."""
        return {
            "syn": {name: each.detach().clone() for name, each in self.syn.state_dict().items()},
            "learned": {name: each.detach().clone() for name, each in self.learned.items()},
        }

    def has_made(self, state: Any) -> bool:
        """Return whether a state holds what :meth:`made` returns, whatever the values."""
        own = self.made()
        return isinstance(state, Mapping) and same_form({key: state.get(key) for key in own}, own)

    def remake(self, state: State) -> None:
        """Take the set and the scalars of a state that :meth:`made` or :meth:`state_dict` returned.

        Raises:
            SavedStateError: If they are none of such a run.
        """
        require(self.has_made(state), "the set")
        self.syn.load_state_dict(state["syn"])
        with torch.no_grad():
            for name, parameter in self.learned.items():
                parameter.copy_(state["learned"][name])

    def step(self, clock: Clock, subjects: int) -> float:
        """Take one step and return its loss."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for k in range(subjects):
            total += self._subject(replace(self.context, clock=replace(clock, subject=k)), subjects)
        total = summed_gradients(self.ranks, self._parameters(), total)
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

    def _parameters(self) -> list[Tensor]:
        """Return all that is learned, in the same order in every process."""
        groups = [group for role in sorted(self.optimizers) for group in self.optimizers[role].param_groups]
        return [each for group in groups for each in group["params"]]

    def _cut(self, model: nn.Module, subjects: int) -> list[list[int]]:
        """Return the portions of the classes, enough of them for all processes.

        Raises:
            UsageError: If a process would have nothing to do.
        """
        with torch.no_grad():
            labels = self.syn.decode().labels.cpu()
        loss, least = self.objective.loss, math.ceil(self.ranks.size / subjects)
        portions = class_portions(self.task, loss, model, labels, self.at_once, least)
        processes, parts = self.ranks.size, subjects * len(portions)
        if processes > parts:
            raise UsageError(
                f"{processes} processes are too many for a step of {parts} parts; start {parts} at most, or "
                f"set objective.subjects={processes}"
            )
        return portions

    def _mine(self, subject: int, portion: int) -> bool:
        """Return whether a portion of the classes of one model is for this process."""
        return (subject * len(self.portions or ()) + portion) % self.ranks.size == self.ranks.rank

    def _subject(self, ctx: Context, subjects: int) -> float:
        precision = reduced_precision(ctx.device, self.bf16)
        with precision:
            subject = self.objective.source.next(self.source, ctx, self.syn)
        if self.portions is None:
            self.portions = self._cut(subject.model, subjects)
        with frozen_buffers(subject.model), precision:
            # Streams of their own: a resumed run observes again, at another step.
            with scoped(ctx.gen("observe", subject.version)):
                seen = self._observed(subject, ctx)
        with scoped(ctx.gen("compare", ctx.clock.step)), frozen_buffers(subject.model), precision:
            if len(self.portions) > 1:
                return self._portioned(subject, seen, ctx)
            if not self._mine(ctx.clock.subject, 0):
                return 0.0
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
        for place, (labels, stats) in enumerate(zip(self.portions or (), seen.stats, strict=True)):
            if not self._mine(ctx.clock.subject, place):
                continue
            part, send = batch.portion(rows_of(batch, labels))
            total += self._compared(subject, stats, part, seen.draws, ctx)
            send()
        reached = [(out, leaf.grad) for out, leaf in zip(outs, leaves, strict=True) if leaf.grad is not None]
        if reached:
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
        for place, labels in enumerate(self.portions or ()):
            mine = self._mine(ctx.clock.subject, place)
            real = None
            if wanted is not None:
                # What is another process's is drawn here, too: the draws behind it are the same then.
                real = self.task.draw(wanted.per_class, gen, labels)
                real = self._augmented(real.to(ctx.device), draws) if mine else None
            stats.append(self.objective.loss.observe(subject, real, ctx) if mine else None)
        found = Observation(version=subject.version, stats=tuple(stats), draws=draws)
        self.seen[ctx.clock.subject] = found
        return found
