"""Losses that match distributions of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.architectures import capability, coupled
from attar.batch import Batch
from attar.contracts import Context, RealDraw, Subject
from attar.errors import InternalError
from attar.portions import rows_at_once

__all__ = ["MeanEmbedding", "class_means", "embed"]


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
    return torch.cat([function(piece.inputs) for piece in batch.chunks(rows_at_once(batch, chunk))])


def class_means(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the mean embedding of each class, ``(classes, d)``; zero for an absent class."""
    sums = embeddings.new_zeros(classes, embeddings.shape[1]).index_add(0, labels, embeddings)
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return sums / counts[:, None]


@dataclass(frozen=True)
class MeanEmbedding:
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

    @property
    def real(self) -> RealDraw:
        """Real samples wanted."""
        return RealDraw(per_class=self.per_class)

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Tensor:
        """Return the mean embeddings of the real data, ``(classes, d)``."""
        if real is None:
            raise InternalError("mean embedding was given no real data")
        with torch.no_grad():
            embeddings = embed(subject.model, real, self.chunk)
        return class_means(embeddings, real.labels, len(ctx.task.classes))

    def compare(
        self,
        subject: Subject,
        stats: Tensor,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed squared distance over the classes that the synthetic batch holds."""
        embeddings = embed(subject.model, syn, self.chunk)
        means = class_means(embeddings, syn.labels, len(ctx.task.classes))
        present = torch.bincount(syn.labels, minlength=len(means)) > 0
        return ((means - stats)[present] ** 2).sum()
