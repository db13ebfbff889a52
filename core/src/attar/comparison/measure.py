"""Evaluating the sets of one size beside their baselines, all by one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attar.baselines import Baselines, equal_bytes_jobs
from attar.comparison.against import compared
from attar.comparison.choice import Choice
from attar.comparison.extras import Extras
from attar.comparison.networks import set_jobs, train
from attar.comparison.plan import Plan
from attar.comparison.results import EqualBytesRow, Row
from attar.comparison.rows import Size, baseline_rows, equal_bytes_rows, method_row
from attar.comparison.sets import Made
from attar.comparison.settings import CompareSettings
from attar.contracts import Task
from attar.evaluation_jobs import EvaluationSettings, Evaluator, Job
from attar.registry import Registry
from attar.reports import Score

__all__ = ["Measured", "evaluator_of", "measure"]


@dataclass(frozen=True)
class Measured:
    """What was found out about one size.

    Attributes:
        rows: At equal count.
        equal_bytes: At equal bytes.
        whole: Accuracy of the whole data, where it was evaluated with this size.
        cpu: CPU seconds of the networks trained in this call.
    """

    rows: tuple[Row, ...]
    equal_bytes: tuple[EqualBytesRow, ...]
    whole: Score | None
    cpu: float


def evaluator_of(
    task: Task, settings: CompareSettings, names: Sequence[str], registry: Registry
) -> Evaluator:
    """Return what trains and tests the networks of a comparison, with some of its baselines."""
    how = EvaluationSettings(
        protocol=settings.protocol,
        baselines=tuple(names),
        model=settings.model,
        seed=settings.seed,
        workers=settings.workers,
        cache=settings.cache,
        show=settings.show,
    )
    return Evaluator(task, how, registry)


def measure(
    plan: Plan,
    task: Task,
    ipc: int,
    choices: Sequence[Choice],
    made: Made,
    evaluator: Evaluator,
    registry: Registry,
    whole: Score | None = None,
) -> Measured:
    """Train and test all networks of one size, and say what came of each method.

    Args:
        plan: What is compared.
        task: The real data.
        ipc: The size, in stored samples per class.
        choices: Methods of this size, each with its chosen settings.
        made: Their runs.
        evaluator: With the baselines of this size.
        registry: The plugins known.
        whole: Accuracy of the whole data, where it is known from another size.
    """
    sets = {}
    for choice in choices:
        if choice.trial is None:
            continue
        seeds = [seed for seed in plan.settings.all_seeds if choice.trial.folder(seed) in made.folders]
        loaded = made.load(choice.trial, seeds, registry)
        if loaded:
            sets[choice.contender.method] = dict(zip(seeds, loaded, strict=True))
    wanted = zip(plan.per_class[ipc], task.counts.tolist(), strict=True)
    size = Size(
        task=task,
        ipc=ipc,
        seeds=plan.settings.all_seeds,
        per_class=tuple(min(n, have) for n, have in wanted),
        names=tuple(evaluator.settings.baselines),
        selectors=tuple(registry.names("selectors")),
        sets=sets,
        made=made,
    )
    baselines = Baselines(evaluator, size.names, plan.arch, size.per_class, plan.settings.dtype)
    jobs, bought = _jobs(plan, size, evaluator, baselines)
    doing = f"training networks on {task.name}, {ipc} per class"
    networks = train(evaluator, jobs, doing)
    tried = {row[1:]: found for row, found in networks.rows.items() if row[0] == "baseline"}
    networks = networks.plus(train(evaluator, _beside(baselines.chosen(tried)), doing))
    rows, scores = baseline_rows(size, networks)
    whole = scores.get("whole", whole)
    found = [method_row(size, choice, networks, whole, scores.get("random")) for choice in choices]
    ranked = [row.model_copy(update={"ranking": size.hard_ranking(row, scores, whole)}) for row in rows]
    equal = tuple(equal_bytes_rows(size, found, networks, bought))
    return Measured(tuple(compared([*ranked, *found], networks)), equal, whole, networks.cpu)


def _beside(jobs: Sequence[Job]) -> list[Job]:
    return [replace(job, row=("baseline", *job.row)) for job in jobs]


def _jobs(
    plan: Plan, size: Size, evaluator: Evaluator, baselines: Baselines
) -> tuple[list[Job], dict[int, tuple[int, int]]]:
    """Return all networks but those that coresets wait for, and what samples each budget of bytes buys."""
    arch, dtype = plan.arch, plan.settings.dtype
    # The longest jobs first, so that no processor waits for them at the end.
    jobs = _beside(baselines.whole() + baselines.random() + baselines.tried())
    for method, sets in size.sets.items():
        for seed, artifact in sets.items():
            jobs += set_jobs(evaluator, ("set", method, str(seed)), artifact, arch)
    bought: dict[int, tuple[int, int]] = {}
    for budget in size.budgets() if plan.settings.equal_bytes else ():
        samples, bytes_, found = equal_bytes_jobs(evaluator, budget, arch, dtype)
        bought[budget] = (samples, bytes_)
        jobs += [replace(job, row=("equal-bytes", str(budget))) for job in found]
    if plan.settings.ranking:
        extras = Extras(evaluator, arch, size.per_class, dtype, plan.settings.out / "ranking")
        jobs += extras.jobs(
            {(method, seed): each for method, sets in size.sets.items() for seed, each in sets.items()}
        )
    return jobs, bought
