"""What the laws of an objective are tried on: toy tasks of several shapes, and short runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from attar.batch import Batch
from attar.contracts import Clock, Context, Objective, SetSpec, Subject, SyntheticSet
from attar.cost import Cost
from attar.labels import label_kind
from attar.plugins import MethodSettings
from attar.rng import derive, scoped
from attar.runner import Outcome, RunOptions, run
from attar.settings import parse
from attar.sizing import initial_batch
from attar.tensor import TensorTask
from attar.testing.toys import TOY_SHAPES, installed, toy_augment, toy_task

__all__ = ["Moment", "ObjectiveCase"]


@dataclass(frozen=True)
class Moment:
    """One evaluation of a loss, laid out so that a law can vary a part of it."""

    objective: Objective
    ctx: Context
    subject: Subject
    real: Batch | None
    syn: SyntheticSet
    learned: Mapping[str, Tensor]

    def observe(self) -> Any:
        """Return what the real data show."""
        with scoped(derive(0, "kit", "observe")):
            return self.objective.loss.observe(self.subject, self.real, self.ctx)

    def loss(self, batch: Batch | None = None) -> Tensor:
        """Return the loss of the set, or of another batch in its place."""
        stats = self.observe()
        shown = self.syn.decode() if batch is None else batch
        with scoped(derive(0, "kit", "compare")):
            return self.objective.loss.compare(self.subject, stats, shown, self.ctx, self.learned)

    def doubled(self) -> Moment:
        """Return the moment in double precision."""
        model = copy.deepcopy(self.subject.model).double()
        return replace(
            self,
            subject=replace(self.subject, model=model),
            real=None if self.real is None else _double(self.real),
            learned={name: each.detach().double() for name, each in self.learned.items()},
        )


def _double(batch: Batch) -> Batch:
    return Batch(
        inputs=batch.inputs.double(),
        labels=batch.labels,
        targets=None if batch.targets is None else batch.targets.double(),
    )


@dataclass(frozen=True)
class ObjectiveCase:
    """A method under test.

    Attributes:
        plugin: The method.
        changes: Settings that make it quick, on top of its own ``conformance_settings``.
        shapes: Shapes of one sample that it must work on.
    """

    plugin: Any
    changes: Mapping[str, Any] = field(default_factory=dict)
    shapes: Sequence[tuple[int, ...]] = TOY_SHAPES
    group: str = "objectives"

    @property
    def settings_class(self) -> type[BaseModel]:
        """The class of its settings."""
        settings: type[BaseModel] = self.plugin.Settings
        return settings

    def settings(self, **changes: Any) -> MethodSettings:
        """Return quick settings."""
        own: Mapping[str, Any] = getattr(self.plugin, "conformance_settings", {})
        settings: MethodSettings = parse(
            self.plugin.Settings, {**own, **self.changes, **changes}, "objective"
        )
        return settings

    def objective(self, **changes: Any) -> Objective:
        """Return a fresh objective."""
        objective: Objective = self.plugin.build(self.settings(**changes))
        return objective

    def task(self, feature: Sequence[int] | None = None, **given: Any) -> TensorTask:
        """Return a toy task, of the first shape unless another is given."""
        return toy_task(feature or self.shapes[0], **given)

    def start(self, task: TensorTask, *, seed: int = 0, kind: str = "noise", each: int = 2) -> SyntheticSet:
        """Return a set that starts at noise, two samples per class."""
        settings = self.settings()
        labels = label_kind(self.plugin, settings)
        spec = SetSpec(parameterization=settings.parameterization, label_kind=labels)
        init = initial_batch(task, kind, [each] * len(task.classes), seed, installed())
        return task.synthesize(init, spec, derive(seed, "kit", "set"))

    def moment(
        self, task: TensorTask, syn: SyntheticSet | None = None, *, seed: int = 0, k: int = 0, **changes: Any
    ) -> Moment:
        """Return the first step of a run, before its loss is evaluated."""
        objective = self.objective(**changes)
        syn = syn or self.start(task, seed=seed)
        ctx = Context(task, seed, Clock(0, 10, k))
        objective.source.prepare(ctx)
        subject = objective.source.next(objective.source.init(ctx), ctx, syn)
        wanted, real = objective.loss.real, None
        if wanted is not None:
            labels = syn.labels.unique().tolist()
            real = task.draw(wanted.per_class, ctx.gen("real", subject.version), labels)
        learned = {
            name: nn.Parameter(torch.tensor(float(value))) for name, value in objective.learned.items()
        }
        return Moment(objective, ctx, subject, real, syn, learned)

    def run(
        self,
        task: TensorTask,
        steps: int,
        *,
        seed: int = 0,
        subjects: int = 1,
        syn: SyntheticSet | None = None,
        resume: tuple[int, Any, Cost] | None = None,
        options: RunOptions | None = None,
    ) -> Outcome:
        """Distill for a few steps with the method's own optimizers."""
        return run(
            task,
            self.objective(),
            syn or self.start(task, seed=seed),
            steps=steps,
            optim=self.plugin.optimizers(self.settings()),
            seed=seed,
            subjects=subjects,
            resume=resume,
            options=options,
        )

    def augmented(self) -> TensorTask:
        """Return a task whose augmentation draws, so that runs have all draws that there are."""
        return self.task(augment=toy_augment())
