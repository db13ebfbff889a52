"""How large a memory may be."""

from __future__ import annotations

import re

import torch
from attar.contracts import Task
from attar.errors import UsageError
from attar.quantities import parse_bytes
from attar.settings import Settings
from pydantic import Field, model_validator

__all__ = ["Budget"]

_LEAST = 3
"""Bytes of the smallest sample: a value of float16 and a label."""


class Budget(Settings):
    """A bound that a memory never exceeds: exactly one of these.

    Attributes:
        per_class: Stored samples of each class.
        total: Stored samples in all; classes share them evenly, so that each has fewer as classes come.
        bytes: Bytes of all stored tensors, labels included; shared likewise.
    """

    per_class: int | None = Field(default=None, ge=1)
    total: int | None = Field(default=None, ge=1)
    bytes: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if sum(value is not None for value in (self.per_class, self.total, self.bytes)) != 1:
            raise ValueError("give one of per_class, total and bytes")
        return self

    @classmethod
    def of(cls, text: str | Budget) -> Budget:
        """Return what a text such as ``10/class``, ``100`` or ``78KB`` means.

        Raises:
            UsageError: If it means nothing.
        """
        if isinstance(text, Budget):
            return text
        said = text.strip()
        found = re.fullmatch(r"([0-9]+)\s*(/\s*class)?", said)
        if found is not None and int(found[1]) >= 1:
            return cls(per_class=int(found[1])) if found[2] else cls(total=int(found[1]))
        if re.fullmatch(r"[0-9.]+\s*[A-Za-z]+", said):
            size = parse_bytes(said)
            if size >= _LEAST:
                return cls(bytes=size)
            if size >= 1:
                raise UsageError(
                    f"a memory of {text} holds no sample, which takes a value and a label; make it larger"
                )
        raise UsageError(
            f"the memory {text!r} is not understood; write it as 10/class, 100 (samples) or 78KB"
        )

    def samples(self, classes: int) -> list[int] | None:
        """Return the samples that each of so many classes may have; None for a budget of bytes.

        Raises:
            UsageError: If there is not one for each class.
        """
        if self.per_class is not None:
            return [self.per_class] * classes
        if self.total is None:
            return None
        if self.total < classes:
            raise UsageError(
                f"a memory of {self.total} samples cannot hold one of each of {classes} classes; make "
                f"it larger"
            )
        each, more = divmod(self.total, classes)
        return [each + (place < more) for place in range(classes)]

    def real_samples(self, task: Task) -> int:
        """Return how many real samples of a task a memory holds in all, once all classes have come.

        A budget of bytes counts them in their cheapest lossless form.
        """
        if self.per_class is not None:
            return self.per_class * int((task.counts > 0).sum())
        if self.total is not None:
            return self.total
        rows = torch.arange(min(256, len(task.labels)))
        return (self.bytes or 0) * len(rows) // task.raw_bytes(rows)

    def key(self) -> str:
        """Return the budget as a part of a file name."""
        return str(self).replace("/", "-per-")

    def __str__(self) -> str:
        if self.per_class is not None:
            return f"{self.per_class}/class"
        return str(self.total) if self.total is not None else f"{self.bytes}B"
