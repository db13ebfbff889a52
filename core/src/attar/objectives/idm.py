"""Improved distribution matching: IDM."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.answers import Answered
from attar.objectives.distribution import MeanEmbedding
from attar.objectives.pool import Pool
from attar.objectives.rounds import OnReal
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["IDM", "IDMSettings"]


class IDMSettings(MethodSettings):
    """Settings of IDM.

    Samples are stored as mosaics, which the paper calls partition. The published pool has up to 100
    models for 20,000 steps.

    Attributes:
        lr: Step size of the values.
        momentum: Momentum of the values.
        final: Fraction of the step size that is left at the end; see :class:`attar.optim.OptimSpec`.
        per_class: Real samples of each class per step.
        answers: Weight of the cross-entropy of the set under the models.
        pool: Number of models.
        oldest: Times that a model is trained before a fresh one takes its place.
        samples: Real samples that a model is trained on after it was used.
        batch: Real samples per step of a model.
        lr_model: Step size of the models.
        augment: Whether real and synthetic data are augmented by the same draws, and real data in
            training.
    """

    lr: float = Field(default=0.2, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    final: float = Field(default=1.0, ge=0, le=1)
    per_class: int = Field(default=256, ge=1)
    parameterization: str = "multi-formation"
    answers: float = Field(default=0.5, ge=0)
    pool: int = Field(default=10, ge=1)
    oldest: int = Field(default=30, ge=1)
    samples: int = Field(default=640, ge=1)
    batch: int = Field(default=64, ge=1)
    lr_model: float = Field(default=0.01, gt=0)
    augment: bool = True

    @property
    def networks(self) -> int:
        """Models that are in memory together."""
        return self.subjects * self.pool


class IDMMethod:
    """Registers IDM."""

    api = 1
    summary = "IDM: class means of embeddings by a pool of models trained on real data, as mosaics"
    reference = "Zhao et al., Improved Distribution Matching for Dataset Condensation, CVPR 2023"
    Settings = IDMSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True
    # Vectors cannot be cut into mosaics.
    conformance_settings: Mapping[str, object] = {
        "parameterization": "plain",
        "pool": 2,
        "oldest": 4,
        "samples": 12,
    }

    def build(self, settings: IDMSettings) -> Objective:
        """Return mean embedding, and cross-entropy × a pool of models trained on real data."""
        loss = MeanEmbedding(per_class=settings.per_class)
        return Objective(
            loss=Answered(loss, settings.answers) if settings.answers else loss,
            source=Pool(
                model=settings.model,
                size=settings.pool,
                oldest=settings.oldest,
                trainer=OnReal(samples_each=settings.samples, batch=settings.batch),
                optim=OptimSpec(name="sgd", lr=settings.lr_model, momentum=0.9, weight_decay=5e-4),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )

    def optimizers(self, settings: IDMSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return {
            "values": OptimSpec(name="sgd", lr=settings.lr, momentum=settings.momentum, final=settings.final)
        }


IDM = IDMMethod()
