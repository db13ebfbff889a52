"""What a comparison will take, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from attar.baselines import Baselines
from attar.comparison.measure import evaluator_of
from attar.comparison.plan import Plan
from attar.comparison.results import Expected
from attar.contracts import Task
from attar.errors import InternalError
from attar.evaluation_cost import cost_of_jobs
from attar.evaluation_jobs import Job
from attar.recipe import resolve
from attar.registry import Registry
from attar.run_folder import RunSettings
from attar.trials import estimate

__all__ = ["expect"]


def expect(plan: Plan, task: Task, registry: Registry) -> Expected:
    """Return what a comparison takes, after a few steps of its methods and networks.

    Networks on sets are taken to last as long as those on as many random real samples. Networks of equal
    bytes and of the ranking are not counted.
    """
    settings = plan.settings
    before = torch.get_num_threads()
    # As in the processes that do the work.
    torch.set_num_threads(1)
    try:
        sets, untold = _sets(plan, task, registry)
        networks = sum(
            _networks(plan, task, ipc, number == 0, registry) for number, ipc in enumerate(plan.per_class)
        )
    finally:
        torch.set_num_threads(before)
    workers = settings.workers
    wall = round((sets + networks) / workers, 3) if isinstance(workers, int) else None
    return Expected(sets_cpu=round(sets, 3), networks_cpu=round(networks, 3), wall=wall, untold=untold)


def _sets(plan: Plan, task: Task, registry: Registry) -> tuple[float, tuple[str, ...]]:
    """Return CPU seconds of all sets, and the methods of which they are not known before."""
    seconds, untold = 0.0, []
    for each in plan.contenders:
        if not each.trials:
            continue
        resolved = resolve(each.trials[0].recipe, registry)
        found = estimate(task, resolved, RunSettings(device=plan.settings.device), registry)
        if found is None:
            untold.append(each.method)
        else:
            seconds += found.cpu_seconds * plan.sets_of(each)
    return seconds, tuple(dict.fromkeys(untold))


def _networks(plan: Plan, task: Task, ipc: int, first: bool, registry: Registry) -> float:
    """Return CPU seconds of the networks of a size; with those on the whole data, of the first size."""
    names = [name for name in plan.baselines if first or name != "whole"]
    evaluator = evaluator_of(task, plan.settings, [*names, *({"random"} - {*names})], registry)
    baselines = Baselines(
        evaluator, evaluator.settings.baselines, plan.arch, plan.per_class[ipc], plan.settings.dtype
    )
    sample = baselines.random()[0]
    if sample.samples is None:
        raise InternalError("the random baseline has no samples")
    sets = sum(plan.sets_of(each) for each in plan.contenders if each.ipc == ipc)
    # Without a key: nothing of it is known before the sets are.
    on_sets: Sequence[Job] = [replace(sample, key=None)] * (sets * evaluator.protocol.networks)
    jobs = [("sets", on_sets), ("whole", baselines.whole())]
    if "random" in names:
        jobs.append(("random", baselines.random()))
    return cost_of_jobs(
        evaluator,
        plan.arch,
        jobs,
        (sample.samples, sample.label_kind),
        rules=len(baselines.rules),
        spaces=baselines.spaces,
    ).cpu_seconds
