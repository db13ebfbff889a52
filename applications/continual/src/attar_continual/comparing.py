"""All methods on all streams: jobs in processes, kept by content, begun again where they died."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from attar.contracts import Task
from attar.errors import UsageError
from attar.files import read_json, to_json, write_file
from attar.folders import OutputFolder, check_free
from attar.jobs import Workers, in_others, persistently
from attar.recipe import resolve
from attar.registry import Registry
from attar.runs import check_recipe, data_used
from attar.settings import parse

from attar_continual.budget import Budget
from attar_continual.names import METHODS, REAL
from attar_continual.results import ContinualResult, JobResult, MethodResult, summarized
from attar_continual.settings import ContinualRecipe
from attar_continual.stopping import Interrupted, never

__all__ = ["RunOptions", "compare"]

RECIPE = "recipe.toml"
RESULT = "result.json"

KIND = "continual run"
"""Kind of the folder, in the list of its files."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes what comes of it.

    Attributes:
        out: Folder of the run, where each finished job is kept; None for nowhere.
        workers: Processes of this machine, or a cluster; each piece of work has one thread.
        resume: Whether to go on with what stands there.
        force: Whether to replace it, once the new one is complete.
        logs: Which of Avalanche's loggers write: ``csv``, ``tensorboard``.
        keep: Whether memories are saved after each experience.
        note: Called with the number of finished jobs, all of them, and the job that was finished.
        stop: Asked between experiences, or between jobs where these are in other processes; True ends
            the run, which can be resumed.
    """

    out: Path | None = None
    workers: Workers = 1
    resume: bool = False
    force: bool = False
    logs: tuple[str, ...] = ()
    keep: bool = False
    note: Callable[[int, int, JobResult], None] = lambda done, of, job: None
    stop: Callable[[], bool] = never


def _name(method: str, seed: int) -> str:
    return f"{method}-{seed}"


def _job(
    task: Task, recipe: ContinualRecipe, options: RunOptions, item: tuple[str, int, Budget]
) -> JobResult:
    """Do a job, in a process that may have to load Avalanche first."""
    from attar_continual.running import Job, carried_out

    method, seed, budget = item
    folder = None if options.out is None else options.out / "jobs" / f"{_name(method, seed)}-{budget.key()}"
    job = Job(method, seed, budget, options.logs, folder, options.keep)
    made = carried_out(task, recipe, job, options.stop)
    kept = _kept(options, recipe, item)
    if kept is not None:
        write_file(kept, to_json(made.model_dump(mode="json")))
    return made


def _kept(options: RunOptions, recipe: ContinualRecipe, item: tuple[str, int, Budget]) -> Path | None:
    if options.out is None:
        return None
    method, seed, budget = item
    key = recipe.digest(method, seed, budget)
    return options.out / "jobs" / f"{_name(method, seed)}-{key}.json"


def _done(options: RunOptions, recipe: ContinualRecipe, item: tuple[str, int, Budget]) -> JobResult | None:
    path = _kept(options, recipe, item)
    if path is None or not path.is_file():
        return None
    return parse(JobResult, read_json(path), path.name)


def _carried_out(
    task: Task,
    recipe: ContinualRecipe,
    items: Sequence[tuple[str, int, Budget]],
    options: RunOptions,
    done: int,
    of: int,
) -> list[JobResult]:
    """Return the results of jobs; those that stand in the folder are not done again."""
    found = {place: made for place, item in enumerate(items) if (made := _done(options, recipe, item))}
    for count, made in enumerate(found.values()):
        options.note(done + count + 1, of, made)
    left = [place for place in range(len(items)) if place not in found]
    # What asks this process cannot be sent to others.
    stop = options.stop if not in_others(2, options.workers) else never
    work = partial(_job, task, recipe, replace(options, note=_silent, stop=stop))
    for place, outcome in persistently(work, [items[place] for place in left], options.workers):
        if outcome.value is None:
            method, seed, _ = items[left[place]]
            raise UsageError(f"{method} on stream {seed}: {outcome.problem}")
        found[left[place]] = outcome.value
        options.note(done + len(found), of, outcome.value)
        if options.stop():
            raise Interrupted
    return [found[place] for place in range(len(items))]


def _silent(done: int, of: int, job: JobResult) -> None:
    """Say nothing."""


def check(task: Task, recipe: ContinualRecipe, registry: Registry) -> None:
    """Refuse, before any work, what cannot be carried out.

    Raises:
        UsageError: Naming it.
    """
    from attar_continual.distiller import Distiller
    from attar_continual.running import stream_of

    stream_of(task, recipe, recipe.run.seed)
    classes = int((task.counts > 0).sum())
    if classes < 2:
        raise UsageError(f"{task.name!r} has a single class, and a classifier needs at least two")
    recipe.budget.samples(classes)
    real = recipe.budget.real_samples(task)
    if real < classes and set(REAL) & set(recipe.methods):
        raise UsageError(
            f"a memory of {recipe.memory} holds {real} real samples, and {task.name!r} has {classes} "
            f"classes; make it larger"
        )
    if not any(name.startswith("distilled") for name in recipe.methods):
        return
    settings = {"model": recipe.model, **recipe.objective} if recipe.model else recipe.objective
    run = recipe.run
    distiller = Distiller(
        recipe.distiller, settings, recipe.parameterization, recipe.labels, run.seed, run.dtype, registry
    )
    check_recipe(task, resolve(distiller.recipe(task, 0, 1, None), registry), registry)
    distiller.check_room(task, recipe.budget.bytes)


def compare(
    task: Task, recipe: ContinualRecipe, options: RunOptions | None = None, registry: Registry | None = None
) -> ContinualResult:
    """Compare memories on streams of a task.

    Args:
        task: All data.
        recipe: What is compared.
        options: How it is carried out.
        registry: The plugins known.

    Raises:
        Interrupted: If the run was stopped.
        UsageError: If something does not fit, or a job's process died too often.
    """
    options = options or RunOptions()
    check(task, recipe, registry or Registry())
    # What the data are tells results of others apart.
    recipe = recipe.model_copy(update={"data": data_used(task, recipe.data)})
    with ExitStack() as stack:
        folder = None
        if options.out is not None:
            if not options.resume:
                check_free(options.out, options.force, KIND)
            folder = stack.enter_context(OutputFolder(options.out, KIND, force=options.force))
            # Jobs that are finished beside a folder that is to be replaced are not done again.
            folder.start(resume=options.resume or options.force)
            write_file(folder.path / RECIPE, recipe.to_toml().encode())
            options = replace(options, out=folder.path)
        result = _compared(task, recipe, options)
        if folder is not None:
            write_file(folder.path / RESULT, to_json(result.model_dump(mode="json")))
            folder.take_place()
    return result


def _compared(task: Task, recipe: ContinualRecipe, options: RunOptions) -> ContinualResult:
    """Do all jobs, and say what came of them."""
    seeds = tuple(range(recipe.run.seed, recipe.run.seed + recipe.seeds))
    items = [
        (method, seed, recipe.budget) for method in METHODS if method in recipe.methods for seed in seeds
    ]
    real = [name for name in REAL if name in recipe.methods]
    apart = recipe.equal_bytes and bool(real) and recipe.budget.bytes is None
    apart = apart and any(name.startswith("distilled") for name in recipe.methods)
    of = len(items) + (len(real) * len(seeds) if apart else 0)
    jobs = _carried_out(task, recipe, items, options, 0, of)
    equal: list[JobResult] = []
    if apart:
        size = max(job.bytes[-1] for job in jobs if job.method.startswith("distilled"))
        more = [(method, seed, Budget(bytes=size)) for method in real for seed in seeds]
        equal = _carried_out(task, recipe, more, options, len(items), of)
    return ContinualResult(
        methods=_by_method(jobs),
        equal_bytes=_by_method(equal),
        data=task.name,
        modality=task.modality,
        stream=f"{recipe.experiences} × {recipe.stream}" if recipe.stream == "classes" else "groups",
        memory=recipe.memory,
        distiller=recipe.distiller,
        architecture=recipe.model or task.architecture,
        seeds=seeds,
    )


def _by_method(jobs: Sequence[JobResult]) -> dict[str, MethodResult]:
    names = dict.fromkeys(job.method for job in jobs)
    return {name: summarized([job for job in jobs if job.method == name]) for name in names}
