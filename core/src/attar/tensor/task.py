"""The task for tensor data of any shape, in memory or decoded on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor, nn

from attar.architectures import Architecture, Family, build
from attar.batch import Batch
from attar.contracts import Augment, SetSpec, Split, SyntheticSet
from attar.errors import UsageError
from attar.labels import renumbered
from attar.protocols import PROTOCOLS, Protocol
from attar.registry import Registry
from attar.rows import RowsByClass
from attar.settings import parse
from attar.shown import task_html, task_line
from attar.tensor.items import Items, ItemsView, RelabeledItems, check_labels, sample_name
from attar.tensor.preprocess import Standardize
from attar.tensor.synthetic import make_set

__all__ = ["Architecture", "TensorTask"]


@dataclass(frozen=True, repr=False)
class TensorTask:
    """Real data of shape ``(n, *feature)`` with a held-out validation and a test split.

    Attributes:
        modality: Name of the modality.
        name: Name of the data.
        classes: Names of the classes.
        axes: Names of a sample's axes.
        train: Training samples.
        test: Test samples.
        validation: Held-out part of the training data, or None.
        preprocess: From natural units to what models take.
        architectures: Factories, and families of them, by name.
        architecture: The default architecture, with settings.
        augment: The augmentation that suits the data, or None.
        protocols: How networks are trained, by name, the default first.
        options: The modality's settings that the data were loaded with, as JSON values.
        license: License of the data as their owner states it, or ``unknown``.
        about: What else artifacts store of the data, as JSON values; see
            :attr:`attar.plugins.Described.about`.
        fitted: What else than the preprocessing was fitted to training samples, such as a vocabulary, or "".
        registry: Where parameterizations are looked up.
    """

    modality: str
    name: str
    classes: tuple[str, ...]
    axes: tuple[str, ...]
    train: Items
    test: Items
    validation: Items | None
    preprocess: Standardize
    architectures: Mapping[str, Architecture | Family]
    architecture: str
    augment: Augment | None = None
    protocols: Mapping[str, Protocol] = field(default_factory=lambda: PROTOCOLS)
    options: Mapping[str, Any] = field(default_factory=dict)
    license: str = "unknown"
    about: Mapping[str, Any] = field(default_factory=dict)
    fitted: str = ""
    registry: Registry = field(default_factory=Registry, repr=False, compare=False)

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            items = self._items(split)
            if items is None or not len(items.labels):
                continue
            check_labels(items.labels, len(self.classes), f"{split} labels of {self.name!r}")
            if items.feature != self.train.feature:
                raise UsageError(
                    f"the {split} samples of {self.name!r} have shape {items.feature}, "
                    f"the training samples {self.train.feature}; make them equal"
                )

    @property
    def averages(self) -> bool:
        """Whether the mean of samples is a sample, as of numbers that have a unit."""
        return True

    def __repr__(self) -> str:
        """Return what the task is in one line."""
        return task_line(self)

    def _repr_html_(self) -> str:
        return task_html(self)

    def _items(self, split: str) -> Items | None:
        items: Items | None = {"train": self.train, "validation": self.validation, "test": self.test}[split]
        return items

    def _present(self, split: str) -> Items:
        items = self._items(split)
        if items is None:
            raise UsageError(f"{self.name!r} has no {split} data; load it with a validation part")
        return items

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the contents of train and validation and of the preprocessing."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([self.classes, dict(self.preprocessing)], sort_keys=True).encode())
        for items in (self.train, self.validation):
            digest.update((items.fingerprint() if items is not None else "none").encode())
        return digest.hexdigest()

    @cached_property
    def test_fingerprint(self) -> str:
        """Hash of the contents of the test split."""
        return self.test.fingerprint()

    @cached_property
    def labels(self) -> Tensor:
        """Class of every training row, int64 ``(n,)``."""
        return self.train.labels

    @cached_property
    def counts(self) -> Tensor:
        """Training samples per class, int64 ``(C,)``."""
        return self._rows.counts

    @cached_property
    def _rows(self) -> RowsByClass:
        return RowsByClass(self.labels, len(self.classes))

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The preprocessing as JSON values."""
        return self.preprocess.model_dump(mode="json")

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train.feature

    def size(self, split: Split) -> int:
        """Return the number of samples of a split; 0 if the task has none."""
        items = self._items(split)
        return 0 if items is None else len(items.labels)

    def gather(self, rows: Tensor) -> Batch:
        """Return training rows, preprocessed."""
        return self.view(rows)

    def view(self, rows: Tensor, split: Split = "train") -> Batch:
        """Return rows of a split, preprocessed; tensors have no context beside them.

        Raises:
            UsageError: If the task has no such split.
        """
        items = self._present(split)
        return Batch(self.preprocess.encode(items.read(rows)), items.labels[rows])

    def vectors(self, rows: Tensor) -> Tensor:
        """Return preprocessed training rows as vectors, float32 ``(k, d)``."""
        inputs: Tensor = self.gather(rows).inputs
        return inputs.flatten(1)

    def caption(self, row: int) -> str:
        """Return what a training row is called, as a file is; "" where it has no name."""
        return sample_name(self.train, row)

    def draw(self, n: int, gen: Generator, labels: Sequence[int] | None = None) -> Batch:
        """Return up to `n` random training samples of each label, without replacement."""
        return self.gather(self._rows.draw(n, gen, labels))

    def epoch(self, split: Split, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield a split once in batches of at most `size`, in random order if `gen` is given.

        Raises:
            UsageError: If the task has no such split.
        """
        items = self._present(split)
        n = len(items.labels)
        order = torch.arange(n) if gen is None else torch.randperm(n, generator=gen)
        labels = items.labels
        for rows in order.split(size):
            yield Batch(self.preprocess.encode(items.read(rows)), labels[rows])

    def raw_bytes(self, rows: Tensor) -> int:
        """Return the bytes of these rows in their cheapest lossless form, labels included."""
        return self.train.nbytes(rows) + len(rows) * (1 if len(self.classes) <= 256 else 2)

    def subset(self, rows: Tensor) -> TensorTask:
        """Return the task with fewer training rows: same classes and statistics."""
        return replace(self, train=ItemsView(self.train, rows))

    def partition(self, parts: Sequence[Tensor], gen: Generator) -> list[TensorTask]:
        """Return one task per part; tensors have no context to allot, so `gen` is not used."""
        return [self.subset(rows) for rows in parts]

    def shared(
        self, classes: Sequence[str], preprocessing: Mapping[str, Any], *, leave_out: bool = False
    ) -> TensorTask:
        """Return the same data with the classes and the preprocessing of others they are a part of.

        Raises:
            UsageError: If the data have another class that is not left out, or the preprocessing does not
                fit.
        """
        numbers = renumbered(self.classes, classes, self.name, leave_out=leave_out)

        def part(items: Items) -> Items:
            found = RelabeledItems(items, numbers)
            strange = (items.labels >= 0) & (found.labels < 0)
            return ItemsView(found, (~strange).nonzero()[:, 0]) if bool(strange.any()) else found

        return replace(
            self,
            classes=tuple(classes),
            train=part(self.train),
            test=part(self.test),
            validation=None if self.validation is None else part(self.validation),
            preprocess=parse(Standardize, preprocessing, "preprocessing"),
        )

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model; "" means the default architecture."""
        text = arch or self.architecture
        return build(text, self.architectures, self.feature, len(self.classes), gen)

    def with_architecture(self, name: str, factory: Architecture) -> TensorTask:
        """Return the task with one more architecture."""
        return replace(self, architectures={**self.architectures, name: factory})

    def synthesize(self, init: Batch, spec: SetSpec, gen: Generator) -> SyntheticSet:
        """Return a synthetic set that starts at `init`.

        Raises:
            UsageError: If the parameterization is unknown or does not fit the data, or a structure is
                asked for.
        """
        if spec.structure:
            raise UsageError(
                f"objective.structure={spec.structure} joins samples, and those of {self.name!r} stand "
                f"alone; leave it out"
            )
        return make_set(init, spec, self.feature, len(self.classes), gen, self.registry)
