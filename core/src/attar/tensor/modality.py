"""What the modalities of tensor data share: splitting, restoring a set, drawing a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.architectures import Architecture, Family
from attar.batch import Batch
from attar.contracts import Augment, LabelKind, StorageType, SyntheticSet, Task
from attar.errors import UsageError
from attar.plugins import DataInfo, Export
from attar.registry import Registry
from attar.render import grid_picture
from attar.settings import Settings, parse
from attar.tensor.arrays import check_names, read_values, set_of_values
from attar.tensor.domain import TensorDomain, natural_values
from attar.tensor.export import Npz, Parquet
from attar.tensor.preprocess import Standardize
from attar.tensor.splits import Parts, SplitOptions
from attar.tensor.synthetic import TensorSet
from attar.tensor.task import TensorTask

__all__ = ["SetDescription", "TensorModality", "axes_of", "restore_set"]


class SetDescription(Settings):
    """What :meth:`attar.tensor.TensorSet.description` returns, validated."""

    parameterization: str
    settings: dict[str, Any]
    label_kind: LabelKind
    dtype: StorageType


def restore_set(
    registry: Registry, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> TensorSet:
    """Rebuild a tensor set from its description and stored tensors."""
    record = parse(SetDescription, description, "set")
    plugin = registry.get("parameterizations", record.parameterization)
    settings = parse(plugin.Settings, record.settings, record.parameterization)
    values = {
        name.removeprefix("values."): tensor for name, tensor in tensors.items() if name.startswith("values.")
    }
    targets, labels = tensors.get("targets"), tensors["labels"].to(torch.int64)
    restored = plugin.restore(settings, values)
    with torch.no_grad():
        _, owner = restored()
    if labels.ndim != 1 or sorted(set(owner.tolist())) != list(range(len(labels))):
        raise UsageError(f"the tensors of the artifact do not fit its description: {len(labels)} labels")
    return TensorSet(
        restored,
        labels,
        name=record.parameterization,
        settings=record.settings,
        label_kind=record.label_kind,
        targets=None if targets is None else targets.to(torch.float32),
        dtype=record.dtype,
    )


def _drawable(sample: Tensor) -> Any:
    """Return a sample as a picture ``(h, w)`` where it is one channel of one, else as a line ``(d,)``."""
    if sample.ndim == 3 and len(sample) == 1:
        return sample[0].numpy()
    return sample.numpy() if sample.ndim == 2 and len(sample) > 1 else sample.reshape(-1).numpy()


EXPORTS: Mapping[str, Export] = {
    "npz": Npz(summary="NumPy arrays in one file", dtypes=("float32", "float16", "uint8")),
    "parquet": Parquet(
        summary="Parquet with a column of arrays and one of labels",
        dtypes=("float32", "float16", "uint8"),
    ),
}
"""The formats of every tensor set."""

_PLAIN = Npz(summary="", dtypes=("float32",))
"""Arrays in the unit of the data, which is what sets are given in where no format says another."""


def axes_of(feature: tuple[int, ...]) -> tuple[str, ...]:
    """Return names: samples with channels and positions have statistics per channel, vectors per feature."""
    known = {1: ("feature",), 2: ("channel", "time"), 3: ("channel", "height", "width")}
    return known.get(len(feature), tuple(f"axis-{index}" for index in range(len(feature))))


class TensorModality:
    """Base of modalities whose samples are tensors: they add loading and architectures.

    Attributes:
        architectures: Factories, and families of them, by name.
        limits: What :meth:`pixels` returns as black and white; each sample's own extremes if None.
    """

    api = 1
    summary = ""
    default_method = "dm"
    Options: type[Settings] = SplitOptions
    architectures: Mapping[str, Architecture | Family] = {}
    limits: tuple[float, float] | None = None

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry()

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return the architecture used where none is named, for samples of a shape."""
        return next(iter(self.architectures), "")

    def augmentation(self, name: str, options: Any) -> Augment | None:
        """Return the augmentation that suits data of a name, loaded with `options`."""
        return None

    def task(
        self,
        modality: str,
        name: str,
        classes: tuple[str, ...],
        parts: Parts,
        options: Settings,
        *,
        axes: tuple[str, ...] = (),
        preprocess: Standardize | None = None,
        license: str = "unknown",
        about: Mapping[str, Any] | None = None,
        fitted: str = "",
    ) -> TensorTask:
        """Return the task of data that are split, with the networks and the augmentation of this modality.

        Args:
            modality: The name that the modality is registered by.
            name: Name of the data.
            classes: Names of the classes.
            parts: The samples.
            options: What the data were loaded with.
            axes: Names of a sample's axes; those of vectors, signals or pictures by their number if ().
            preprocess: From natural units to what models take; fitted to the training samples if None.
            license: License of the data as their owner states it.
            about: What else artifacts store of the data; see :attr:`TensorTask.about`.
            fitted: What else was fitted to the training samples; see :attr:`TensorTask.fitted`.

        Raises:
            UsageError: If labels or shapes do not fit.
        """
        feature = parts.train.feature
        return TensorTask(
            modality=modality,
            name=name,
            classes=classes,
            axes=axes or axes_of(feature),
            train=parts.train,
            test=parts.test,
            validation=parts.validation,
            preprocess=preprocess or Standardize.fit(parts.train),
            architectures=self.architectures,
            architecture=self.suited(feature),
            augment=self.augmentation(name, options),
            options=options.model_dump(mode="json"),
            license=license,
            about={**(about or {}), **({"drawn": list(parts.drawn)} if parts.drawn else {})},
            fitted=fitted,
            registry=self.registry,
        )

    def read(self, raw: Any, info: DataInfo) -> Tensor:
        """Return new inputs in natural units ``(n, *feature)``.

        Args:
            raw: New inputs, one or several; here numbers as :func:`natural_values` takes them.
            info: The data that the set was made of.

        Raises:
            UsageError: If they are no samples of this kind.
        """
        return natural_values(raw, info.feature)

    def domain(self, info: DataInfo) -> TensorDomain:
        """Return what prepares new inputs and builds models where the data are not at hand.

        Raises:
            UsageError: If the settings or the preprocessing do not fit.
        """
        return TensorDomain(
            classes=len(info.classes),
            feature=info.feature,
            standardize=parse(Standardize, info.preprocessing, "preprocessing"),
            architectures=self.architectures,
            architecture=self.suited(info.feature),
            augment=self.augmentation(info.name, parse(self.Options, info.options, "data.options")),
            read=partial(self.read, info=info),
        )

    def restore(self, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SyntheticSet:
        """Rebuild a set from its description and stored tensors."""
        return restore_set(self.registry, description, tensors)

    def set_of(self, arrays: Mapping[str, NDArray[Any]], task: Task) -> SyntheticSet:
        """Return the set that arrays hold.

        Args:
            arrays: ``inputs`` ``(n, *feature)`` in the unit that the export ``npz`` writes,
                ``labels`` ``(n,)`` and perhaps ``targets`` ``(n, classes)``.
            task: The real data that the set stands for.

        Raises:
            UsageError: If an array is missing or unknown, or does not fit the task.
        """
        check_names(arrays, ("inputs", "labels"), ("targets",))
        natural = read_values(arrays["inputs"], "inputs", task.feature, task.name)
        own = next((each for each in self.exports().values() if isinstance(each, Npz)), _PLAIN)
        info = DataInfo(classes=task.classes, axes=task.axes, preprocessing=task.preprocessing)
        return set_of_values(own.standardize(info).encode(natural), arrays, task, self.registry)

    def pixels(self, batch: Batch, info: DataInfo) -> Sequence[Any]:
        """Return one array per sample to draw: ``(h, w)``, ``(h, w, 3)`` in [0, 1], or ``(d,)``."""
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        values = preprocess.decode(batch.inputs.detach().cpu())
        return [_drawable(sample) for sample in values]

    def render(self, batch: Batch, info: DataInfo) -> bytes:
        """Return a picture of the samples, a row per class, as PNG."""
        samples, labels = self.pixels(batch, info), batch.labels.tolist()
        return grid_picture(samples, labels, info.classes, limits=self.limits)

    def exports(self) -> Mapping[str, Export]:
        """Return NumPy arrays and Parquet, both in the unit of the data."""
        return EXPORTS
