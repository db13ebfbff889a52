"""Distribution matching (DM): mean embeddings of freshly initialized models."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from attar.contracts import LabelKind, Objective, Source
from attar.objectives.distribution import MeanEmbedding
from attar.objectives.rounds import OnReal, Rounds
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["DM", "DMSettings", "dm_optimizers", "dm_source"]


class DMSettings(MethodSettings):
    """Settings of DM.

    The published schedule is ``reuse=1, steps=20000``. The defaults here show real data to
    each model once and take ten steps on it, which costs a fraction for the same accuracy.

    Attributes:
        lr: Step size of the values.
        momentum: Momentum of the values.
        per_class: Real samples of each class per model.
        reuse: Steps per model.
        final: Fraction of the step size that is left at the end; see
            :class:`attar.optim.OptimSpec`.
        augment: Whether real and synthetic data are augmented by the same draws.
        stays: Times that a model is used, for `reuse` steps each, before a fresh one takes its
            place; 1 is the published method of random models.
        samples: Real samples that the model is trained on between two stays, as in the paper's
            study of network distributions.
    """

    lr: float = Field(default=1.0, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    per_class: int = Field(default=256, ge=1)
    reuse: int = Field(default=10, ge=1)
    final: float = Field(default=1.0, ge=0, le=1)
    augment: bool = True
    stays: int = Field(default=1, ge=1)
    samples: int = Field(default=1024, ge=1)


def dm_source(settings: DMSettings) -> Source:
    """Return random models, or models that are trained a little on real data between their stays."""
    if settings.stays == 1:
        return Fresh(model=settings.model, reuse=settings.reuse)
    return Rounds(
        model=settings.model,
        length=settings.stays,
        reuse=settings.reuse,
        trainer=OnReal(samples_each=settings.samples, batch=128),
        optim=OptimSpec(name="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4),
    )


def dm_optimizers(settings: DMSettings) -> dict[str, OptimSpec]:
    """Return SGD with momentum for the values."""
    return {"values": OptimSpec(name="sgd", lr=settings.lr, momentum=settings.momentum, final=settings.final)}


class DMMethod:
    """Registers DM."""

    api = 1
    summary = "distribution matching: class means of embeddings by fresh random models"
    reference = "Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023"
    Settings = DMSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True

    def build(self, settings: DMSettings) -> Objective:
        """Return mean embedding × fresh models."""
        return Objective(
            loss=MeanEmbedding(per_class=settings.per_class),
            source=dm_source(settings),
            siamese=settings.augment,
        )

    def optimizers(self, settings: DMSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return dm_optimizers(settings)


DM = DMMethod()
