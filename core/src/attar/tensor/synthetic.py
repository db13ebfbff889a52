"""Synthetic sets of tensors: a parameterization of the values, with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from attar.batch import Batch
from attar.contracts import Keeps, LabelKind, SetSpec, StorageType, SyntheticSet
from attar.errors import UsageError
from attar.labels import initial_targets
from attar.precision import full_precision
from attar.registry import Registry
from attar.settings import parse

__all__ = ["TensorSet", "make_set"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_LEAST = 1e-6
"""Smallest probability of a label, whose logarithm is stored."""


def _smallest(labels: Tensor) -> torch.dtype:
    most = int(labels.max()) if len(labels) else 0
    return torch.uint8 if most < 2**8 else torch.int16 if most < 2**15 else torch.int32


class TensorSet(SyntheticSet):
    """Samples ``(m, *feature)`` decoded from a parameterization of `n` stored samples.

    Args:
        values: The parameterization, an ``nn.Module`` that fits
            :class:`attar.contracts.Parameterization`.
        labels: Class of each stored sample, int64 ``(n,)``.
        name: Registered name of the parameterization.
        settings: Its settings, as JSON values.
        label_kind: What `targets` are.
        targets: Float32 ``(n, classes)``, learned, unless `label_kind` is ``hard``: real values,
            or the scores whose softmax the probabilities are.
        dtype: Type that values and targets are stored in.
    """

    labels: Tensor

    def __init__(
        self,
        values: Any,
        labels: Tensor,
        *,
        name: str = "plain",
        settings: Mapping[str, Any] | None = None,
        label_kind: LabelKind = "hard",
        targets: Tensor | None = None,
        dtype: StorageType = "float32",
    ) -> None:
        super().__init__()
        if (targets is None) != (label_kind == "hard"):
            raise UsageError(
                f"labels of kind {label_kind!r} need {'no ' if targets is not None else ''}targets"
            )
        self.values = values
        self.register_buffer("labels", labels)
        self.targets = None if targets is None else nn.Parameter(targets.clone())
        self.label_kind = label_kind
        self._name = name
        self._settings = dict(settings or {})
        self._dtype = dtype

    @full_precision
    def decode(self, rows: Tensor | None = None) -> Batch:
        """Return the decoded samples, differentiable in values and targets."""
        values, owner = self.values()
        targets: Tensor | None = self.targets
        if targets is not None:
            targets = (targets.softmax(1) if self.label_kind == "probability" else targets)[owner]
        batch = Batch(inputs=values, labels=self.labels[owner], targets=targets)
        return batch if rows is None else batch.take(rows)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the roles ``values`` and, if learned, ``labels``."""
        groups = {"values": list(self.values.parameters())}
        if self.targets is not None:
            groups["labels"] = [self.targets]
        return groups

    def relabel(self, probabilities: Tensor) -> None:
        """Replace the probabilities; those of samples that a stored one decodes to are averaged.

        Raises:
            UsageError: If the set has no probabilities as labels.
        """
        if self.targets is None or self.label_kind != "probability":
            raise UsageError(
                f"labels of kind {self.label_kind!r} cannot be replaced by probabilities; choose "
                f"objective.labels=probability"
            )
        with torch.no_grad():
            owner = self.values()[1]
            sums = torch.zeros_like(self.targets).index_add(0, owner, probabilities.to(self.targets))
            mean = sums / torch.bincount(owner, minlength=len(sums)).clamp(min=1)[:, None]
            self.targets.copy_(mean.clamp(min=_LEAST).log())

    def keep(self, rows: Tensor) -> TensorSet:
        """Return a set of some of the stored samples.

        Raises:
            UsageError: If the parameterization stores what belongs to none of them alone.
        """
        if not isinstance(self.values, Keeps):
            raise UsageError(
                f"samples stored as {self._name!r} cannot be given up one by one; store them as plain"
            )
        targets = None if self.targets is None else self.targets.detach()[rows]
        return self._with(self.values.keep(rows), self.labels[rows], self.label_kind, targets)

    def softened(self, probabilities: Tensor) -> TensorSet:
        """Return a set of the same values with probabilities as labels."""
        start = torch.zeros(len(self.labels), probabilities.shape[1])
        made = self._with(self.values, self.labels, "probability", start)
        made.relabel(probabilities)
        return made

    def _with(self, values: Any, labels: Tensor, kind: LabelKind, targets: Tensor | None) -> TensorSet:
        return TensorSet(
            values,
            labels,
            name=self._name,
            settings=self._settings,
            label_kind=kind,
            targets=targets,
            dtype=self._dtype,
        )

    def stored(self) -> dict[str, Tensor]:
        """Return values and targets in the storage type, and labels in the smallest that holds them."""
        tensors = {f"values.{name}": self.plain(tensor) for name, tensor in self.values.stored().items()}
        tensors["labels"] = self.labels.cpu().to(_smallest(self.labels))
        if self.targets is not None:
            tensors["targets"] = self.plain(self.targets)
        return tensors

    def plain(self, tensor: Tensor) -> Tensor:
        """Return a tensor as it is stored: without gradient, real values in the storage type."""
        tensor = tensor.detach().cpu()
        return (tensor.to(_DTYPES[self._dtype]) if tensor.is_floating_point() else tensor).contiguous()

    def description(self) -> dict[str, Any]:
        """Return parameterization, settings, kind of labels and storage type."""
        return {
            "parameterization": self._name,
            "settings": self._settings,
            "label_kind": self.label_kind,
            "dtype": self._dtype,
        }


def make_set(
    init: Batch, spec: SetSpec, feature: tuple[int, ...], classes: int, gen: Generator, registry: Registry
) -> TensorSet:
    """Return a set of tensors that starts at `init`.

    Args:
        init: Samples; those that start one stored sample stand together and are of one class.
        spec: Parameterization, kind of labels and storage type.
        feature: Shape of one sample.
        classes: Number of classes.
        gen: Source of what is random.
        registry: Where the parameterization is looked up.

    Raises:
        UsageError: If the parameterization is unknown or does not fit the data.
    """
    plugin = registry.get("parameterizations", spec.parameterization)
    settings = parse(plugin.Settings, spec.settings, spec.parameterization)
    each = plugin.packs(settings, feature)
    labels = init.labels[::each]
    targets = None
    if spec.label_kind != "hard":
        targets = initial_targets(labels, classes, spec.label_kind)
        if init.targets is not None:
            given = init.targets[::each]
            targets = given.clamp(min=_LEAST).log() if spec.label_kind == "probability" else given
    return TensorSet(
        plugin.initialize(init.inputs, settings, gen),
        labels,
        name=spec.parameterization,
        settings=settings.model_dump(mode="json"),
        label_kind=spec.label_kind,
        targets=targets,
        dtype=spec.dtype,
    )
