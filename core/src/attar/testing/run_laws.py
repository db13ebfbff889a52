"""Laws of a run: optimizers for all roles, derived randomness, exact resume, a falling loss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from attar.checkpoint import Checkpoint, Checkpoints
from attar.contracts import Clock, Context, State, SyntheticSet
from attar.cost import Cost
from attar.optim import OptimSpec
from attar.rng import derive, scoped
from attar.runner import Outcome, RunOptions, Stopped
from attar.tensor import TensorTask
from attar.testing.compare import equal_sets_of_tensors, global_rng_untouched
from attar.testing.laws import LawBroken, require
from attar.testing.objective_case import ObjectiveCase
from attar.testing.shared import is_json

__all__ = ["RUN_LAWS"]


def _same(one: Outcome, other: Outcome) -> bool:
    return one.learned == other.learned and equal_sets_of_tensors(
        dict(one.syn.state_dict()), dict(other.syn.state_dict())
    )


def law_optimizers_cover_roles(case: ObjectiveCase) -> None:
    """There is an optimizer for each role of the set, and for what is learned beside it."""
    optim = case.plugin.optimizers(case.settings())
    roles = set(case.start(case.task()).groups())
    if case.objective().learned:
        roles.add("learned")
    missing = sorted(roles - set(optim))
    require(not missing, f"it gives no optimizer for {', '.join(missing)}")
    odd = sorted(role for role, spec in optim.items() if not isinstance(spec, OptimSpec))
    require(not odd, f"its optimizer for {', '.join(odd)} is no OptimSpec")


def law_runs_on_any_shape(case: ObjectiveCase) -> None:
    """A run of a few steps ends with finite values, on vectors, sequences and images."""
    for shape in case.shapes:
        syn = case.run(case.task(shape), 2).syn
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in syn.parameters())
        require(finite, f"a run of two steps on samples {shape} ends with NaN or infinite values")


def law_runs_on_little_data(case: ObjectiveCase) -> None:
    """One class suffices, and so does one sample per class: federated clients have no more."""
    for classes, n in ((1, 4), (3, 3)):
        try:
            case.run(case.task(classes=classes, n=n, validation=0.0), 2)
        except Exception as error:
            raise LawBroken(
                f"{n} samples of {classes} classes do not suffice ({type(error).__name__}: {error})"
            ) from error


def law_same_seed_same_result(case: ObjectiveCase) -> None:
    """The same seed gives the same bits, whatever the global generators hold."""
    task = case.augmented()
    results = []
    for seed in (1, 2):
        with scoped(derive(seed, "kit", "elsewhere")):
            results.append(case.run(task, 4))
    require(_same(*results), "two runs with the same seed end with different sets")


def law_other_seed_other_result(case: ObjectiveCase) -> None:
    """Another seed gives another result from the same start: the draws follow the seed."""
    task = case.augmented()
    one = case.run(task, 4, seed=0, syn=case.start(task))
    # Draws of all samples in another order can give the same sums, bit by bit, by chance.
    others = (case.run(task, 4, seed=seed, syn=case.start(task)) for seed in (1, 2, 3))
    require(any(not _same(one, other) for other in others), "runs with different seeds end with the same set")


def law_run_leaves_global_rng(case: ObjectiveCase) -> None:
    """A whole run, its source included, leaves the global generators alone."""
    with global_rng_untouched("a run"):
        case.run(case.augmented(), 2)


def _interrupted(case: ObjectiveCase, task: TensorTask, steps: int, stop: int, subjects: int) -> Outcome:
    """Return the outcome of a run that is stopped, written to disk, read, and continued."""
    told = [0]

    def note(record: Any) -> None:
        told[0] = record.step

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))

        def save(step: int, state: State, cost: Cost) -> None:
            checkpoints.save(Checkpoint(step=step, state=state, meta={}))

        options = RunOptions(save=save, save_every=steps, callbacks=(note,), stop=lambda: told[0] == stop)
        try:
            case.run(task, steps, subjects=subjects, options=options)
        except Stopped:
            pass
        found = checkpoints.newest()
    if found is None or found.step != stop:
        raise LawBroken(f"a run asked to stop after {stop} steps saved {found and found.step}")
    return case.run(task, steps, subjects=subjects, resume=(found.step, found.state, Cost()))


def law_resume_is_exact(case: ObjectiveCase) -> None:
    """A run that is stopped and continued from its checkpoint ends bit for bit as one that is not."""
    task, steps = case.augmented(), 5
    for subjects in (1, 2):
        whole = case.run(task, steps, subjects=subjects)
        for stop in (1, 3):
            resumed = _interrupted(case, task, steps, stop, subjects)
            how = f"stopped after {stop} of {steps} steps with {subjects} models per step"
            require(_same(whole, resumed), f"a run {how} and continued does not end where it would have")


def law_version_marks_change(case: ObjectiveCase) -> None:
    """While a subject keeps its version its model keeps its weights, so what it showed can be reused."""
    task, objective = case.task(), case.objective()
    syn = case.start(task)
    first = Context(task, 0, Clock(0, 6))
    objective.source.prepare(first)
    state = objective.source.init(first)
    before: tuple[int, dict[str, torch.Tensor]] | None = None
    for step in range(6):
        subject = objective.source.next(state, Context(task, 0, Clock(step, 6)), syn)
        weights = {name: each.detach().clone() for name, each in subject.model.named_parameters()}
        if before is not None and before[0] == subject.version:
            require(
                equal_sets_of_tensors(before[1], weights),
                f"the model of step {step} has other weights but the version {subject.version} of before",
            )
        before = subject.version, weights


def law_source_state_can_be_saved(case: ObjectiveCase) -> None:
    """The source's state is a tree of tensors and JSON values, and can be restored from itself."""
    task, objective = case.task(), case.objective()
    ctx = Context(task, 0, Clock(0, 6))
    objective.source.prepare(ctx)
    state = objective.source.init(ctx)
    objective.source.next(state, ctx, case.start(task))
    tree = state.state_dict()
    require(_is_tree(tree), "the state of its source holds more than tensors, numbers, strings and None")
    objective.source.init(ctx).load_state_dict(tree)


def _is_tree(node: Any) -> bool:
    if isinstance(node, dict):
        return all(isinstance(key, str | int) and _is_tree(value) for key, value in node.items())
    if isinstance(node, list | tuple):
        return all(map(_is_tree, node))
    return isinstance(node, torch.Tensor) or is_json(node)


def _held_loss(case: ObjectiveCase, task: TensorTask, syn: SyntheticSet) -> float:
    """Return the mean loss of a set on models that its run has not seen."""
    losses = [case.moment(task, syn, seed=991, k=k).loss(syn.decode()) for k in range(3)]
    return sum(float(loss.detach()) for loss in losses) / len(losses)


def law_steps_lower_the_loss(case: ObjectiveCase) -> None:
    """Distilling from noise for a few steps lowers the loss on models that the run has not seen."""
    task = case.task()
    before = _held_loss(case, task, case.start(task))
    after = _held_loss(case, task, case.run(task, 30).syn)
    require(after < before, f"30 steps brought the loss on other models from {before:g} to {after:g}")


RUN_LAWS: tuple[Callable[[ObjectiveCase], None], ...] = (
    law_optimizers_cover_roles,
    law_runs_on_any_shape,
    law_runs_on_little_data,
    law_same_seed_same_result,
    law_other_seed_other_result,
    law_run_leaves_global_rng,
    law_resume_is_exact,
    law_version_marks_change,
    law_source_state_can_be_saved,
    law_steps_lower_the_loss,
)
