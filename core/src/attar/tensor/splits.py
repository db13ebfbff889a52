"""Splitting tensor data: by class, or so that what belongs together stays on one side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from attar.contracts import Split
from attar.errors import UsageError
from attar.rng import derive
from attar.settings import Settings, unknown
from attar.tensor.items import ArrayItems, Items, ItemsView, JoinedItems, check_labels

__all__ = [
    "GroupOptions",
    "Parts",
    "SplitOptions",
    "class_rows",
    "groups_of",
    "holdout",
    "split",
    "split_by_group",
    "split_rows",
]


class SplitOptions(Settings):
    """How data without splits of their own are split.

    Attributes:
        validation: Part of the training data held out for choices: a fraction below 1, or a
            number of samples; 0 for none.
        test: Part of all data kept for the test where the data name no test split.
        split_seed: Seed of the split, apart from the run's seed, so that runs compare.
    """

    validation: float = Field(default=0.1, ge=0)
    test: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0


class GroupOptions(SplitOptions):
    """How data in files are split, by groups if they have them.

    Attributes:
        group_pattern: Regular expression that is searched in the path of each file below the
            folder, with ``(?P<group>…)`` around what names its group, such as a speaker. Groups
            stay whole: none is on two sides. Splits that folders name are then put together
            and drawn anew. "" for none.
        test_groups: Names of the groups that are the test split, with commas; "" draws them.
    """

    group_pattern: str = ""
    test_groups: str = ""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A split of data.

    Attributes:
        train: Training samples.
        validation: What of them is held out for choices, or None.
        test: Test samples.
        drawn: Which of ``test`` and ``validation`` were drawn, since the data do not name them.
    """

    train: Items
    validation: Items | None = None
    test: Items
    drawn: tuple[str, ...] = ()


def split(train: Items, test: Items | None, classes: int, options: SplitOptions) -> Parts:
    """Return the parts of data, drawn class by class.

    Args:
        train: Training samples, or all of them.
        test: Test samples, or None to draw them.
        classes: Number of classes.
        options: How much is drawn, and how.

    Raises:
        UsageError: If nothing would be left, or labels lie outside of the classes.
    """
    drawn = ["test"] if test is None else []
    if test is None:
        train, test = holdout(train, options.test, classes, options.split_seed, "test")
    validation: Items | None = None
    if options.validation > 0:
        train, validation = holdout(train, options.validation, classes, options.split_seed, "validation")
        drawn.append("validation")
    return Parts(train=train, validation=validation, test=test, drawn=tuple(drawn))


def split_rows(labels: NDArray[Any], classes: int, options: SplitOptions) -> Mapping[Split, NDArray[Any]]:
    """Return the rows of each part of data, for those who have to see the training rows to read any.

    Args:
        labels: Class of each sample, integers ``(n,)``.
        classes: Number of classes.
        options: How much is drawn, and how.

    Returns:
        Rows, int64 ``(k,)``, the same as :func:`split` draws; no ``validation`` where none is drawn.

    Raises:
        UsageError: As :func:`split`.
    """
    parts = split(ArrayItems(np.arange(len(labels))[:, None], labels), None, classes, options)
    found: Mapping[Split, Items | None]
    found = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return {
        part: items.read(torch.arange(len(items.labels)))[:, 0].numpy()
        for part, items in found.items()
        if items is not None
    }


def split_by_group(
    parts: Sequence[Items], groups: Sequence[str], classes: Sequence[str], options: GroupOptions
) -> Parts:
    """Return the parts of data of which no group is in two.

    Args:
        parts: All samples, in the order of `groups`.
        groups: Group of each sample.
        classes: Names of the classes.
        options: Which groups are the test split, or how much is drawn; a drawn part has at least
            one group, and otherwise at most as many samples as asked for.

    Raises:
        UsageError: If a group is unknown, or a class would have no training sample.
    """
    items = parts[0] if len(parts) == 1 else JoinedItems(parts)
    check_labels(items.labels, len(classes), "labels")
    draw = _GroupDraw(items.labels, tuple(groups), tuple(classes), options.split_seed)
    everything = torch.arange(len(groups))
    named = [name.strip() for name in options.test_groups.split(",") if name.strip()]
    odd = next((name for name in named if name not in groups), None)
    if odd is not None:
        raise UsageError(unknown("group in data.test_groups", odd, set(groups)))
    # One group to train on, and one to hold out of these.
    spare = 2 if options.validation > 0 else 1
    chosen = set(named) or draw.some(everything, options.test, "test", spare)
    kept, held = draw.without(everything, chosen, "test")
    validation: Items | None = None
    if options.validation > 0:
        kept, own = draw.without(kept, draw.some(kept, options.validation, "validation"), "validation")
        validation = ItemsView(items, own)
    drawn = ("test",) if validation is None else ("test", "validation")
    return Parts(
        train=ItemsView(items, kept), validation=validation, test=ItemsView(items, held), drawn=drawn
    )


