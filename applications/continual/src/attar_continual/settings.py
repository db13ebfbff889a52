"""A continual run, repeatable: everything that decides it, as typed values."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import tomli_w
from attar.errors import UsageError
from attar.recipe import DataRecipe, RunRecipe, without_none
from attar.settings import Settings, unknown
from pydantic import Field, field_validator, model_validator

from attar_continual.budget import Budget
from attar_continual.distiller import Labels
from attar_continual.names import METHODS

__all__ = ["ContinualRecipe", "LearnSettings", "MemorySettings"]


class LearnSettings(Settings):
    """How a network learns an experience.

    Attributes:
        optimizer: ``sgd``, ``adam`` or ``adamw``.
        epochs: Passes over the experience.
        batch: New samples per step; of a memory as many come to them.
        lr: Step size.
        momentum: Momentum of ``sgd``.
        weight_decay: L2 penalty.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=32, ge=1)
    lr: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)


class MemorySettings(LearnSettings):
    """How a fresh network learns a memory alone, as GDumb has it.

    Attributes:
        augment: Whether the augmentation of the data is applied, one draw per sample.
        drop: Factor on the step size once half of the passes are over.
    """

    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=32, ge=1)
    lr: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    augment: bool = False
    drop: float = Field(default=0.1, gt=0, le=1)


class ContinualRecipe(Settings):
    """A comparison of memories on streams of experiences.

    Attributes:
        data: Which data.
        stream: ``classes`` for experiences that bring new classes, ``groups`` for the same classes from
            elsewhere.
        pattern: For ``groups``, an expression with ``(?P<group>…)`` that finds the group in a file name.
        experiences: How many experiences, such as ``5``, or the classes of each, such as ``4,3,3``.
        memory: How large memories may be: ``10/class``, ``100`` samples, or ``78KB``.
        methods: What is compared.
        distiller: Method that the memory is distilled with.
        labels: What distilled samples keep as labels.
        objective: The distiller's settings.
        parameterization: The parameterization's settings.
        ratio: Weight of the memory in the loss of ``distilled``; by default the share of its samples in
            those of a step.
        model: Architecture of the network; "" takes the default of the data.
        seeds: Streams, each with another order and another network.
        equal_bytes: Whether real samples are also compared that take as many bytes as the distilled ones.
        learn: How an experience is learned.
        gdumb: How a memory is learned alone.
        run: Seed and storage type.
    """

    data: DataRecipe
    stream: Literal["classes", "groups"] = "classes"
    pattern: str = ""
    experiences: str = "5"
    memory: str = "10/class"
    methods: tuple[str, ...] = METHODS
    distiller: str = "dm"
    labels: Labels = "hard"
    objective: dict[str, Any] = {}
    parameterization: dict[str, Any] = {}
    ratio: float | None = Field(default=None, gt=0, lt=1)
    model: str = ""
    seeds: int = Field(default=3, ge=1)
    equal_bytes: bool = True
    learn: LearnSettings = LearnSettings()
    gdumb: MemorySettings = MemorySettings()
    run: RunRecipe = RunRecipe()

    @field_validator("methods", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        names = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
        for name in names:
            if name not in METHODS:
                raise ValueError(unknown("method", name, METHODS))
        if not names:
            raise ValueError(f"name methods, such as {','.join(METHODS[:3])}")
        return tuple(dict.fromkeys(names))

    @field_validator("experiences", mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _fits(self) -> ContinualRecipe:
        try:
            Budget.of(self.memory)
            self.sizes()
        except UsageError as error:
            raise ValueError(str(error)) from error
        if (self.stream == "groups") != bool(self.pattern):
            raise ValueError("groups and a pattern that finds them in file names go together")
        return self

    @property
    def budget(self) -> Budget:
        """How large memories may be."""
        return Budget.of(self.memory)

    def sizes(self) -> int | tuple[int, ...]:
        """Return how many experiences there are, or the classes of each.

        Raises:
            UsageError: If the text says neither.
        """
        parts = [part.strip() for part in self.experiences.split(",")]
        if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
            raise UsageError(
                f"experiences={self.experiences!r} is not understood; write it as 5, or as 4,3,3 for the "
                f"classes of each"
            )
        return int(parts[0]) if len(parts) == 1 else tuple(map(int, parts))

    def digest(self, *further: object) -> str:
        """Return a hash of what decides a network, but for how many there are."""
        values = self.model_dump(mode="json", exclude={"methods", "seeds", "equal_bytes"})
        text = json.dumps([values, *map(str, further)], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def to_toml(self) -> str:
        """Return the run as TOML."""
        return tomli_w.dumps(without_none(self.model_dump(mode="json")))
