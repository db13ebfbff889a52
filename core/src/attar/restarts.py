"""Several runs from different starts, the best of which on held-out data is kept.

What a set of a few samples becomes can depend more on the real samples that it starts at than on
any setting. The test split takes no part; what all runs and all networks cost is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError

from attar.artifact import Artifact
from attar.contracts import Task
from attar.cost import Cost, Meter
from attar.errors import InternalError, UsageError
from attar.files import write_file
from attar.held_out import held_out_accuracy
from attar.owned import adopt, discard
from attar.recipe import Resolved
from attar.rng import derive
from attar.run_folder import RunSettings
from attar.settings import Record

__all__ = ["FOLDER", "best_run", "clear_runs", "several"]

logger = logging.getLogger(__name__)

FOLDER = "restarts"
"""Where the runs lie until the best is known, in the folder of the whole."""


class _Judgment(Record):
    """What held-out data say of a run.

    Attributes:
        accuracy: Mean accuracy in percent.
        cost: What finding it cost.
    """

    accuracy: float
    cost: Cost


def several(resolved: Resolved, settings: RunSettings) -> bool:
    """Return whether a recipe is carried out more than once.

    Raises:
        UsageError: If it is, and a single run is to be followed.
    """
    if resolved.settings is None or resolved.settings.restarts == 1:
        return False
    if settings.ranks.size > 1:
        raise UsageError("several runs go in one process each; set objective.restarts=1, or drop torchrun")
    if settings.frames or settings.trackers:
        raise UsageError("frames and trackers follow a single run; drop them, or set objective.restarts=1")
    return True


def best_run(
    task: Task,
    resolved: Resolved,
    settings: RunSettings,
    place: Path | None,
    distill: Callable[[Resolved, RunSettings], Artifact],
) -> Artifact:
    """Return the artifact of the run that is best on held-out data.

    The first run is the one that there would be without others. Each is judged by two networks of
    the architecture that the set is meant for, trained as the data's default protocol says.

    Args:
        task: The real data.
        resolved: The recipe of all.
        settings: How it is carried out.
        place: The folder of all, or None to keep everything in memory; what is there is gone on with.
        distill: Carries out a recipe.

    Raises:
        Stopped: As `distill`.
    """
    if resolved.settings is None:
        raise InternalError("a recipe without a method has no runs")
    made, judgments = [], []
    for number in range(resolved.settings.restarts):
        out = None if place is None else place / FOLDER / str(number)
        # A run's folder has a recipe as soon as it was begun.
        begun = out is not None and (out / "recipe.toml").is_file()
        if place is not None and out is not None:
            adopt(place, out)
        # All runs share what the first one prepares.
        each = replace(settings, out=out, resume=begun, force=False, counted=number > 0)
        artifact = distill(_single(resolved, number), each)
        made.append(artifact)
        judgments.append(_judged(task, artifact, resolved.recipe.run.seed, settings.device, out))
        logger.info("run %d: %.1f %% on held-out data", number, judgments[-1].accuracy)
    best = max(range(len(made)), key=lambda k: judgments[k].accuracy)
    if place is not None:
        log = place / FOLDER / str(best) / "log.jsonl"
        write_file(place / "log.jsonl", log.read_bytes() if log.is_file() else b"", grows=True)
    cost = Cost()
    for artifact, judgment in zip(made, judgments, strict=True):
        cost = cost.plus(artifact.manifest.cost).plus(judgment.cost)
    recipe = resolved.recipe
    method = made[best].manifest.method.model_copy(
        update={
            "settings": dict(recipe.objective),
            "restarts": tuple(round(each.accuracy, 4) for each in judgments),
        }
    )
    manifest = made[best].manifest.model_copy(
        update={"method": method, "seed": recipe.run.seed, "cost": cost}
    )
    return replace(made[best], manifest=manifest, recipe=recipe.to_toml())


def clear_runs(place: Path) -> None:
    """Remove the runs that a complete whole was chosen from."""
    discard(place / FOLDER)


def _single(resolved: Resolved, number: int) -> Resolved:
    """Return the recipe of one of the runs."""
    if resolved.settings is None:
        raise InternalError("a recipe without a method has no runs")
    recipe = resolved.recipe
    seed = recipe.run.seed
    if number:
        seed = int(torch.randint(2**31, (), generator=derive(seed, "restart", number)))
    changes = {
        "objective": {**recipe.objective, "restarts": 1},
        "run": recipe.run.model_copy(update={"seed": seed}),
    }
    one = resolved.settings.model_copy(update={"restarts": 1})
    return replace(resolved, recipe=recipe.model_copy(update=changes), settings=one)


def _judged(task: Task, artifact: Artifact, seed: int, device: torch.device, out: Path | None) -> _Judgment:
    """Return what held-out data say of a set, remembered in the folder of its run."""
    known = None if out is None else out / "validation.json"
    if known is not None and known.is_file():
        try:
            return _Judgment.model_validate_json(known.read_bytes())
        except ValidationError:
            logger.warning("%s is damaged; the run is judged again", known)
    meter, model = Meter(), artifact.manifest.method.model
    found = held_out_accuracy(task, artifact.syn, model, seed, "restart", device)
    judgment = _Judgment(accuracy=found, cost=meter.read())
    if known is not None:
        write_file(known, judgment.model_dump_json().encode(), grows=True)
    return judgment
