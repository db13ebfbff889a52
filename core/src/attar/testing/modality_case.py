"""What the laws of a modality are tried on: the plugin with data that it can load quickly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from attar.api import data_root
from attar.batch import Batch
from attar.contracts import LabelKind, SetSpec, Split, SyntheticSet, Task
from attar.errors import UsageError
from attar.plugins import LoadRequest
from attar.registry import Registry
from attar.rng import derive
from attar.settings import parse
from attar.tensor import ArrayItems, TensorTask
from attar.testing.compare import RowKeys, plain_row_keys
from attar.testing.laws import LawBroken
from attar.testing.toys import installed

__all__ = ["ModalityCase", "ModalityData", "Overlay"]


@dataclass(frozen=True, kw_only=True)
class ModalityData:
    """Data that a modality is tested with: small, and there without a download.

    Attributes:
        data: Name of a known data set, or a path.
        root: Folder of known data sets; by default as for ``attar.task``.
        options: The modality's settings.
        without_test: Returns the task with another test split, for tasks that are no
            :class:`attar.tensor.TensorTask`.
        row_keys: Tells the rows of a batch apart, for inputs that are no plain tensors.
    """

    data: str
    root: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    without_test: Callable[[Task], Task] | None = None
    row_keys: RowKeys = plain_row_keys


class Overlay(Registry):
    """What is installed, and one plugin that need not be."""

    def __init__(self, group: str, name: str, plugin: Any) -> None:
        super().__init__(installed().entries())
        self._loaded[group, name] = plugin


class _Sealed:
    """Test samples that must not be read; that there are some is no secret."""

    def __init__(self, items: Any) -> None:
        self._items = items

    labels = property(lambda self: self._items.labels)
    feature = property(lambda self: self._items.feature)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        return "sealed"

    def read(self, rows: Tensor) -> Tensor:
        raise LawBroken("the test samples were read")

    def nbytes(self, rows: Tensor) -> int:
        raise LawBroken("the test samples were measured")


class _SealedTask:
    """Any task, with a test split that must not be passed over."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def epoch(self, split: Split, size: int, gen: torch.Generator | None = None) -> Any:
        if split == "test":
            raise LawBroken("the test samples were read")
        return self._task.epoch(split, size, gen)

    def view(self, rows: Tensor, split: Split = "train") -> Any:
        if split == "test":
            raise LawBroken("the test samples were read")
        return self._task.view(rows, split)


@dataclass(frozen=True)
class ModalityCase:
    """A modality under test.

    Attributes:
        plugin: The modality.
        source: The data.
        name: Name that it is registered under, or None if that is unknown.
    """

    plugin: Any
    source: ModalityData
    name: str | None
    group: str = "modalities"

    @property
    def settings_class(self) -> type[BaseModel]:
        """The class of its settings."""
        options: type[BaseModel] = self.plugin.Options
        return options

    def load(self, data: str | None = None, **changes: Any) -> Task:
        """Load the data, with settings changed."""
        options = parse(self.plugin.Options, {**self.source.options, **changes}, "data.options")
        request = LoadRequest(
            data=data or self.source.data, root=data_root(self.source.root), download=False, options=options
        )
        task: Task = self.plugin.load(request)
        return task

    @cached_property
    def task(self) -> Task:
        """The task, loaded once for all laws."""
        return self.load()

    @cached_property
    def all_rows(self) -> Tensor:
        """Every training row."""
        return torch.arange(len(self.task.labels))

    def keys(self, batch: Batch) -> Sequence[Hashable]:
        """Return what tells the rows of a batch apart."""
        return self.source.row_keys(batch)

    @cached_property
    def train_keys(self) -> Sequence[Hashable]:
        """The key of every training row."""
        return self.keys(self.task.view(self.all_rows))

    @cached_property
    def few(self) -> Tensor:
        """Two training rows of each of the first classes."""
        labels = self.task.labels
        rows = [(labels == label).nonzero()[:2, 0] for label in labels.unique()[:3]]
        return torch.cat(rows)

    @cached_property
    def models(self) -> dict[str, nn.Module]:
        """A model of each architecture; those that refuse the data in one sentence are left out.

        The default architecture must fit.
        """
        task = self.task
        models = {task.architecture: task.build("", derive(0, "kit", "model"))}
        for name in getattr(task, "architectures", {}):
            try:
                models[name] = task.build(name, derive(0, "kit", "model", name))
            except UsageError:
                continue
        return models

    def start(self, kind: LabelKind = "hard", dtype: Any = "float32") -> tuple[Batch, SyntheticSet]:
        """Return a few real samples and the synthetic set that starts at them."""
        init = self.task.gather(self.few)
        spec = SetSpec(label_kind=kind, dtype=dtype)
        return init, self.task.synthesize(init, spec, derive(0, "kit", "set"))

    def sets(self) -> list[SyntheticSet]:
        """Return a set of each kind of labels that the modality does not refuse."""
        found = [self.start()[1]]
        kinds: tuple[LabelKind, ...] = ("probability", "regression")
        for kind in kinds:
            try:
                found.append(self.start(kind)[1])
            except UsageError:
                continue
        return found

    def other_test(self) -> Task:
        """Return the task with its test split replaced by noise.

        Raises:
            LawBroken: If nobody says how.
        """
        task = self.task
        if self.source.without_test is not None:
            return self.source.without_test(task)
        if not isinstance(task, TensorTask):
            raise LawBroken("give without_test, which returns the task with another test split")
        like = task.train.read(torch.zeros(1, dtype=torch.int64)).numpy()
        n = len(task.classes)
        random = np.random.default_rng(0)
        # Zeros and ones are pixels, counts and tokens alike.
        noise = (
            random.standard_normal((n, *like.shape[1:]))
            if np.issubdtype(like.dtype, np.floating)
            else random.integers(0, 2, (n, *like.shape[1:]))
        )
        return replace(task, test=ArrayItems(noise.astype(like.dtype), np.arange(n), "noise"))

    def sealed(self) -> Any:
        """Return the task with a test split that raises when it is read."""
        if isinstance(self.task, TensorTask):
            return replace(self.task, test=_Sealed(self.task.test))
        return _SealedTask(self.task)

    @cached_property
    def registry(self) -> Registry:
        """What is installed, and this modality under the name that its tasks bear."""
        return Overlay("modalities", self.task.modality, self.plugin)
