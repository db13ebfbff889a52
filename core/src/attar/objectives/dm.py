"""Distribution matching (DM): mean embeddings of freshly initialized models."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.distribution import MeanEmbedding
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["DM", "DMSettings"]


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
    """

    lr: float = Field(default=1.0, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    per_class: int = Field(default=256, ge=1)
    reuse: int = Field(default=10, ge=1)
    final: float = Field(default=1.0, ge=0, le=1)
    augment: bool = True


class DMMethod:
    """Registers DM."""

    api = 1
    summary = "distribution matching: class means of embeddings by fresh random models"
    reference = "Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023"
    Settings = DMSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)

    def build(self, settings: DMSettings) -> Objective:
        """Return mean embedding × fresh models."""
        return Objective(
            loss=MeanEmbedding(per_class=settings.per_class),
            source=Fresh(model=settings.model, reuse=settings.reuse),
            siamese=settings.augment,
        )

    def optimizers(self, settings: DMSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return {
            "values": OptimSpec(name="sgd", lr=settings.lr, momentum=settings.momentum, final=settings.final)
        }


DM = DMMethod()
