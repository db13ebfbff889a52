"""Condensation with networks trained on real data and mosaics: IDC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.dc import DISTANCES, GradientSettings, gradient_optimizers
from attar.objectives.gradient import GradientMatch
from attar.objectives.rounds import OnReal, Rounds
from attar.optim import OptimSpec

__all__ = ["IDC", "IDCSettings"]


class IDCSettings(GradientSettings):
    """Settings of IDC.

    A round starts with a fresh model and has `outer` steps; between them the model is trained on
    real data. The published schedule is ``outer=100`` with 2,000 rounds of images.

    Attributes:
        outer: Steps of a round.
        samples: Real samples that the model is trained on between two steps.
        batch: Real samples per step of the model.
        lr_model: Step size of the model.
        augment: Whether real and synthetic data are augmented by the same draws in matching, and
            real data in training.
    """

    lr: float = Field(default=0.005, gt=0)
    per_class: int = Field(default=64, ge=1)
    distance: Literal["cosine", "mse", "l1"] = "mse"
    parameterization: str = "multi-formation"
    outer: int = Field(default=100, ge=1)
    samples: int = Field(default=512, ge=1)
    batch: int = Field(default=64, ge=1)
    lr_model: float = Field(default=0.01, gt=0)
    augment: bool = True


class IDCMethod:
    """Registers IDC."""

    api = 1
    stands_bf16 = True
    summary = "IDC: gradients of models trained on real data, samples stored as mosaics"
    reference = "Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization, ICML 2022"
    Settings = IDCSettings
    label_kinds: tuple[LabelKind, ...] = ("hard", "probability")
    # Vectors cannot be cut into mosaics.
    conformance_settings: Mapping[str, object] = {"parameterization": "plain", "outer": 3, "samples": 12}

    def build(self, settings: IDCSettings) -> Objective:
        """Return gradient matching × models trained on real data."""
        return Objective(
            loss=GradientMatch(
                distance=DISTANCES[settings.distance], per_class=settings.per_class, head=False
            ),
            source=Rounds(
                model=settings.model,
                length=settings.outer,
                trainer=OnReal(samples_each=settings.samples, batch=settings.batch),
                optim=OptimSpec(name="sgd", lr=settings.lr_model, momentum=0.9, weight_decay=5e-4),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )

    def optimizers(self, settings: IDCSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values, and Adam for labels that are learned."""
        return gradient_optimizers(settings)


IDC = IDCMethod()
