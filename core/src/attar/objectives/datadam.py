"""Attention maps of all layers: DataDAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from attar.architectures import capability, coupled
from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.objectives.distribution import ClassMeans, class_means
from attar.objectives.dm import DMSettings, dm_optimizers, dm_source
from attar.objectives.drawn import DrawsByClass
from attar.optim import OptimSpec
from attar.portions import rows_forward
from attar.precision import full_precision

__all__ = ["DATADAM", "AttentionMatch", "DataDAMSettings", "attention"]


@full_precision
def attention(features: Tensor, power: float) -> Tensor:
    """Return where a layer looks: ``Σ_channels |f|^p`` at each position, each sample of length 1.

    Args:
        features: Output of a layer, ``(n, channels, *positions)``. Features without positions,
            ``(n, d)``, count as `d` positions of one channel.
        power: p.

    Returns:
        Maps ``(n, positions)``.

    References:
        Sajedi et al., "DataDAM: Efficient Dataset Distillation with Attention Matching", ICCV 2023,
        section 3.2.
    """
    strength = features.abs() ** power
    maps = strength.sum(1).flatten(1) if features.ndim > 2 else strength
    return functional.normalize(maps, dim=1)


@dataclass(frozen=True)
class AttentionMatch(DrawsByClass):
    """Squared distance of mean attention maps, and of the mean features of the last layer.

    ``s · Σ_c [ Σ_{l < L} ‖mean a_l(T_c) − mean a_l(S_c)‖² + λ ‖mean f_L(T_c) − mean f_L(S_c)‖² ]`` with
    the attention maps a of all layers but the last and the features f of that one.

    Attributes:
        per_class: Real samples of each class.
        power: Power p of :func:`attention`.
        last: λ.
        scale: s.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Sajedi et al., ICCV 2023, equations 2 to 4.
    """

    per_class: int = 256
    power: float = 1.0
    last: float = 0.01
    scale: float = 100.0
    chunk: int = 512

    needs = frozenset({"feature_maps"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def _shown(self, subject: Subject, batch: Batch) -> list[Tensor]:
        """Return the maps of each layer and the last layer's features, ``(n, d)`` each."""
        function = capability(subject.model, "feature_maps")
        pieces = [batch] if coupled(subject.model) else batch.chunks(rows_forward(batch, self.chunk))
        columns: list[list[Tensor]] = []
        for piece in pieces:
            layers = function(piece.inputs)
            columns.append([*(attention(each, self.power) for each in layers[:-1]), layers[-1].flatten(1)])
        return [torch.cat(column) for column in zip(*columns, strict=True)]

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> ClassMeans:
        """Return what the real data show in each layer."""
        real = self.given(real)
        with torch.no_grad():
            return ClassMeans.over(self._shown(subject, real), real.labels)

    def compare(
        self,
        subject: Subject,
        stats: ClassMeans,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed distance over the classes that the synthetic batch holds."""
        classes = syn.labels.unique()
        found = [class_means(each, syn.labels, classes) for each in self._shown(subject, syn)]
        apart = [((one - other) ** 2).sum() for one, other in zip(found, stats.of(classes), strict=True)]
        return self.scale * (sum(apart[:-1], start=self.last * apart[-1]))


class DataDAMSettings(DMSettings):
    """Settings of DataDAM, beside those of DM.

    Attributes:
        power: Power of the activations in an attention map, at least 1.
        last: Weight of the last layer's features.
    """

    power: float = Field(default=1.0, ge=1)
    last: float = Field(default=0.01, gt=0)


class DataDAMMethod:
    """Registers DataDAM."""

    api = 1
    summary = "DataDAM: attention maps of all layers of random models"
    reference = "Sajedi et al., DataDAM: Efficient Dataset Distillation with Attention Matching, ICCV 2023"
    Settings = DataDAMSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True

    def build(self, settings: DataDAMSettings) -> Objective:
        """Return attention matching × fresh models."""
        return Objective(
            loss=AttentionMatch(per_class=settings.per_class, power=settings.power, last=settings.last),
            source=dm_source(settings),
            siamese=settings.augment,
        )

    def optimizers(self, settings: DataDAMSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return dm_optimizers(settings)


DATADAM = DataDAMMethod()
