"""What data are, and what a synthetic set of them is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from attar.batch import Batch
from attar.errors import UsageError
from attar.protocols import Protocol as TrainingProtocol

__all__ = [
    "SPLITS",
    "Augment",
    "Clock",
    "Domain",
    "Keeps",
    "LabelKind",
    "Parameterization",
    "SetSpec",
    "Split",
    "State",
    "StorageType",
    "SyntheticSet",
    "Task",
]

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""The names of the splits."""
LabelKind: TypeAlias = Literal["hard", "probability", "regression"]
"""What a set's targets are: none beyond the class, probabilities, or real values.

Training uses cross-entropy for the first two and squared error for the last.
"""
StorageType: TypeAlias = Literal["float32", "float16", "bfloat16"]
"""What floating-point values are stored as."""
State: TypeAlias = dict[str, Any]
"""A tree of dictionaries, lists, tensors, numbers, strings and None: what a checkpoint holds."""


@dataclass(frozen=True)
class Clock:
    """How far a run is.

    Attributes:
        step: Number of the current step, from 0.
        steps: Number of steps of the whole run.
        subject: Which of the step's models this is, from 0; decides the random path, so that
            spreading the models of a step over processes changes no draw.
    """

    step: int
    steps: int
    subject: int = 0


class Augment(Protocol):
    """Random transformations of batches, drawn first and applied later.

    An augmentation is a value: its ``repr`` names every setting, and cached results depend on it.
    """

    def draw(self, k: int, gen: Generator) -> Any:
        """Return `k` independent draws."""

    def apply(self, batch: Batch, params: Any, which: Tensor) -> Batch:
        """Transform the batch; row i uses draw ``which[i]``, int64 ``(n,)``.

        Zeros use one draw for all, the labels one per class, ``arange(n)`` one per row. The
        batch returned is differentiable with respect to the one given and may have targets
        of its own. Values of the batch given are left alone.
        """


class SyntheticSet(nn.Module, ABC):
    """The distilled samples: parameters that decode to a batch.

    Attributes:
        label_kind: What the targets are.
        labels: Class of each stored sample, int64 ``(n,)``.
    """

    label_kind: LabelKind = "hard"
    labels: Tensor

    @abstractmethod
    def decode(self, rows: Tensor | None = None) -> Batch:
        """Return the samples, or those meant by `rows`, differentiably.

        Joint context is kept: the nodes of a graph come with their graph. Decode once, then
        ``take`` or ``of``.
        """

    @abstractmethod
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters by role: ``values``, ``labels``, ``structure``."""

    @abstractmethod
    def stored(self) -> dict[str, Tensor]:
        """Return every tensor that the artifact stores, in its storage type."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what, beside the tensors of :meth:`stored`, rebuilds the set, as JSON values."""

    def active(self, clock: Clock) -> set[str]:
        """Return the roles stepped now; GCond alternates here."""
        return set(self.groups())

    def relabel(self, probabilities: Tensor) -> None:
        """Replace learned probabilities by those of the decoded samples, ``(m, classes)``, in place.

        Raises:
            UsageError: If the set has no probabilities as labels, or cannot have others.
        """
        raise UsageError(f"the labels of a {type(self).__name__} cannot be replaced")

    def bake(self) -> SyntheticSet:
        """Return the set that the artifact stores; a pairwise network becomes its adjacency."""
        return self

    def keep(self, rows: Tensor) -> SyntheticSet:
        """Return a baked set of some of the stored samples, int64 ``(k,)``; they decode as before.

        Raises:
            UsageError: If samples cannot be given up apart from the others.
        """
        raise UsageError(f"a {type(self).__name__} cannot give up samples; make a smaller one")

    def softened(self, probabilities: Tensor) -> SyntheticSet:
        """Return a baked set of the same values with these labels instead of its own.

        Args:
            probabilities: Of the decoded samples, ``(m, classes)``; those of samples that a stored one
                decodes to are averaged.

        Raises:
            UsageError: If the set cannot have probabilities as labels.
        """
        raise UsageError(f"a {type(self).__name__} cannot have probabilities as labels")

    def nbytes(self) -> int:
        """Return the bytes of all stored tensors in their storage type."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.stored().values())

    def epoch(self, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield the samples once in batches of at most `size`, in random order if `gen` is given."""
        batch = self.decode()
        n = len(batch)
        order = torch.arange(n) if gen is None else torch.randperm(n, generator=gen)
        for rows in order.split(size):
            yield batch.take(rows.to(batch.labels.device))


class Parameterization(Protocol):
    """How the values of a tensor set are stored and decoded: an ``nn.Module`` over values only."""

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Return the values ``(m, *feature)`` and, for each, the stored sample it came from ``(m,)``."""

    def stored(self) -> dict[str, Tensor]:
        """Return the tensors to store."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what the optimizer of the role ``values`` steps."""


