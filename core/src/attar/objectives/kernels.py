"""Methods of kernel ridge regression: FRePo, KIP and RFAD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.pool import Pool
from attar.objectives.ridge import (
    Error,
    FeatureKernel,
    ModelKernel,
    RidgeRegression,
    platt,
    squared_error,
)
from attar.objectives.rounds import OnSet
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["FREPO", "KIP", "RFAD", "FRePoSettings", "KIPSettings", "RFADSettings", "RidgeSettings"]

ERRORS: Mapping[str, Error] = {"squared": squared_error, "platt": platt}


class RidgeSettings(MethodSettings):
    """Settings of all methods of ridge regression.

    Attributes:
        lr: Step size of the values.
        final: Fraction of the step sizes that is left at the end; see
            :class:`attar.optim.OptimSpec`.
        per_class: Real samples of each class per step.
        ridge: Ridge in units of the mean of the kernel's diagonal.
        augment: Whether real and synthetic data are augmented by the same draws.
    """

    lr: float = Field(default=0.01, gt=0)
    final: float = Field(default=0.1, ge=0, le=1)
    per_class: int = Field(default=100, ge=1)
    ridge: float = Field(default=1e-6, ge=0)
    augment: bool = False


class FRePoSettings(RidgeSettings):
    """Settings of FRePo.

    Attributes:
        pool: Number of models.
        oldest: Times that a model is trained before a fresh one takes its place.
        lr_model: Step size of the models.
        batch: Synthetic samples per step of a model.
        margin: Weight of the term that keeps targets apart.
        augment: Whether real and synthetic data are augmented by the same draws, and the set in
            training.
    """

    augment: bool = True
    pool: int = Field(default=10, ge=1)
    oldest: int = Field(default=100, ge=1)
    lr_model: float = Field(default=3e-4, gt=0)
    batch: int = Field(default=500, ge=1)
    margin: float = Field(default=1.0, ge=0)

    @property
    def networks(self) -> int:
        """Models that are in memory together."""
        return self.subjects * self.pool


class KIPSettings(RidgeSettings):
    """Settings of KIP.

    Attributes:
        model: Architecture with a kernel.
    """

    model: str = "ntk"


class RFADSettings(RidgeSettings):
    """Settings of RFAD.

    Attributes:
        models: Random models whose features are joined at each step.
        reuse: Steps per draw of the models.
        error: ``platt``, cross-entropy with a learned temperature, or ``squared``.
        temperature: Initial temperature.
        lr_temperature: Step size of its logarithm.
    """

    models: int = Field(default=8, ge=1)
    reuse: int = Field(default=1, ge=1)
    error: Literal["platt", "squared"] = "platt"
    temperature: float = Field(default=0.1, gt=0)
    lr_temperature: float = Field(default=0.01, gt=0)

    @property
    def networks(self) -> int:
        """Models that are in memory together."""
        return self.subjects * self.models


@dataclass(frozen=True)
class _Ridge:
    """What registers a method of ridge regression."""

    summary: str
    reference: str
    api = 1
    label_kinds: tuple[LabelKind, ...] = ("regression", "hard")

    def optimizers(self, settings: RidgeSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for the values and for the targets."""
        return {
            "values": OptimSpec(name="adam", lr=settings.lr, final=settings.final),
            "labels": OptimSpec(name="adam", lr=settings.lr_labels, final=settings.final),
        }


@dataclass(frozen=True)
class FRePoMethod(_Ridge):
    """Registers FRePo."""

    Settings = FRePoSettings
    stands_bf16 = True

    def build(self, settings: FRePoSettings) -> Objective:
        """Return ridge regression on features × a pool of models trained on the set."""
        return Objective(
            loss=RidgeRegression(
                kernel=FeatureKernel(),
                per_class=settings.per_class,
                ridge=settings.ridge,
                margin=settings.margin,
            ),
            source=Pool(
                model=settings.model,
                size=settings.pool,
                oldest=settings.oldest,
                trainer=OnSet(epochs=1, batch=settings.batch),
                optim=OptimSpec(name="adam", lr=settings.lr_model),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )


@dataclass(frozen=True)
class KIPMethod(_Ridge):
    """Registers KIP."""

    Settings = KIPSettings

    def build(self, settings: KIPSettings) -> Objective:
        """Return ridge regression on the kernel of an infinitely wide network."""
        return Objective(
            loss=RidgeRegression(kernel=ModelKernel(), per_class=settings.per_class, ridge=settings.ridge),
            source=Fresh(model=settings.model),
            siamese=settings.augment,
        )


@dataclass(frozen=True)
class RFADMethod(_Ridge):
    """Registers RFAD."""

    Settings = RFADSettings
    stands_bf16 = True

    def build(self, settings: RFADSettings) -> Objective:
        """Return ridge regression on features × fresh models side by side."""
        learned = {"log_tau": math.log(settings.temperature)} if settings.error == "platt" else {}
        return Objective(
            loss=RidgeRegression(
                kernel=FeatureKernel(),
                error=ERRORS[settings.error],
                per_class=settings.per_class,
                ridge=settings.ridge,
            ),
            source=Fresh(model=settings.model, reuse=settings.reuse, count=settings.models),
            learned=learned,
            siamese=settings.augment,
        )

    def optimizers(self, settings: RidgeSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for values, targets and the temperature."""
        lr = settings.lr_temperature if isinstance(settings, RFADSettings) else settings.lr
        return {**super().optimizers(settings), "learned": OptimSpec(name="adam", lr=lr)}


FREPO = FRePoMethod(
    summary="neural feature regression: ridge regression on features of models trained on the set",
    reference="Zhou et al., Dataset Distillation using Neural Feature Regression, NeurIPS 2022",
)
KIP = KIPMethod(
    summary="kernel inducing points: ridge regression on the kernel of an infinitely wide network",
    reference="Nguyen et al., Dataset Meta-Learning from Kernel Ridge-Regression, ICLR 2021",
)
RFAD = RFADMethod(
    summary="random feature approximation: ridge regression on features of many random models",
    reference="Loo et al., Efficient Dataset Distillation using Random Feature Approximation, NeurIPS 2022",
)
