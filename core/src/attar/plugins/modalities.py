"""What a modality must offer, and what it may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor

from attar.batch import Batch
from attar.contracts import Domain, SyntheticSet, Task
from attar.settings import Settings

__all__ = [
    "TABULAR",
    "AsGraph",
    "CacheMode",
    "Captioned",
    "Categorized",
    "DataInfo",
    "DemoSpec",
    "Demonstrates",
    "Described",
    "Describes",
    "Exhibit",
    "Exhibits",
    "Export",
    "ExportType",
    "GivenData",
    "HasCompanions",
    "LoadRequest",
    "MadeAnew",
    "Modality",
    "NamesMethod",
    "ReadsArrays",
    "Shared",
    "Tabular",
    "default_method",
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
        on the labels of the test split. Commands show ``form``, a sentence on what samples were
        brought to and why, ``drawn``, the splits that the data do not name, and ``skipped``.
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


@runtime_checkable
class NamesMethod(Protocol):
    """What a modality offers beside, to say how its data are distilled where nobody says.

    Attributes:
        default_method: Name of the method, or of a selector.
    """

    default_method: str


def default_method(modality: object) -> str:
    """Return the method that is used on the data of a modality where none is named."""
    return modality.default_method if isinstance(modality, NamesMethod) else "dm"


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


@runtime_checkable
class HasCompanions(Protocol):
    """What a modality offers beside, where a set is understood by more than a picture."""

    def companions(self, batch: Batch, info: DataInfo) -> Iterator[tuple[str, bytes]]:
        """Yield files that go with the picture of a batch, such as sounds: names and contents."""


@dataclass(frozen=True)
class Exhibit:
    """How one sample is shown.

    Attributes:
        picture: A PNG file, or empty.
        sound: A WAV file, or empty.
    """

    picture: bytes = b""
    sound: bytes = b""


@runtime_checkable
class Exhibits(Protocol):
    """What a modality offers beside, where samples can be seen or heard one by one."""

    def exhibits(self, batch: Batch, info: DataInfo) -> Sequence[Exhibit] | None:
        """Return each sample as it is shown; None for a set whose samples cannot be."""


@runtime_checkable
class Describes(Protocol):
    """What a modality offers beside, where samples can be told in words, as tokens can."""

    def described(self, batch: Batch, info: DataInfo) -> Sequence[str] | None:
        """Return each sample in words; None for a set that has none.

        Raises:
            UsageError: If what is needed for it, such as an encoder, is not at hand.
        """


@runtime_checkable
class Captioned(Protocol):
    """What a task offers beside, where its samples have names or are words."""

    def caption(self, row: int) -> str:
        """Return what a training row is called; "" for all where these samples have no names."""


@runtime_checkable
class Shared(Protocol):
    """What a task offers beside, where its data can be one part of data that several owners hold.

    Owners load what they have, and each would number its classes and measure its statistics alone.
    """

    @property
    def fitted(self) -> str:
        """What else of the data was fitted to training samples, such as a vocabulary, or ""."""

    def shared(
        self, classes: Sequence[str], preprocessing: Mapping[str, Any], *, leave_out: bool = False
    ) -> Task:
        """Return the same data as a part of others: with their classes and their preprocessing.

        Args:
            classes: Names of all classes; those that the data lack get no sample.
            preprocessing: As :attr:`attar.contracts.Task.preprocessing` of the others.
            leave_out: Whether samples of classes that are not among them are left out.

        Raises:
            UsageError: If the data have a class that is not among them and that is not left out, or the
                preprocessing does not fit.
        """


ExportType: TypeAlias = Literal["uint8", "int16", "float16", "float32"]
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
class MadeAnew(Protocol):
    """What an export says where its files are no rounded samples, as sound is none of a spectrogram.

    Attributes:
        made_anew: True: reading what was written and writing it again changes it again.
    """

    made_anew: bool


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
