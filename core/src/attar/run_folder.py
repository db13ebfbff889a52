"""The folder of a run: recipe, log, checkpoints, and in the end the artifact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from attar.artifact import Artifact, Environment
from attar.checkpoint import Checkpoint, Checkpoints
from attar.contracts import State
from attar.cost import Cost
from attar.errors import InternalError, UsageError
from attar.files import disk_errors, write_file
from attar.folders import OutputFolder, check_free
from attar.ranks import ALONE, Ranks
from attar.recipe import Recipe, stored_recipe
from attar.runner import StepRecord
from attar.settings import Record
from attar.tracking import check_trackers

__all__ = ["RunFolder", "RunSettings"]

KIND = "run"
"""Kind of the folder, in the list of its files."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a recipe is carried out; none of it is part of the recipe.

    Attributes:
        out: Folder of the run, or None to keep everything in memory.
        force: Replace a run that stands there, once the new one is complete.
        resume: Continue an interrupted run.
        allow_inexact: Resume although versions, device or threads differ.
        device: Where models live.
        callbacks: Called after each step.
        frames: How often the set is drawn into the run's folder; 0 for never.
        trackers: Experiment trackers that loss and cost are sent to; see
            :data:`attar.tracking.TRACKERS`.
        experts: Folder of the experts of a method that needs some; None makes them and keeps them in
            the cache.
        counted: Whether the cost of these experts is counted elsewhere.
        show: Whether progress is shown on standard error.
        stop: Asked after each step; True saves and ends the run.
        ranks: The processes that the run is divided among; the first one writes.
    """

    out: Path | None = None
    force: bool = False
    resume: bool = False
    allow_inexact: bool = False
    device: torch.device = torch.device("cpu")
    callbacks: Sequence[Callable[[StepRecord], None]] = ()
    frames: int = 0
    trackers: tuple[str, ...] = ()
    experts: Path | None = None
    counted: bool = False
    show: bool = False
    stop: Callable[[], bool] = field(default=lambda: False)
    ranks: Ranks = ALONE

    def check(self) -> None:
        """Refuse an output folder that cannot be used, before any work.

        Raises:
            UsageError: If it is occupied and neither continued nor replaced, or a tracker is unknown.
        """
        check_trackers(self.trackers)
        if self.experts is not None and not self.experts.is_dir():
            raise UsageError(
                f"there is no folder {str(self.experts)!r}; make experts with 'attar experts --out' first"
            )
        if self.out is None and (self.frames or self.trackers):
            raise UsageError("frames and trackers need the folder of a run; name one with out")
        if self.out is not None and not self.resume:
            check_free(self.out, self.force, KIND)

    def silent(self) -> RunSettings:
        """Return what a process that only takes its part is told: it writes and shows nothing."""
        return replace(self, out=None, force=False, resume=False, frames=0, trackers=(), show=False)


class _Meta(Record):
    """What a checkpoint says beside its state; what an older version did not say is left out."""

    recipe: str
    environment: dict[str, Any] = {}
    cost: Cost
    code: str | None = None


def _meta(found: Checkpoint) -> _Meta | None:
    """Return what a checkpoint says beside its state, or None where it is no such thing."""
    try:
        return _Meta.model_validate(found.meta)
    except ValidationError:
        return None


class RunFolder:
    """The run's folder: the place itself, or one beside it that replaces it at the end.

    Args:
        recipe: The resolved recipe.
        settings: How it is carried out.
        environment: Versions and machine.
        code: Hash of a model's own code, "" where it has none, None where it cannot be read.
    """

    def __init__(
        self, recipe: Recipe, settings: RunSettings, environment: Environment, code: str | None = ""
    ) -> None:
        if settings.out is None:
            raise InternalError("a run without a folder was asked for its files")
        self.recipe, self.environment, self.code = recipe, environment, code
        if not settings.resume:
            settings.check()
        self._output = OutputFolder(settings.out, KIND, force=settings.force)
        self.target, self.path = self._output.target, self._output.path
        self.checkpoints = Checkpoints(self.path / "checkpoint")
        self.log = self.path / "log.jsonl"

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *problem: object) -> None:
        self._output.__exit__(*problem)

    def begin(self, settings: RunSettings) -> Checkpoint | None:
        """Prepare the folder and return the checkpoint to continue from."""
        if settings.resume:
            return self._continue(settings)
        self._output.begin()
        write_file(self.path / "recipe.toml", self.recipe.to_toml().encode())
        write_file(self.log, b"", grows=True)
        return None

    def finished(self) -> bool:
        """Return whether the run is complete.

        Raises:
            UsageError: If it was started with another recipe.
        """
        if not (self.path / "artifact").is_dir():
            return False
        self._same_recipe()
        return True

    def _same_recipe(self) -> None:
        if not (self.path / "recipe.toml").is_file():
            raise UsageError(f"there is no run to resume in {str(self.target)!r}; start it without --resume")
        theirs = stored_recipe(self.path / "recipe.toml")
        difference = theirs.difference(self.recipe)
        if difference:
            raise UsageError(
                f"the run in {str(self.target)!r} was started with another recipe: {difference}; "
                f"give the same settings, or choose another --out"
            )
        if theirs.data.fingerprint != self.recipe.data.fingerprint:
            raise UsageError(
                f"the data have changed since the run in {str(self.target)!r} was started (fingerprint "
                f"{theirs.data.fingerprint} there, {self.recipe.data.fingerprint} here); give the same data, "
                f"or start again with --force"
            )

    def _continue(self, settings: RunSettings) -> Checkpoint | None:
        self._same_recipe()
        self._output.resume()
        found = self.checkpoints.newest(lambda each: _meta(each) is not None)
        if found is None:
            self._cut_log(0)
            return None
        meta = _meta(found) or _Meta(recipe="", cost=Cost())
        if meta.recipe != self.recipe.digest():
            raise UsageError(
                f"the checkpoint in {str(self.target)!r} belongs to another recipe; start again with --force"
            )
        now, then = self.environment.model_dump(), meta.environment
        odd = [key for key in now if now[key] != then.get(key)]
        if odd and not settings.allow_inexact:
            raise UsageError(
                f"the run was made with {odd[0]} {then.get(odd[0])!r}, now it is {now[odd[0]]!r}, so the "
                f"result would differ in its last bits; restore that, or allow it with --allow-inexact"
            )
        if not settings.allow_inexact:
            self._check_code(meta.code)
        self._cut_log(found.step)
        return found

    def _check_code(self, begun: str | None) -> None:
        if None not in (self.code, begun) and self.code != begun:
            raise UsageError(
                f"the code of the model {self.recipe.objective.get('model')!r} has changed since the run in "
                f"{str(self.target)!r} was begun; restore it, or allow the change with --allow-inexact"
            )

    def _cut_log(self, step: int) -> None:
        """Drop what was logged after the checkpoint, and a line that was cut short."""
        if not self.log.is_file():
            return
        kept = []
        # What is no UTF-8 is no line of ours, and is dropped like one that was cut short.
        for line in self.log.read_text("utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, LookupError, TypeError, RecursionError):
                continue
        write_file(self.log, "".join(f"{line}\n" for line in kept).encode(), grows=True)

    def save(self, step: int, state: State, cost: Cost) -> None:
        """Write a checkpoint."""
        meta = {
            "recipe": self.recipe.digest(),
            "environment": self.environment.model_dump(),
            "cost": cost.model_dump(),
            "code": self.code,
        }
        self.checkpoints.save(Checkpoint(step=step, state=state, meta=meta))

    def note(self, record: StepRecord) -> None:
        """Append a line to the log."""
        line = {"step": record.step, "loss": record.loss, **record.cost.model_dump()}
        with disk_errors(self.log), open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def finish(self, artifact: Artifact) -> None:
        """Write the artifact and, where a run is replaced, take its place."""
        artifact.save(self.path / "artifact", force=True)
        self.take_place()

    def take_place(self) -> None:
        """Let a run that replaces another take its place, once it is complete."""
        self._output.take_place()