@runtime_checkable
class Keeps(Protocol):
    """What a parameterization offers beside, whose stored samples can be had without the others."""

    def keep(self, rows: Tensor) -> Parameterization:
        """Return the values of some of the stored samples, int64 ``(k,)``."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """What kind of synthetic set a task is asked for.

    Attributes:
        parameterization: Registered name of the parameterization of the values.
        settings: The parameterization's settings.
        label_kind: What the targets are.
        dtype: Type that values are stored in: ``float32``, ``float16`` or ``bfloat16``.
        structure: How samples are joined, where the data are such that they can be: a name and
            settings, as of an architecture; "" takes what the task has as default.
        learned: Whether anything of the set is learned. Where not, it is the samples it starts
            at with all that joins them, as a selector chose them.
    """

    parameterization: str = "plain"
    settings: Mapping[str, Any] = field(default_factory=dict)
    label_kind: LabelKind = "hard"
    dtype: StorageType = "float32"
    structure: str = ""
    learned: bool = True


class Domain(Protocol):
    """What is known of data without having them: what models take, and which models take it.

    A task is loaded with its data; a domain is rebuilt from what an artifact or a trained
    network says of them.
    """

    @property
    def augment(self) -> Augment | None:
        """The augmentation that suits the data, if any."""

    @property
    def architecture(self) -> str:
        """The architecture used where none is named."""

    @property
    def architectures(self) -> Mapping[str, Any]:
        """The factories known, by name."""

    @property
    def protocols(self) -> Mapping[str, TrainingProtocol]:
        """How networks are trained on such data, by name, the default first; the same as the task's."""

    def preprocess(self, raw: Any) -> Any:
        """Return new inputs as models take them.

        Raises:
            UsageError: If they are none of this kind.
        """

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model, initialized from `gen`; the same as the task's."""


class Task(Protocol):
    """Real data of one modality: train, validation and test data with class names.

    Rows are indices into the training data. Batches come on the CPU, preprocessed as
    models take them. Nothing that a task offers for distilling touches its test split.
    """

    @property
    def modality(self) -> str:
        """Name of the modality that made the task."""

    @property
    def name(self) -> str:
        """Name of the data, without any path."""

    @property
    def fingerprint(self) -> str:
        """Hash of the contents of train and validation and of the preprocessing, hexadecimal."""

    @property
    def test_fingerprint(self) -> str:
        """Hash of the contents of the test split, hexadecimal."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; label i is ``classes[i]``."""

    @property
    def counts(self) -> Tensor:
        """Training samples per class, int64 ``(C,)``."""

    @property
    def labels(self) -> Tensor:
        """Class of every training row, int64 ``(n,)``."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of a sample's axes, such as ``("channel", "height", "width")``."""

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample as models take it; of a node's features where samples are nodes."""

    @property
    def augment(self) -> Augment | None:
        """The augmentation that suits the data, if any."""

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Everything that turns raw data into batches, as JSON values; the artifact stores it."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The modality's settings that the data were loaded with, as JSON values; {} for its defaults."""

    @property
    def license(self) -> str:
        """License of the data as their owner states it, such as ``mit``, or ``unknown``."""

    @property
    def averages(self) -> bool:
        """Whether the mean of samples is a sample; not so for nodes of a graph, or texts as tokens."""

    @property
    def architecture(self) -> str:
        """The architecture used where none is named."""

    @property
    def architectures(self) -> Mapping[str, Any]:
        """The factories known, by name."""

    @property
    def protocols(self) -> Mapping[str, TrainingProtocol]:
        """How networks are trained on such data, by name; the first is the default."""

    def size(self, split: Split) -> int:
        """Return the number of samples of a split; 0 if the task has none."""

    def draw(self, n: int, gen: Generator, labels: Sequence[int] | None = None) -> Batch:
        """Return up to `n` random training samples of each label, without replacement.

        With ``labels=None``: `n` samples uniform over the training data.
        """

    def epoch(self, split: Split, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield a split once in batches of at most `size`, in random order if `gen` is given.

        Where rows cannot be apart, as on a small graph, one batch holds them all.
        """

    def gather(self, rows: Tensor) -> Batch:
        """Return training rows as a self-contained batch; a graph returns the induced subgraph."""

    def view(self, rows: Tensor, split: Split = "train") -> Batch:
        """Return rows of a split in their context; a graph keeps its graph and narrows its index.

        Raises:
            UsageError: If the task has no such split.
        """

    def vectors(self, rows: Tensor) -> Tensor:
        """Return preprocessed training rows as vectors, float32 ``(k, d)``, for selectors."""

    def raw_bytes(self, rows: Tensor) -> int:
        """Return the bytes of these training rows in their cheapest lossless form, labels included."""

    def subset(self, rows: Tensor) -> Self:
        """Return the task with fewer training rows: same context, classes and statistics."""

    def partition(self, parts: Sequence[Tensor], gen: Generator) -> list[Self]:
        """Return isolated tasks over disjoint training rows; `gen` allots what has no row."""

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model, such as ``"convnet,width=64"``, initialized from `gen`."""

    def synthesize(self, init: Batch, spec: SetSpec, gen: Generator) -> SyntheticSet:
        """Return a synthetic set that starts at `init`; refuses a specification that does not fit."""
