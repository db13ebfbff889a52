"""The first step of a method on a few samples, taken before any work to see whether it can be taken at all.

A model that gives logits may still fail where a method differentiates it, perhaps twice, or where it
computes in bfloat16. No list of names tells which does; the step itself does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from attar.architectures.own import is_code, reason, told
from attar.contracts import Clock, Context, Segment, Subject, SyntheticSet, Task, Workplace
from attar.cost import Cost
from attar.engine import Engine
from attar.errors import InternalError, UsageError
from attar.objectives.sources import Rebuilt
from attar.optim import OptimSpec
from attar.recipe import Resolved
from attar.registry import Registry
from attar.rng import derive, scoped
from attar.rows import RowsByClass
from attar.settings import parse
from attar.sizing import initial_batch, set_spec
from attar.training import train_step

__all__ = ["check_first_step", "take_first_step"]

_CLASSES, _SAMPLES = 10, 2
"""Classes and real samples of each that the step is taken on."""
_TWICE = ("derivative for", "differentiate twice")
"""What PyTorch says of an operation whose gradient has no gradient."""


@dataclass(frozen=True)
class _AsBuilt:
    """A source of models as they are built, in place of one that trains them for long.

    Attributes:
        model: Architecture, or "" for the task's default.
        kind: What the loss takes.
    """

    model: str
    kind: type[Subject]

    def prepare(self, ctx: Context) -> Cost:
        """Do nothing."""
        return Cost()

    def init(self, ctx: Context) -> Rebuilt:
        """Return a state that holds nothing."""
        return Rebuilt()

    def next(self, state: Rebuilt, ctx: Context, syn: SyntheticSet) -> Subject:
        """Return a model after a step of training on the set, as sources and evaluations train them."""
        model = self._built(ctx, 0)
        if callable(getattr(model, "kernel", None)):
            return Subject(model=model, version=0)
        batch = syn.decode().constant()
        optimizer = OptimSpec(name="sgd", lr=0.01).build(model.parameters())
        with scoped(ctx.gen("train", 0)):
            train_step(model, optimizer, batch, syn.label_kind, None, ctx.gen("train", 0))
        optimizer.zero_grad(set_to_none=True)
        model.requires_grad_(False)
        if self.kind is Subject:
            return Subject(model=model, version=0)
        return Segment(
            model=model, version=0, goal=tuple(each.detach() for each in self._built(ctx, 1).parameters())
        )

    def _built(self, ctx: Context, number: int) -> nn.Module:
        return ctx.task.build(self.model, ctx.gen("model", number)).to(ctx.device).train()


def take_first_step(
    task: Task, resolved: Resolved, device: torch.device, bf16: bool, registry: Registry
) -> bool:
    """Take a step of a method on the task's own network and a few of its samples; keep nothing of it.

    It shows the model real samples and synthetic ones, and goes back through all that the method goes
    back through, as the first step of the run would: whatever that raises is raised here.

    Args:
        task: The real data.
        resolved: The recipe.
        device: Where the models of the run live.
        bf16: Whether they compute in bfloat16.
        registry: The plugins known.

    Returns:
        Whether a gradient reached the set.
    """
    method, settings, seed = resolved.method, resolved.settings, resolved.recipe.run.seed
    if method is None or settings is None:
        raise InternalError("a recipe without a method has no step")
    objective = method.build(settings)
    kind = getattr(objective.loss, "subjects", Subject)
    if kind not in (Subject, Segment):
        return True
    own = RowsByClass(task.labels, len(task.classes))
    present = own.counts.nonzero()[:_CLASSES, 0].tolist()
    few = task.subset(own.draw(_SAMPLES, derive(seed, "check", "rows"), present))
    spec = set_spec(few, resolved, registry)
    plugin = registry.get("parameterizations", spec.parameterization)
    each = plugin.packs(parse(plugin.Settings, spec.settings, spec.parameterization), task.feature)
    init = initial_batch(few, "real", [each * bool(n) for n in few.counts.tolist()], seed, registry)
    engine = Engine(
        few,
        replace(objective, source=_AsBuilt(settings.model, kind)),
        few.synthesize(init, spec, derive(seed, "check", "set")),
        method.optimizers(settings),
        seed,
        settings.steps,
        settings.classes_at_once,
        device=device,
        bf16=bf16,
        workplace=Workplace(),
    )
    engine.step(Clock(0, settings.steps), 1)
    return any(each.grad is not None for each in engine.syn.parameters())


def check_first_step(task: Task, resolved: Resolved, registry: Registry) -> None:
    """Refuse a model of the user's own that gives logits but fails in the first step of a method.

    Args:
        task: The real data.
        resolved: The recipe.
        registry: The plugins known.

    Raises:
        UsageError: Naming model, method and what went wrong.
    """
    if resolved.settings is None:
        return
    method, named = resolved.recipe.method, resolved.settings.model or task.architecture
    if not is_code(named.partition(",")[0]):
        # What is registered is tested by its authors; a failure of it is a bug.
        return
    with told(f"the model {named!r} fails in the first step of the method {method!r}"):
        try:
            reached = take_first_step(task, resolved, torch.device("cpu"), False, registry)
        except RuntimeError as error:
            if not any(said in str(error) for said in _TWICE):
                raise
            raise UsageError(
                f"the method {method!r} differentiates twice, which an operation of the model {named!r} does "
                f"not allow ({reason(error).rstrip('.')}); choose a method that differentiates once, such as "
                f"dm, or a model without that operation"
            ) from error
        if not reached:
            raise UsageError(
                f"no gradient comes back through the model {named!r} to its inputs, which the method "
                f"{method!r} needs; leave out what cuts it off, such as detach, or choose another one"
            )
