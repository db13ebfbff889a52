"""Expert trajectories: networks trained on the real data, their parameters kept as they were trained."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from attar.architectures import code_of
from attar.cache import BEGUN, cache_root, locked
from attar.checkpoint import Checkpoints
from attar.contracts import PreparationStopped, Task, Workplace
from attar.cost import Cost
from attar.errors import UsageError
from attar.expert_training import ExpertSpec, Trajectory, train_expert
from attar.files import disk_errors, write_file
from attar.jobs import Workers, in_others, results
from attar.owned import claim, discard
from attar.settings import Record

__all__ = [
    "Expert",
    "ExpertRecord",
    "ExpertSpec",
    "Experts",
    "ExpertsMissingError",
    "experts_folder",
    "found_specs",
]

logger = logging.getLogger(__name__)

_KEY = "attar-expert"
_LITTLE = 0.6
"""Part of the loss of guessing above which experts are taken to have learned little."""
_PATIENCE = 1.0
"""Seconds to wait for another process before asking again whether to stop."""

Told: TypeAlias = Callable[[int, int, float], None]
"""Called with experts that are finished, epochs done of the one in training, and its loss."""


def _untold(finished: int, epoch: int, loss: float) -> None:
    """Tell nobody."""


class ExpertRecord(Record):
    """What the file of an expert says of it.

    Attributes:
        schema_version: Version of the form of this record.
        fingerprint: Of the data that it was trained on.
        architecture: Name and settings of the architecture.
        code: What the architecture depends on beside its text.
        augmentation: What was applied in training, "" for nothing.
        spec: How it was trained, without the number of experts.
        index: Which of the experts it is.
        shapes: Shapes of the parameters in a snapshot, by name and in order.
        loss: Mean training loss of the last epoch.
        cost: What the training took.
    """

    schema_version: Literal[1] = 1
    fingerprint: str
    architecture: str
    code: str
    augmentation: str
    spec: Mapping[str, Any]
    index: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    loss: float
    cost: Cost


class ExpertsMissingError(UsageError):
    """A folder that was given lacks experts that a run needs."""


def experts_folder() -> Path:
    """Return the folder that experts are kept in by default."""
    return cache_root() / "experts"


@dataclass(frozen=True)
class Expert:
    """A trained network with its history, read from disk as it is asked for.

    Attributes:
        path: The file.
        record: What it is.
    """

    path: Path
    record: ExpertRecord

    def snapshot(self, number: int) -> tuple[Tensor, ...]:
        """Return the parameters after ``number · every`` epochs, float32, as the model has them."""
        with safe_open(self.path, framework="pt") as file:
            flat = file.get_slice("trajectory")[number].to(torch.float32)
        parts = flat.split([torch.Size(shape).numel() for _, shape in self.record.shapes])
        return tuple(part.view(shape) for part, (_, shape) in zip(parts, self.record.shapes, strict=True))

    def restore(self, model: nn.Module) -> None:
        """Give a model the parameters and the buffers after training."""
        with torch.no_grad():
            for own, trained in zip(model.parameters(), self.snapshot(-1), strict=True):
                own.copy_(trained)
            with safe_open(self.path, framework="pt") as file:
                for name, buffer in model.named_buffers():
                    buffer.copy_(file.get_tensor(f"buffers.{name}"))


class Experts:
    """The experts of a task: found on disk, or trained and kept there.

    A file is named by all that decides what it holds. Processes that ask for the same experts share
    the work; one that was stopped goes on where it was.

    Args:
        task: The real data; only its training split is used.
        arch: Architecture, or "" for the task's default.
        spec: How they are trained.
        folder: Where they are kept.
        device: Where they are trained.
    """

    def __init__(
        self,
        task: Task,
        arch: str,
        spec: ExpertSpec,
        folder: Path,
        device: torch.device | None = None,
    ) -> None:
        self.task, self.arch, self.spec, self.folder = task, arch or task.architecture, spec, folder
        self.device = device or torch.device("cpu")

    def key(self) -> dict[str, Any]:
        """Return what decides an expert, but for its number.

        Raises:
            UsageError: If the code of the architecture cannot be read.
        """
        code = code_of(self.arch, self.task.architectures)
        if code is None:
            raise UsageError(
                f"experts of {self.arch!r} cannot be kept, since its code cannot be read; put the function "
                f"into a module"
            )
        return {
            "fingerprint": self.task.fingerprint,
            "architecture": self.arch,
            "code": code,
            "augmentation": repr(self.task.augment) if self.spec.augment and self.task.augment else "",
            "spec": self.spec.model_dump(mode="json", exclude={"count"}),
        }

    def path(self, index: int) -> Path:
        """Return the file of an expert."""
        text = json.dumps(self.key(), sort_keys=True)
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return self.folder / f"{name}-{index:03d}.safetensors"

    def get(self) -> list[Expert] | None:
        """Return all experts, or None while one is missing."""
        found = [_read(self.path(index)) for index in range(self.spec.count)]
        return [each for each in found if each is not None] if None not in found else None

    def required(self) -> list[Expert]:
        """Return all experts of a run that has prepared them.

        Raises:
            UsageError: If one is missing.
        """
        found = self.get()
        if found is None:
            raise UsageError(
                f"experts vanished from {str(self.folder)!r}; run the same command again with --resume"
            )
        return found

    def prepare(self, workplace: Workplace, noun: str = "expert") -> Cost:
        """Train the experts that are missing, and return what all of them cost, whenever it was.

        Args:
            workplace: Who is told, and who may ask to stop.
            noun: What they are called, for people.

        Raises:
            PreparationStopped: If the workplace asked for it.
            ExpertsMissingError: If a folder that was given lacks some.
        """
        if workplace.given and self.get() is None:
            raise ExpertsMissingError(self._lacking(noun))
        spec = self.spec

        def told(done: int, epoch: int, loss: float) -> None:
            workplace.tell(
                f"{noun} {done + 1} of {spec.count}, epoch {epoch} of {spec.epochs}, loss {loss:.3g}"
            )

        total, losses = Cost(), []
        for expert in self.make(told, workplace.stop, workplace.workers):
            total = total.plus(expert.record.cost)
            losses.append(expert.record.loss)
        guess = math.log(max(2, len(self.task.classes)))
        if statistics.fmean(losses) > _LITTLE * guess:
            logger.warning(
                "the %ss have learned little (loss %.3g, that of guessing is %.3g), and what follows them "
                "learns less; raise their epochs or step size, or lower their batch",
                noun,
                statistics.fmean(losses),
                guess,
            )
        return total

    def _lacking(self, noun: str) -> str:
        """Return the sentence about a folder that was given and does not hold what is needed."""
        place = repr(str(self.folder))
        found = found_specs(self.task, self.arch, self.folder)
        wanted = self.spec.model_dump()
        if not found:
            return (
                f"{place} holds no {noun}s of {self.arch!r} on {self.task.name!r}; make some with 'attar "
                f"experts', or leave --experts out"
            )
        nearest = min(found, key=lambda spec: len(_differences(spec.model_dump(), wanted)))
        apart = _differences(nearest.model_dump(), wanted)
        told = ", ".join(f"{key}={value} where {wanted[key]} is asked for" for key, value in apart.items())
        return f"{place} holds {noun}s with {told}; change the settings of the method, or make others"

    def make(
        self, told: Told = _untold, stop: Callable[[], bool] = lambda: False, workers: Workers = 1
    ) -> list[Expert]:
        """Return all experts, training those that are missing.

        Args:
            told: Called after each epoch, with several workers after each expert.
            stop: Asked after each epoch; True saves and ends early. Several workers are not asked:
                what they have saved is gone on from.
            workers: Who trains them.

        Raises:
            PreparationStopped: If `stop` asked for it.
            DivergenceError: If an expert's loss stops being finite.
            UsageError: If the disk refuses.
        """
        missing = [index for index in range(self.spec.count) if _read(self.path(index)) is None]
        if in_others(len(missing), workers):
            done = self.spec.count - len(missing)
            for _, loss in results(self._train, missing, workers):
                told(done, self.spec.epochs, loss)
                done += 1
        else:
            self._make_here(missing, told, stop)
        return self.required()

    def _train(self, index: int) -> float:
        """Train one expert, or wait until another process has, and return its loss."""
        self._make_here([index], _untold, lambda: False)
        made = _read(self.path(index))
        return math.nan if made is None else made.record.loss

    def _make_here(self, missing: list[int], told: Told, stop: Callable[[], bool]) -> None:
        """Train experts one after another."""
        from filelock import Timeout

        done = self.spec.count - len(missing)
        # What another process trains comes last, when it may be there.
        patience = 0.0
        while missing:
            busy: list[int] = []
            for index in missing:
                try:
                    with locked(self.path(index), timeout=patience):
                        if _read(self.path(index)) is None:
                            self._make_one(index, partial(told, done), stop)
                        done += 1
                except Timeout:
                    busy.append(index)
                if done < self.spec.count and stop():
                    raise PreparationStopped
            missing, patience = busy, _PATIENCE

    def _make_one(self, index: int, told: Callable[[int, float], None], stop: Callable[[], bool]) -> None:
        """Train one expert and write its file."""
        begun = self.path(index).with_suffix(BEGUN)
        if not begun.exists():
            with disk_errors(begun):
                claim(begun, "expert")
        made = train_expert(
            self.task,
            self.arch,
            self.spec,
            index,
            device=self.device,
            checkpoints=Checkpoints(begun, keep=1),
            told=told,
            stop=stop,
        )
        self._write(index, made)
        discard(begun)

    def _write(self, index: int, made: Trajectory) -> None:
        kind = torch.float16 if self.spec.dtype == "float16" else torch.float32
        record = ExpertRecord(
            **self.key(),
            index=index,
            shapes=tuple((name, tuple(each.shape)) for name, each in made.model.named_parameters()),
            loss=made.loss,
            cost=made.cost,
        )
        tensors = {"trajectory": torch.stack(made.snapshots).to(kind)}
        for name, buffer in made.model.named_buffers():
            # A clone: safetensors refuses tensors that share memory.
            tensors[f"buffers.{name}"] = buffer.detach().cpu().contiguous().clone()
        path = self.path(index)
        if not bool(torch.isfinite(tensors["trajectory"]).all()):
            raise UsageError(f"expert {index} does not fit into {self.spec.dtype}; store it as float32")
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, save(tensors, {_KEY: record.model_dump_json()}))


def _read(path: Path) -> Expert | None:
    """Return the expert of a file, or None where there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})[_KEY]
            record = ExpertRecord.model_validate_json(text)
            shape = tuple(file.get_slice("trajectory").get_shape())
    except (SafetensorError, KeyError, ValidationError, OSError):
        return None
    values = sum(torch.Size(shape).numel() for _, shape in record.shapes)
    return Expert(path, record) if len(shape) == 2 and shape[1] == values else None


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if other[key] != value}


def found_specs(task: Task, arch: str, folder: Path) -> list[ExpertSpec]:
    """Return the ways that experts of a task in a folder were trained, with how many there are of each.

    Args:
        task: The real data.
        arch: Architecture, or "" for the task's default.
        folder: The folder.
    """
    found: dict[ExpertSpec, set[int]] = {}
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        expert = _read(path)
        if expert is None or expert.record.fingerprint != task.fingerprint:
            continue
        if expert.record.architecture != (arch or task.architecture):
            continue
        spec = ExpertSpec.model_validate({**expert.record.spec, "count": 1})
        if Experts(task, arch, spec, folder).path(expert.record.index) == path:
            found.setdefault(spec, set()).add(expert.record.index)
    complete = []
    for spec, indices in found.items():
        count = next((i for i in range(len(indices)) if i not in indices), len(indices))
        if count:
            complete.append(spec.model_copy(update={"count": count}))
    return complete
