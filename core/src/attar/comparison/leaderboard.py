"""The comparison itself: plan, sets, choice, networks, rows, files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from attar import protocols
from attar.architectures import adopt
from attar.artifact import Environment
from attar.comparison.choice import choose
from attar.comparison.folder import KIND, begin, write_results
from attar.comparison.measure import evaluator_of, measure
from attar.comparison.plan import Plan, make_plan
from attar.comparison.results import Comparison, Row
from attar.comparison.sets import make_sets
from attar.comparison.settings import ALL, CompareSettings, Policy
from attar.contracts import StorageType, Task
from attar.cost import Meter
from attar.devices import find_device
from attar.folders import OutputFolder
from attar.jobs import Workers, as_workers
from attar.recipe import Precision
from attar.registry import Registry
from attar.reports import Score, Seconds

__all__ = ["compare", "compare_methods"]


def _order(row: Row) -> tuple[int, int, int, float, str]:
    """Put whole data first, then sizes; in each, hard labels before learned ones, and by accuracy."""
    failed, mean = (1, 0.0) if row.accuracy is None else (0, row.accuracy.mean)
    return (row.ipc or 0, failed, int(row.labels != "hard"), -mean, row.method)


def compare_methods(task: Task, settings: CompareSettings, registry: Registry | None = None) -> Comparison:
    """Carry out a comparison, or what is left of it, and write its results into its folder.

    Everything is checked before any work. Runs and networks that are finished are never made
    again, so a comparison that was stopped, or is asked for more seeds, sizes or methods, goes on
    from what is there.

    Args:
        task: The real data.
        settings: What is compared, and how.
        registry: The plugins known.

    Raises:
        UsageError: If something does not fit.
        Stopped: If Ctrl-C came while the only process was at work.
    """
    registry = registry or Registry()
    with OutputFolder(settings.out, KIND, force=settings.force) as folder:
        plan = make_plan(task, replace(settings, out=folder.path), registry)
        begin(folder, plan.record(task))
        result = _compared(plan, task, registry)
        write_results(folder.path, result)
        folder.take_place()
    return result


def _compared(plan: Plan, task: Task, registry: Registry) -> Comparison:
    """Make what is missing of the sets and networks, and return the rows."""
    settings, meter = plan.settings, Meter()
    names = [name for name in plan.baselines if name != "whole"]
    choices, cpu = choose(plan, task, evaluator_of(task, settings, (), registry), registry)
    wanted = [(each.trial, seed) for each in choices if each.trial for seed in settings.all_seeds]
    made = make_sets(task, settings, wanted, registry)
    measured = []
    whole: Score | None = None
    for number, ipc in enumerate(plan.per_class):
        asked = names if number or "whole" not in plan.baselines else ["whole", *names]
        evaluator = evaluator_of(task, settings, asked, registry)
        own = [choice for choice in choices if choice.contender.ipc == ipc]
        measured.append(measure(plan, task, ipc, own, made, evaluator, registry, whole))
        whole = measured[-1].whole
        cpu += measured[-1].cpu
    spent = meter.read()
    environment = Environment.current(str(settings.device), settings.precision)
    return Comparison(
        data=task.name,
        modality=task.modality,
        classes=len(task.classes),
        training_samples=task.size("train"),
        architecture=plan.arch,
        protocol=settings.protocol,
        seeds=settings.all_seeds,
        tune_seeds=settings.trial_seeds if plan.tuned else (),
        rows=tuple(sorted((row for each in measured for row in each.rows), key=_order)),
        equal_bytes=tuple(row for each in measured for row in each.equal_bytes),
        tuning=tuple(row for choice in choices for row in choice.rows),
        seconds=Seconds(cpu=round(cpu, 2), wall=round(spent.wall, 2)),
        # Every process has one thread, whatever this one has.
        environment=environment.model_copy(update={"threads": 1}),
        ranking=settings.ranking,
    )


def compare(
    task: Task,
    *,
    methods: str | Sequence[str] = ALL,
    ipc: int | Sequence[int] = (1, 10),
    seeds: int = 5,
    seed: int = 0,
    grid: Mapping[str, Sequence[Any]] | None = None,
    tune_seeds: int = 1,
    protocol: str | protocols.Protocol = "",
    baselines: str | Sequence[str] = "all",
    model: str | Callable[..., nn.Module] = "",
    equal_bytes: bool = True,
    ranking: bool = False,
    out: str | Path | None = None,
    force: bool = False,
    allow_inexact: bool = False,
    ipc_policy: Policy = "error",
    steps: int | None = None,
    device: str = "auto",
    dtype: StorageType = "float32",
    precision: Precision = "auto",
    workers: Workers | str | None = None,
    cache: str | Path | None = None,
    show: bool = False,
    registry: Registry | None = None,
    **settings: Any,
) -> Comparison:
    """Compare methods on a task under one protocol, beside the baselines.

    Args:
        task: The real data, with the test split.
        methods: Names of methods and selectors, or ``"all"`` that are installed.
        ipc: Stored samples per class, one number or several.
        seeds: Sets per method and size.
        seed: Seed of the first set; the others follow. Also the seed of the networks.
        grid: Values to choose from on validation data, by setting: ``{"lr": (0.1, 1)}`` for every
            method that knows it, ``{"dm.lr": (0.1, 1)}`` for one.
        tune_seeds: Sets per point of the grid.
        protocol: Name of a protocol, or a protocol: how networks are trained on every set; by default
            what suits the data.
        baselines: Names of baselines, ``all`` that suit the data, or ``none``.
        model: Architecture of all networks, as text or as a function; see :func:`attar.distill`.
        equal_bytes: Whether random real samples of as many bytes as each set are evaluated too.
        ranking: Whether the trainings are added that DD-Ranking's scores take for learned labels
            and for use without augmentation; see :class:`attar.comparison.Ranking`.
        out: Folder of the comparison, which goes on from what is finished there; None keeps
            nothing but what is returned.
        force: Replace a comparison in `out` once the new one is complete.
        allow_inexact: Resume runs although versions or device differ.
        ipc_policy: For classes with too few samples: ``error``, ``cap`` or ``repeat``.
        steps: Steps of every method that takes some; None takes each method's own number.
        device: Where methods run: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``.
        dtype: Type that values are stored in.
        precision: ``fp32``; ``bf16`` for models of methods in bfloat16; ``auto`` for what suits each.
        workers: Processes of this machine, by default one per processor, or a cluster; each piece of work
            has one thread.
        cache: Folder of cached results, or None for the usual one.
        show: Whether progress is shown on standard error.
        registry: The plugins known; by default all that are installed.
        settings: Settings of all methods that know them, such as ``lr=0.1``, or of one, such
            as ``**{"dm.steps": 200}``.

    Returns:
        The leaderboard. A method that does not fit the data is a row with the reason.

    Raises:
        UsageError: If something makes no sense, before any work.
    """
    task, named = adopt(task, model)
    chosen = protocols.as_protocol(protocol, task.protocols)
    with tempfile.TemporaryDirectory(prefix="attar-") as aside:
        asked = CompareSettings(
            out=Path(aside) / "comparison" if out is None else Path(out),
            methods=(methods,) if isinstance(methods, str) else tuple(methods),
            ipc=(ipc,) if isinstance(ipc, int) else tuple(ipc),
            seeds=seeds,
            seed=seed,
            tune_seeds=tune_seeds,
            grid=dict(grid or {}),
            settings=settings if steps is None else {"steps": steps, **settings},
            dtype=dtype,
            precision=precision,
            policy=ipc_policy,
            protocol=chosen,
            baselines=baselines,
            model=named,
            equal_bytes=equal_bytes,
            ranking=ranking,
            force=force,
            workers=as_workers(workers),
            device=find_device(device),
            allow_inexact=allow_inexact,
            cache=None if cache is None else Path(cache),
            show=show,
        )
        return compare_methods(task, asked, registry)
