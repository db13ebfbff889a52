"""What a trained model answers to the set, beside another loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import Context, Loss, RealDraw, Subject
from attar.portions import rows_at_once
from attar.training import training_loss

__all__ = ["Answered", "class_answers"]


def class_answers(subject: Subject, syn: Batch, classes: int, chunk: int) -> Tensor:
    """Return ``1/C Σ_c mean_{s ∈ S_c} CE(f(s), y)``: of a balanced set, its mean training loss.

    A sum over classes, so that it may be taken some classes at a time.

    Args:
        subject: Whose model is asked.
        syn: The synthetic batch.
        classes: C, also where the batch holds fewer.
        chunk: Most rows that go through an uncoupled model at a time.
    """
    model = subject.model
    pieces = [syn] if coupled(model) else syn.chunks(rows_at_once(syn, chunk))
    logits = torch.cat([model(piece.inputs) for piece in pieces])
    total = torch.zeros((), dtype=logits.dtype, device=logits.device)
    for label in sorted(set(syn.labels.tolist())):
        rows = (syn.labels == label).nonzero()[:, 0]
        targets = None if syn.targets is None else syn.targets[rows]
        own = Batch(inputs=syn.labels[rows], labels=syn.labels[rows], targets=targets)
        total = total + training_loss(logits[rows], own, "probability")
    return total / classes


@dataclass(frozen=True)
class Answered:
    """Another loss plus ``w`` times the cross-entropy of the synthetic batch under the model.

    It keeps samples recognizable to models that were trained on real data.

    Attributes:
        loss: The other loss.
        weight: w.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Zhao et al., "Improved Distribution Matching for Dataset Condensation", CVPR 2023,
        equation 5.
    """

    loss: Loss
    weight: float
    chunk: int = 512

    @property
    def needs(self) -> frozenset[str]:
        """What the other loss needs."""
        return self.loss.needs

    @property
    def real(self) -> RealDraw | None:
        """Real samples that the other loss wants."""
        return self.loss.real

    @property
    def claims(self) -> frozenset[str]:
        """What the other loss claims, without being zero at the real data."""
        return self.loss.claims - {"zero_at_real"}

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Any:
        """Return what the real data show the other loss."""
        return self.loss.observe(subject, real, ctx)

    def compare(
        self, subject: Subject, stats: Any, syn: Batch, ctx: Context, learned: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the sum of both."""
        own = self.loss.compare(subject, stats, syn, ctx, learned)
        return own + self.weight * class_answers(subject, syn, len(ctx.task.classes), self.chunk)
