"""Losses that match distributions of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.architectures import capability, coupled
from attar.batch import Batch
from attar.contracts import Context, Subject
from attar.objectives.drawn import DrawsByClass
from attar.portions import rows_forward
from attar.precision import full_precision

__all__ = ["ClassMeans", "MeanEmbedding", "MeanFeatures", "class_means", "embed", "feature_maps"]


def embed(model: nn.Module, batch: Batch, chunk: int) -> Tensor:
    """Return the embeddings of a batch, ``(n, d)``, in pieces where its rows are independent.

    Args:
        model: A model with ``embed``.
        batch: The batch.
        chunk: Most rows in a piece, fewer where samples are large; memory that fits the
            processor's caches and the allocator's pools makes pieces faster than the whole.
    """
    function = capability(model, "embed")
    if coupled(model):
        whole: Tensor = function(batch.inputs)
        return whole
    return torch.cat([function(piece.inputs) for piece in batch.chunks(rows_forward(batch, chunk))])


def feature_maps(model: nn.Module, batch: Batch, chunk: int) -> list[Tensor]:
    """Return the outputs of each layer that a model tells of, ``(n, d)`` each; see :func:`embed`.

    Args:
        model: A model with ``feature_maps``.
        batch: The batch.
        chunk: Most rows in a piece.
    """
    function = capability(model, "feature_maps")
    pieces = [batch] if coupled(model) else batch.chunks(rows_forward(batch, chunk))
    columns = zip(*(function(piece.inputs) for piece in pieces), strict=True)
    return [torch.cat(column).flatten(1) for column in columns]


@full_precision
def class_means(embeddings: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
    """Return the mean embedding of each of some classes.

    Args:
        embeddings: ``(n, d)``.
        labels: Class of each, int64 ``(n,)``.
        classes: Classes wanted, in rising order and all that `labels` holds, int64 ``(k,)``.

    Returns:
        ``(k, d)``; zero for a class without embeddings.
    """
    places = torch.searchsorted(classes, labels)
    sums = embeddings.new_zeros(len(classes), embeddings.shape[1]).index_add(0, places, embeddings)
    counts = torch.bincount(places, minlength=len(classes)).clamp(min=1)
    return sums / counts[:, None]


@dataclass(frozen=True)
class ClassMeans:
    """Means over the real samples of those classes that were seen: of others, nothing is kept.

    A step that looks at a thousand classes one after another keeps as much of each.

    Attributes:
        classes: The classes in rising order, int64 ``(k,)``.
        means: Their means, ``(k, d)`` each: of one or several embeddings.
    """

    classes: Tensor
    means: Sequence[Tensor]

    @classmethod
    def over(cls, embeddings: Sequence[Tensor], labels: Tensor) -> ClassMeans:
        """Return the means of all classes that are there."""
        classes = labels.unique()
        return cls(classes, [class_means(each, labels, classes) for each in embeddings])

    def of(self, classes: Tensor) -> list[Tensor]:
        """Return the means of some classes, ``(j, d)`` each; zero for one that was not seen."""
        rows = torch.searchsorted(self.classes, classes).clamp(max=len(self.classes) - 1)
        seen = self.classes[rows] == classes
        return [torch.where(seen[:, None], each[rows], torch.zeros_like(each[:1])) for each in self.means]


@dataclass(frozen=True)
class MeanEmbedding(DrawsByClass):
    """Squared distance of class means: ``Σ_c ‖mean ψ(T_c) − mean ψ(S_c)‖²``.

    Attributes:
        per_class: Real samples of each class that a mean is taken over.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Zhao and Bilen, "Dataset Condensation with Distribution Matching", WACV 2023,
        equation 4; the augmentation is applied before.
    """

    per_class: int = 256
    chunk: int = 512

    needs = frozenset({"embed"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> ClassMeans:
        """Return the mean embeddings of the real data."""
        real = self.given(real)
        with torch.no_grad():
            embeddings = embed(subject.model, real, self.chunk)
        return ClassMeans.over([embeddings], real.labels)

    def compare(
        self,
        subject: Subject,
        stats: ClassMeans,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed squared distance over the classes that the synthetic batch holds."""
        classes = syn.labels.unique()
        [wanted] = stats.of(classes)
        embeddings = embed(subject.model, syn, self.chunk)
        return ((class_means(embeddings, syn.labels, classes) - wanted) ** 2).sum()


@dataclass(frozen=True)
class MeanFeatures(DrawsByClass):
    """Squared distance of class means in every layer: ``Σ_c w_c Σ_l ‖mean φ_l(T_c) − mean φ_l(S_c)‖²``.

    Attributes:
        per_class: Real samples of each class that a mean is taken over.
        weighted: Whether a class counts as its share of the training samples; else all weigh 1.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Liu et al., "Graph Condensation via Receptive Field Distribution Matching", 2022, whose
        classes weigh by their share.
    """

    per_class: int = 256
    weighted: bool = False
    chunk: int = 512

    needs = frozenset({"feature_maps"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> ClassMeans:
        """Return the means of each layer over the real data."""
        real = self.given(real)
        with torch.no_grad():
            layers = feature_maps(subject.model, real, self.chunk)
        return ClassMeans.over(layers, real.labels)

    def compare(
        self,
        subject: Subject,
        stats: ClassMeans,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed squared distance over the classes that the synthetic batch holds."""
        classes = syn.labels.unique()
        counts = ctx.task.counts.to(syn.labels.device)
        weights = (counts / counts.sum() if self.weighted else torch.ones_like(counts))[classes]
        total = torch.zeros((), device=syn.labels.device)
        for wanted, layer in zip(
            stats.of(classes), feature_maps(subject.model, syn, self.chunk), strict=True
        ):
            apart = ((class_means(layer, syn.labels, classes) - wanted) ** 2).sum(1)
            total = total + (weights.to(apart.dtype) * apart).sum()
        return total
