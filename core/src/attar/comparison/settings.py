"""What is asked of a comparison, and which method a setting is for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from attar.contracts import StorageType
from attar.errors import UsageError
from attar.jobs import Workers, default_workers
from attar.protocols import Protocol
from attar.recipe import Precision

__all__ = ["ALL", "CompareSettings", "Key", "Point", "Policy", "check_numbers", "parse_key", "points"]

ALL = "all"
"""Stands for every installed method and selector."""

Policy: TypeAlias = Literal["error", "cap", "repeat"]
"""What happens where a class has fewer samples than are asked for."""

Point: TypeAlias = Mapping[str, Any]
"""Settings by key as the user wrote them, one value each."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """What is compared, and how.

    Attributes:
        out: Folder of the comparison. What is finished there is not done again.
        methods: Methods and selectors, or :data:`ALL`.
        ipc: Stored samples per class.
        seeds: Sets per method and size.
        seed: Seed of the first set; the others follow. Also the seed of the networks.
        tune_seeds: Sets per point of the grid.
        grid: Values to choose from on validation data, by setting. A setting is written ``lr``
            or ``objective.lr`` for every method that knows it, ``dm.lr`` for one method, and
            ``parameterization.factor`` for how values are stored.
        settings: Values that are not chosen, by setting as in `grid`.
        dtype: Type that values are stored in.
        precision: ``fp32``; ``bf16`` for models of methods in bfloat16; ``auto`` for what suits each.
        checkpoint_every: Steps between checkpoints of a run.
        policy: What happens where a class has fewer samples than are asked for.
        protocol: How networks are trained on every set.
        baselines: Baselines by name, ``all`` that suit the data, or ``none``.
        model: Architecture of all networks; methods that name none of their own match on it too.
            "" takes the task's.
        equal_bytes: Whether random real samples of as many bytes as each set are evaluated.
        ranking: Whether what :class:`attar.comparison.Ranking` needs beyond that is trained.
        force: Replace a comparison that stands in `out`, once the new one is complete.
        workers: Processes of this machine, or a cluster; each piece of work has one thread.
        device: Where methods run; networks are trained on the CPU.
        allow_inexact: Resume runs although versions or device differ.
        cache: Folder of cached results, or None for the usual one.
        show: Whether progress is shown on standard error.
    """

    out: Path
    protocol: Protocol
    methods: Sequence[str] = (ALL,)
    ipc: Sequence[int] = (1, 10)
    seeds: int = 5
    seed: int = 0
    tune_seeds: int = 1
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: StorageType = "float32"
    precision: Precision = "fp32"
    checkpoint_every: int = 100
    policy: Policy = "error"
    baselines: str | Sequence[str] = "all"
    model: str = ""
    equal_bytes: bool = True
    ranking: bool = False
    force: bool = False
    workers: Workers = field(default_factory=default_workers)
    device: torch.device = torch.device("cpu")
    allow_inexact: bool = False
    cache: Path | None = None
    show: bool = False

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Seeds of the sets that are reported."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def trial_seeds(self) -> tuple[int, ...]:
        """Seeds of the sets that settings are chosen by."""
        return tuple(range(self.seed, self.seed + self.tune_seeds))


def check_numbers(settings: CompareSettings) -> None:
    """Refuse numbers of sets, sizes and values that make no comparison.

    Raises:
        UsageError: Naming the first.
    """
    if not settings.ipc or min(settings.ipc) < 1:
        raise UsageError("each number of samples per class must be at least 1, as in ipc=1,10")
    for name, value in (("seeds", settings.seeds), ("tune_seeds", settings.tune_seeds)):
        if value < 1:
            raise UsageError(f"{name} = {value} makes no set; give at least 1")
    for key, values in settings.grid.items():
        if not values:
            raise UsageError(f"the grid of {key!r} has no value; write it as {key}=0.1,1")
        if key in settings.settings:
            raise UsageError(f"{key!r} is given a value and a grid; give one of them")


@dataclass(frozen=True)
class Key:
    """Where a setting belongs.

    Attributes:
        method: The one method that it is for, or "" for all that know it.
        section: Table of the recipe that it stands in.
        name: Name there.
    """

    method: str
    section: Literal["objective", "parameterization"]
    name: str


def parse_key(key: str, methods: Sequence[str]) -> Key:
    """Return where a setting belongs: ``lr``, ``objective.lr``, ``parameterization.factor`` or ``dm.lr``.

    Args:
        key: The setting as the user wrote it.
        methods: Methods that are compared.

    Raises:
        UsageError: If it is of no such form.
    """
    first, *rest = parts = key.split(".")
    method = ""
    if rest and first in methods:
        method, parts = first, rest
    if len(parts) == 1 and parts[0]:
        return Key(method, "objective", parts[0])
    if len(parts) == 2 and parts[0] == "objective":
        return Key(method, "objective", parts[1])
    if len(parts) == 2 and parts[0] == "parameterization":
        return Key(method, "parameterization", parts[1])
    raise UsageError(
        f"unknown setting {key!r}: write lr or objective.lr for every method that knows it, METHOD.lr for "
        f"one that is compared, or parameterization.NAME"
    )


def points(grid: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    """Yield each combination of a grid's values; one without any for an empty grid."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))
