"""Making sets in processes: each in the folder of a run, which is continued where it was begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from attar.artifact import Artifact, load
from attar.comparison.recipes import Trial
from attar.comparison.settings import CompareSettings
from attar.contracts import Task
from attar.errors import UsageError
from attar.files import disk_errors
from attar.jobs import in_others, persistently
from attar.owned import adopt, discard
from attar.progress import progress, silent
from attar.recipe import Recipe, resolve
from attar.registry import Registry
from attar.runs import RunSettings, distill_recipe, interruptible

__all__ = ["Made", "SetJob", "make_set", "make_sets", "runs_of"]


@dataclass(frozen=True)
class SetJob:
    """A set to make.

    Attributes:
        task: The real data.
        recipe: What is made.
        folder: Folder of the run.
        registry: The plugins known.
        device: Where models live.
        allow_inexact: Resume although versions or device differ.
    """

    task: Task
    recipe: Recipe
    folder: Path
    registry: Registry
    device: torch.device
    allow_inexact: bool = False

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return (self.folder / "artifact" / "manifest.json").is_file()


def _never() -> bool:
    return False


def make_set(job: SetJob, stop: Callable[[], bool] = _never) -> str:
    """Carry out a run, or what is left of it, and return the SHA-256 of the set.

    Raises:
        UsageError: If something does not fit, or the run diverges.
        Stopped: If `stop` asked for it, after saving.
    """
    begun = (job.folder / "recipe.toml").is_file()
    # The comparison's folder is two above: what is in the run's counts as a part of it.
    adopt(job.folder.parent.parent, job.folder)
    if not begun:
        # A process that was killed before it wrote anything whole has left nothing of use.
        with disk_errors(job.folder):
            discard(job.folder)
    settings = RunSettings(
        out=job.folder, resume=begun, allow_inexact=job.allow_inexact, device=job.device, stop=stop
    )
    resolved = resolve(job.recipe, job.registry)
    return distill_recipe(job.task, resolved, settings, job.registry).manifest.sha256


@dataclass(frozen=True)
class Made:
    """Sets of several trials and seeds.

    Attributes:
        folders: Folder of each finished run.
        problems: Why there is none, for the others.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def load(self, trial: Trial, seeds: Iterable[int], registry: Registry) -> list[Artifact]:
        """Return the sets of a trial that were made, in the order of their seeds."""
        places = [self.folders.get(trial.folder(seed)) for seed in seeds]
        return [load(place, registry=registry) for place in places if place is not None]

    def problem(self, trial: Trial, seeds: Iterable[int]) -> str:
        """Return why sets of a trial are missing, or ""."""
        asked = list(seeds)
        missing = [
            (seed, self.problems[trial.folder(seed)]) for seed in asked if trial.folder(seed) in self.problems
        ]
        if not missing:
            return ""
        seed, why = missing[0]
        return why if len(asked) == 1 else f"{len(missing)} of {len(asked)} sets (first: seed {seed}): {why}"


def runs_of(settings: CompareSettings) -> Path:
    """Return the folder of the runs of a comparison."""
    return settings.out / "runs"


def make_sets(
    task: Task,
    settings: CompareSettings,
    wanted: Iterable[tuple[Trial, int]],
    registry: Registry,
) -> Made:
    """Make all sets that are not there yet.

    Args:
        task: The real data.
        settings: What was asked for.
        wanted: Trials with seeds.
        registry: The plugins known.

    Raises:
        Stopped: If Ctrl-C came while the only process was at work; the run has been saved.
    """
    jobs: dict[str, SetJob] = {}
    for trial, seed in wanted:
        name = trial.folder(seed)
        jobs[name] = SetJob(
            task=task,
            recipe=trial.seeded(seed),
            folder=runs_of(settings) / name,
            registry=registry,
            device=settings.device,
            allow_inexact=settings.allow_inexact,
        )
    problems: dict[str, str] = {}
    todo = [name for name, job in jobs.items() if not _done(job)]
    shown = progress if settings.show else silent
    # In one process Ctrl-C lets the current step finish and save; workers are simply ended, and
    # continue from the last checkpoint.
    asking = nullcontext(None) if in_others(2, settings.workers) else interruptible()
    with shown(len(todo), f"making sets of {task.name}") as advance, asking as stop:
        function = make_set if stop is None else partial(make_set, stop=stop)
        items = [jobs[name] for name in todo]
        for done, (place, outcome) in enumerate(persistently(function, items, settings.workers), start=1):
            problem = outcome.problem
            if not problem and not items[place].finished:
                problem = (
                    f"it was made elsewhere, and {str(items[place].folder)!r} is not to be seen from here; "
                    f"choose --out on a file system that all nodes share"
                )
            if problem:
                problems[todo[place]] = problem
            advance(done, todo[place])
    return Made({name: job.folder for name, job in jobs.items() if name not in problems}, problems)


def _done(job: SetJob) -> bool:
    """Return whether a set is there, of these very data.

    Raises:
        UsageError: If it was made of others.
    """
    if not job.finished:
        return False
    made_of = load(job.folder, registry=job.registry).manifest.data.fingerprint
    if made_of != job.task.fingerprint:
        raise UsageError(
            f"the run {str(job.folder)!r} was made of other data (fingerprint {made_of}, not "
            f"{job.task.fingerprint}); choose another --out"
        )
    return True
