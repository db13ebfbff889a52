"""The memory: what was distilled of each experience, within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from attar.batch import Batch
from attar.contracts import LabelKind, SyntheticSet
from attar.errors import UsageError
from attar.labels import centered
from attar.registry import Registry
from attar.unions import UnionSet, restore
from torch import Tensor
from torch.nn import functional

from attar_continual.budget import Budget

__all__ = ["Memory", "Part", "Remembered"]


@dataclass(frozen=True)
class Part:
    """What is kept of one experience.

    Attributes:
        syn: The samples, as they are stored.
        seen: Real samples that they stand for, by class.
        task: Task label of the experience; 0 where there are none.
    """

    syn: SyntheticSet
    seen: Mapping[int, int]
    task: int = 0

    @property
    def counts(self) -> dict[int, int]:
        """Stored samples by class."""
        counts = torch.bincount(self.syn.labels).tolist()
        return {label: n for label, n in enumerate(counts) if n}

    def at_most(self, counts: Mapping[int, int]) -> Part | None:
        """Return the part with at most so many stored samples of each class; None if none is left.

        The first ones of a class stay: samples that are distilled from random ones are in no order, and
        those that are chosen stand with the best first.
        """
        rows = []
        for label in self.counts:
            own = (self.syn.labels == label).nonzero()[:, 0]
            rows.append(own[: counts.get(label, 0)])
        kept = torch.cat(rows).sort().values
        if len(kept) == len(self.syn.labels):
            return self
        return replace(self, syn=self.syn.keep(kept)) if len(kept) else None


@dataclass(frozen=True)
class Remembered:
    """The samples of a memory.

    Attributes:
        batch: The samples, decoded.
        tasks: Task label of each, int64 ``(n,)``.
        kind: What their targets are.
    """

    batch: Batch
    tasks: Tensor
    kind: LabelKind


def _targets(batch: Batch, kind: LabelKind, own: LabelKind, width: int) -> Tensor:
    """Return targets of one kind and width; a class that a set did not know has none of its mass."""
    if own == "hard":
        hard = functional.one_hot(batch.labels, width).to(torch.float32)
        return centered(batch.labels, width) if kind == "regression" else hard
    if batch.targets is None or own != kind:
        raise UsageError(f"a memory of {own} labels cannot be joined with one of {kind} labels")
    missing = width - batch.targets.shape[1]
    return functional.pad(batch.targets, (0, missing), value=0.0 if kind == "probability" else -1 / width)


@dataclass
class Memory:
    """Distilled samples of the classes seen so far, never more than a budget.

    Attributes:
        budget: How many, or how many bytes.
        modality: Name of the modality that rebuilds sets from what is stored; "" before the first part.
        parts: What is kept, oldest first.
    """

    budget: Budget
    modality: str = ""
    parts: list[Part] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part.syn.labels) for part in self.parts)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes seen, in the order in which they came."""
        return tuple(dict.fromkeys(label for part in self.parts for label in part.seen))

    @property
    def nbytes(self) -> int:
        """Bytes of all stored tensors."""
        return sum(part.syn.nbytes() for part in self.parts)

    def add(self, part: Part, modality: str) -> None:
        """Take a part in, and give up of all parts what exceeds the budget.

        A class that was there before shares its place with what is new, as the real samples that each part
        stands for share theirs.

        Raises:
            UsageError: If the budget does not hold one sample of each class, or a part cannot give up
                samples.
        """
        parts = Memory(self.budget, modality, [*self.parts, part]).within(self.budget).parts
        self.modality, self.parts = modality, parts

    def within(self, budget: Budget) -> Memory:
        """Return what a budget holds of the memory.

        Raises:
            UsageError: If it does not hold one sample of each class, or a part cannot give up samples.
        """
        quota = budget.samples(len(self.classes))
        if quota is None:
            kept = _within_bytes(self.parts, self.classes, budget.bytes or 0)
        else:
            kept = _within(self.parts, dict(zip(self.classes, quota, strict=True)))
        return Memory(budget, self.modality, kept)

    def room(self, new: Sequence[int]) -> tuple[int | None, int | None]:
        """Return how many stored samples of each new class there is room for, or how many bytes in all.

        Args:
            new: Classes of the next experience.

        Raises:
            UsageError: If there is not room for one of each class seen.
        """
        labels = tuple(dict.fromkeys((*self.classes, *new)))
        quota = self.budget.samples(len(labels))
        if quota is not None:
            return max(n for label, n in zip(labels, quota, strict=True) if label in new), None
        return None, (self.budget.bytes or 0) // len(labels) * len(new)

    def union(self) -> UnionSet:
        """Return all that is kept, as one set.

        Raises:
            UsageError: If nothing is kept yet.
        """
        return UnionSet([part.syn for part in self.parts])

    def remembered(self) -> Remembered:
        """Return the samples with targets of one kind, without gradient.

        Raises:
            UsageError: If nothing is kept yet, or parts have targets of different kinds.
        """
        if not self.parts:
            raise UsageError("the memory is empty before the first experience")
        batches = [part.syn.decode().constant() for part in self.parts]
        kinds: list[LabelKind] = [part.syn.label_kind for part in self.parts]
        kind: LabelKind = next((each for each in kinds if each != "hard"), "hard")
        if kind != "hard":
            width = max(
                max(0 if batch.targets is None else batch.targets.shape[1], int(batch.labels.max()) + 1)
                for batch in batches
            )
            batches = [
                replace(batch, targets=_targets(batch, kind, own, width))
                for batch, own in zip(batches, kinds, strict=True)
            ]
        tasks = [
            torch.full((len(batch),), part.task) for batch, part in zip(batches, self.parts, strict=True)
        ]
        return Remembered(Batch.cat(batches), torch.cat(tasks), kind)

    def __getstate__(self) -> dict[str, Any]:
        """Return plain tensors and JSON values: what a checkpoint of Avalanche pickles."""
        kept = [
            {
                "set": part.syn.description(),
                "tensors": part.syn.stored(),
                "seen": dict(part.seen),
                "task": part.task,
            }
            for part in self.parts
        ]
        return {"budget": self.budget.model_dump(), "modality": self.modality, "parts": kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Rebuild the memory from what :meth:`__getstate__` returned."""
        self.budget = Budget.model_validate(state["budget"])
        self.modality = state["modality"]
        registry = Registry()

        def rebuilt(each: Mapping[str, Any]) -> Part:
            syn = restore(registry.get("modalities", self.modality), each["set"], each["tensors"])
            return Part(syn, each["seen"], each["task"])

        self.parts = [rebuilt(each) for each in state["parts"]]


def _shared(most: int, weights: Sequence[int]) -> list[int]:
    """Share places by largest remainder; of equal ones the newest goes without."""
    total = sum(weights)
    exact = [most * weight / total for weight in weights]
    shares = [int(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda place: shares[place] - exact[place])
    for place in order[: most - sum(shares)]:
        shares[place] += 1
    return shares


def _within(parts: Sequence[Part], quota: Mapping[int, int]) -> list[Part]:
    """Return parts of which each class has at most its quota."""
    allotted: list[dict[int, int]] = [{} for _ in parts]
    for label, most in quota.items():
        own = [place for place, part in enumerate(parts) if label in part.counts]
        shares = _shared(most, [parts[place].seen.get(label, 1) for place in own])
        for place, share in zip(own, shares, strict=True):
            allotted[place][label] = share
    kept = [part.at_most(counts) for part, counts in zip(parts, allotted, strict=True)]
    return [part for part in kept if part is not None]


def _within_bytes(parts: list[Part], labels: Sequence[int], bound: int) -> list[Part]:
    """Return parts that take no more bytes than the budget, with classes as even as can be."""
    most = max(sum(part.counts.get(label, 0) for part in parts) for label in labels)
    while sum(part.syn.nbytes() for part in parts) > bound:
        most -= 1
        if most < 1:
            raise UsageError(
                f"a memory of {bound} bytes cannot hold one sample of each of {len(labels)} classes; "
                f"make it larger"
            )
        parts = _within(parts, dict.fromkeys(labels, most))
    return parts
