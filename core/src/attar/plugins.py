"""The contracts of the five plugin groups: what an entry point must load.

A plugin is any object with the attributes named here; none of these classes must be
subclassed. ``attar.registry`` checks a plugin when it loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor

from attar.batch import Batch
from attar.contracts import Domain, LabelKind, Objective, Parameterization, SyntheticSet, Task
from attar.optim import OptimSpec
from attar.settings import Settings

__all__ = [
    "TABULAR",
    "AsGraph",
    "CacheMode",
    "Categorized",
    "DataInfo",
    "DemoSpec",
    "Demonstrates",
    "Described",
    "Export",
    "ExportType",
    "GivenData",
    "LoadRequest",
    "Method",
    "MethodSettings",
    "Modality",
    "ParameterizationPlugin",
    "ReadsArrays",
    "Selector",
    "Tabular",
    "meant_for",
    "stands_in",
]


CacheMode: TypeAlias = Literal["auto", "disk", "none"]
"""Whether decoded files are kept: on disk, not at all, or as there is room."""


@dataclass(frozen=True, kw_only=True)
class GivenData:
    """Data given in Python instead of by name or path.

    Attributes:
        train: Samples and labels in a form that the modality takes: a pair, a data set, ….
        test: The test split likewise, or None to draw it.
        classes: Names of the classes, or None for their numbers.
    """

    train: Any
    test: Any = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """Which data to load, and from where.

    Attributes:
        data: Name of a known data set, the path of the user's own, or what given data are called.
        root: Folder that known data sets are looked for and downloaded in.
        download: Whether a known data set may be downloaded.
        options: The modality's own settings, an instance of its ``Options``.
        given: The data themselves, where they are given in Python.
        cache: Whether what is decoded from files is kept in the cache folder.
        show: Whether the progress of long work, such as decoding, is shown.
    """

    data: str
    root: Path
    download: bool
    options: Any
    given: GivenData | None = None
    cache: CacheMode = "auto"
    show: bool = False


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """What an artifact says of the data that it was made of.

    Attributes:
        classes: Names of the classes.
        axes: Names of a sample's axes.
        preprocessing: As :attr:`attar.contracts.Task.preprocessing`.
        name: Name of the data.
        options: As :attr:`attar.contracts.Task.options`.
        feature: As :attr:`attar.contracts.Task.feature`.
        about: As :attr:`Described.about`, or {} where the task says nothing.
    """

    classes: tuple[str, ...]
    axes: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    feature: tuple[int, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Described(Protocol):
    """What a task offers beside, where a set is better understood by knowing more of its data."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What else is worth knowing of the training data, as JSON values.

        The artifact stores it and the modality gets it back in :class:`DataInfo`, so that a picture
        can show a set beside its data without having them. It is small, and nothing in it depends
        on the labels of the test split.
        """


TABULAR = "tabular-classification"
"""What the Hugging Face Hub calls the task of data that say nothing else."""


@runtime_checkable
class Categorized(Protocol):
    """What a modality offers beside, where its data are no tables.

    Attributes:
        category: What the Hugging Face Hub calls the task that the data are for, such as
            ``image-classification``.
    """

    category: str


@dataclass(frozen=True, kw_only=True)
class DemoSpec:
    """What ``attar demo`` does.

    Attributes:
        data: Name of data that come with the modality and need no download.
        samples: What the training samples are, as in ``handwritten digits of 8 x 8 pixels``.
        method: Name of the method.
        per_class: Samples per class of each set that is made.
        seeds: Sets that are made of each size.
        options: The modality's settings.
        settings: The method's settings.
        protocol: Changes to the default protocol of the data, by name.
        workers: Processes that networks are trained in unless the user says; None for one per
            processor, 1 where starting others takes longer than the training.
    """

    data: str
    samples: str
    method: str = "dm"
    per_class: tuple[int, ...] = (1,)
    seeds: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None


@runtime_checkable
class Demonstrates(Protocol):
    """What a modality offers beside, where it has a demonstration of its own."""

    def demo(self, quick: bool) -> DemoSpec:
        """Return what is demonstrated, with fewer steps and runs if `quick`."""


ExportType: TypeAlias = Literal["uint8", "float16", "float32"]
"""What the values of an exported set are written as."""


class Export(Protocol):
    """A format that sets are written in for use without Attar."""

    @property
    def summary(self) -> str:
        """A line about it."""

    @property
    def dtypes(self) -> tuple[ExportType, ...]:
        """What values can be written as; the first is the default."""

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return how the values in the files become what models take, as JSON values.

        For tensors: ``(x / scale - mean) / std`` along ``axis`` of a sample.
        """

    def rounded(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Batch:
        """Return the batch as a reader of the files gets it, preprocessed again.

        Raises:
            UsageError: If the format cannot hold the batch.
        """

    def clipped(self, batch: Batch, info: DataInfo, dtype: ExportType) -> float:
        """Return the share of values that lie outside of what is written, and are cut off."""

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Fill an empty folder.

        ``README.md`` and ``preprocessing.json`` are added by whoever calls this.

        Raises:
            UsageError: If the format cannot hold the batch, or needs what is not installed.
        """


@runtime_checkable
class Tabular(Protocol):
    """What an export offers beside, where it can be had as a Hugging Face data set."""

    def dataset(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Any:
        """Return a ``datasets.Dataset`` in memory.

        Raises:
            UsageError: If the format cannot hold the batch, or ``datasets`` is not installed.
        """


@runtime_checkable
class AsGraph(Protocol):
    """What an export offers beside, where it can be had as a graph of PyTorch Geometric."""

    def graph(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Any:
        """Return a ``torch_geometric.data.Data`` in memory.

        Raises:
            UsageError: If the format cannot hold the batch, or ``torch_geometric`` is not installed.
        """


@runtime_checkable
class ReadsArrays(Protocol):
    """What a modality offers beside, where a set can be given as plain arrays."""

    def set_of(self, arrays: Mapping[str, NDArray[Any]], task: Task) -> SyntheticSet:
        """Return the set that arrays hold, such as those that the modality's ``npz`` export writes.

        Args:
            arrays: NumPy arrays by name: ``labels`` ``(n,)``, perhaps ``targets``
                ``(n, classes)``, and what the modality says. Nothing of them was checked, except
                that none holds Python objects; ``classes`` is checked and left out before.
            task: The real data that the set stands for.

        Raises:
            UsageError: If an array is missing or unknown, or does not fit the task.
        """


class Modality(Protocol):
    """Knows one kind of data (group ``attar.modalities``)."""

    api: int
    summary: str
    Options: type[Settings]

    def datasets(self) -> Mapping[str, str]:
        """Return the names of the known data sets, each with a line about it."""

    def load(self, request: LoadRequest) -> Task:
        """Return the task."""

    def restore(self, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SyntheticSet:
        """Rebuild a set from :meth:`SyntheticSet.description` and :meth:`SyntheticSet.stored`."""

    def domain(self, info: DataInfo) -> Domain:
        """Return what prepares new inputs and builds models where the data are not at hand."""

    def render(self, batch: Batch, info: DataInfo) -> bytes:
        """Return a picture of a batch with class names, as PNG."""

    def exports(self) -> Mapping[str, Export]:
        """Return the formats that sets are exported in, by name."""


class MethodSettings(Settings):
    """Settings that every method has; a method adds its own by subclassing.

    Attributes:
        steps: Number of steps of the run.
        subjects: Models per step, whose gradients are summed.
        restarts: Runs from different starts, the best of which on held-out data is kept.
        classes_at_once: Classes in memory together, where the loss is a sum over classes;
            0 takes as many as need a quarter of a gigabyte of real samples.
        model: Architecture that is matched on, or "" for the task's default. Where a method's own
            default is another, it stands in for the task's; see :func:`stands_in`.
        init: What the set starts at: ``real``, ``noise`` or the name of a selector.
        parameterization: How values are stored.
        structure: How samples are joined, where data are such that they can be, as
            ``pairwise,width=64``; "" takes the task's default.
        labels: Kind of labels, one of the method's ``label_kinds``; "" takes its first.
        lr_labels: Step size of labels that are learned.
    """

    steps: int = Field(default=1000, ge=1)
    subjects: int = Field(default=1, ge=1)
    restarts: int = Field(default=1, ge=1)
    classes_at_once: int = Field(default=0, ge=0)
    model: str = ""
    init: str = "real"
    parameterization: str = "plain"
    structure: str = ""
    labels: Literal["", "hard", "probability", "regression"] = ""
    lr_labels: float = Field(default=0.01, gt=0)


def stands_in(method: Method) -> bool:
    """Return whether the models of a method stand in for the networks that its sets are meant for.

    That is so where the method itself names a model, such as a network of infinite width, or a
    linear one in place of a network that is slow to train.
    """
    return bool(method.Settings.model_fields["model"].default)


def meant_for(method: Method, settings: MethodSettings, usual: str) -> str:
    """Return the architecture that a set is meant for: what it is matched on, or the usual one."""
    return usual if stands_in(method) else settings.model or usual


class Method(Protocol):
    """A named composition of loss and source with its defaults (group ``attar.objectives``).

    Attributes:
        label_kinds: Kinds of labels that its loss can learn or take, the default first. A loss
            that never looks at labels has hard ones only.
    """

    api: int
    summary: str
    reference: str
    Settings: type[MethodSettings]
    label_kinds: tuple[LabelKind, ...]

    def build(self, settings: Any) -> Objective:
        """Return the objective for settings of the class ``Settings``."""

    def optimizers(self, settings: Any) -> Mapping[str, OptimSpec]:
        """Return the optimizer of each role that the set may have, and of ``learned``."""


class ParameterizationPlugin(Protocol):
    """Makes and restores parameterizations (group ``attar.parameterizations``)."""

    api: int
    summary: str
    Settings: type[Settings]

    def packs(self, settings: Any, feature: tuple[int, ...]) -> int:
        """Return how many samples of shape `feature` a stored one starts at; 1 for most.

        Raises:
            UsageError: If such samples cannot be stored so.
        """

    def initialize(self, values: Tensor, settings: Any, gen: Generator) -> Parameterization:
        """Return a parameterization that starts as close to `values` as it can.

        Args:
            values: Samples ``(n · packs, *feature)``; those of one stored sample follow one another.
            settings: The settings.
            gen: Source of what is random.
        """

    def restore(self, settings: Any, tensors: Mapping[str, Tensor]) -> Parameterization:
        """Rebuild a parameterization from what its ``stored`` returned."""


class Selector(Protocol):
    """Chooses real samples of one class (group ``attar.selectors``).

    Attributes:
        uses_features: Whether the choice depends on the feature space.
    """

    api: int
    summary: str
    uses_features: bool

    def select(self, features: Tensor, n: int, gen: Generator) -> Tensor:
        """Return ``min(n, m)`` distinct rows of `features`, float32 ``(m, d)``, best first."""