@dataclass(frozen=True)
class _GroupDraw:
    """Chooses whole groups.

    Attributes:
        labels: Class of each sample.
        groups: Group of each sample.
        classes: Names of the classes.
        seed: Seed of the draw.
    """

    labels: Tensor
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    seed: int

    def _of(self, rows: Tensor) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row in rows.tolist():
            found.setdefault(self.groups[row], []).append(row)
        return found

    def some(self, rows: Tensor, amount: float, purpose: str, spare: int = 1) -> set[str]:
        """Draw groups of some of the samples, and leave `spare` groups at least."""
        found = self._of(rows)
        names = sorted(found)
        target = round(amount * len(rows)) if amount < 1 else round(amount)
        there = set(self.labels[rows].tolist())
        chosen: set[str] = set()
        held = 0
        for index in torch.randperm(len(names), generator=derive(self.seed, purpose, "groups")).tolist():
            more = len(found[names[index]])
            left = [row for name, own in found.items() if name not in {*chosen, names[index]} for row in own]
            fits = len(chosen) + spare < len(names) and (not chosen or held + more <= target)
            if fits and set(self.labels[left].tolist()) == there:
                chosen.add(names[index])
                held += more
        if not chosen:
            raise UsageError(
                f"no group of {len(names)} can be held out for the {purpose} part without a class losing all "
                f"its samples; change data.group_pattern"
            )
        return chosen

    def without(self, rows: Tensor, names: set[str], purpose: str) -> tuple[Tensor, Tensor]:
        """Return the samples outside of some groups, and those inside."""
        inside = torch.tensor([self.groups[row] in names for row in rows.tolist()])
        kept, held = rows[~inside], rows[inside]
        lost = set(range(len(self.classes))) - set(self.labels[kept].tolist())
        if lost:
            raise UsageError(
                f"the class {self.classes[min(lost)]!r} would have no training sample beside the {purpose} "
                f"groups {', '.join(sorted(names))}; choose others with data.test_groups"
            )
        return kept, held


def groups_of(names: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each file.

    Args:
        names: Paths of the files, "" where one has none.
        pattern: As :attr:`GroupOptions.group_pattern`.

    Raises:
        UsageError: If the pattern is none, or a name does not match it.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.group_pattern = {pattern!r} is no regular expression: {error}") from error
    if "group" not in compiled.groupindex:
        raise UsageError(
            f"data.group_pattern = {pattern!r} names no group; put (?P<group>…) around what tells them apart"
        )
    found = []
    for name in names:
        match = compiled.search(name)
        if match is None or not match["group"]:
            told = repr(name) if name else "a sample without a file name"
            raise UsageError(f"data.group_pattern = {pattern!r} finds no group in {told}; change it")
        found.append(match["group"])
    return found


def class_rows(labels: Tensor, classes: int) -> list[Tensor]:
    """Return the rows of each class, int64, in order."""
    return [(labels == label).nonzero()[:, 0] for label in range(classes)]


def holdout(items: Items, amount: float, classes: int, seed: int, purpose: str) -> tuple[Items, Items]:
    """Split items into what is kept and what is held out, class by class.

    Args:
        items: The items to split.
        amount: Fraction below 1, or number of samples, to hold out.
        classes: Number of classes.
        seed: Seed of the split.
        purpose: Names the split among others of the same seed.

    Returns:
        The items kept and the items held out. A class with one sample keeps it.

    Raises:
        UsageError: If nothing would be left, or labels lie outside of the classes.
    """
    labels = items.labels
    check_labels(labels, classes, "labels")
    total = round(amount * len(labels)) if amount < 1 else round(amount)
    if total >= len(labels):
        raise UsageError(
            f"a {purpose} part of {amount:g} samples leaves no training data of {len(labels)}; hold out fewer"
        )
    parts = class_rows(labels, classes)
    shares = _shares([len(rows) for rows in parts], total)
    kept, held = [], []
    for label, (rows, n) in enumerate(zip(parts, shares, strict=True)):
        order = rows[torch.randperm(len(rows), generator=derive(seed, purpose, label))]
        held.append(order[:n])
        kept.append(order[n:])
    return (
        ItemsView(items, torch.cat(kept).sort().values),
        ItemsView(items, torch.cat(held).sort().values),
    )


def _shares(counts: Sequence[int], total: int) -> list[int]:
    """Share `total` among classes by largest remainder, leaving each class at least one sample."""
    whole = max(sum(counts), 1)
    shares = [min(total * n // whole, max(n - 1, 0)) for n in counts]
    remainders = sorted(range(len(counts)), key=lambda label: -(total * counts[label] % whole))
    while sum(shares) < total:
        free = [label for label in remainders if shares[label] < counts[label] - 1]
        if not free:
            break
        for label in free[: total - sum(shares)]:
            shares[label] += 1
    return shares
