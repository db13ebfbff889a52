"""Dataset condensation by gradients: DC, DSA and one-step matching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.gradient import Distance, GradientMatch, absolute, cosine_rows, squared
from attar.objectives.rounds import OnSet, Rounds
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["DC", "DSA", "ONE_STEP", "DCSettings", "DSASettings", "GradientSettings", "OneStepSettings"]

DISTANCES: Mapping[str, Distance] = {"cosine": cosine_rows, "mse": squared, "l1": absolute}


class GradientSettings(MethodSettings):
    """Settings of all methods that match gradients.

    Attributes:
        lr: Step size of the values.
        momentum: Momentum of the values.
        final: Fraction of the step size that is left at the end; see
            :class:`attar.optim.OptimSpec`.
        per_class: Real samples of each class per step.
        distance: Distance of two gradients: ``cosine`` over output rows, ``mse`` or ``l1``.
    """

    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    final: float = Field(default=1.0, ge=0, le=1)
    per_class: int = Field(default=256, ge=1)
    distance: Literal["cosine", "mse", "l1"] = "cosine"


def gradient_optimizers(settings: GradientSettings) -> dict[str, OptimSpec]:
    """Return SGD with momentum for the values, and Adam for labels that are learned."""
    return {
        "values": OptimSpec(name="sgd", lr=settings.lr, momentum=settings.momentum, final=settings.final),
        "labels": OptimSpec(name="adam", lr=settings.lr_labels, final=settings.final),
    }


class OneStepSettings(GradientSettings):
    """Settings of one-step matching.

    Attributes:
        reuse: Steps per model.
        augment: Whether real and synthetic data are augmented by the same draws.
    """

    reuse: int = Field(default=1, ge=1)
    augment: bool = True


class DCSettings(GradientSettings):
    """Settings of DC.

    A round starts with a fresh model and has `outer` steps; between them the model is trained
    on the set. The published schedules are 1,000 rounds with ``outer=1`` for one sample per
    class, ``outer=10, inner=50`` for ten and ``outer=50, inner=10`` for fifty.

    Attributes:
        outer: Steps of a round.
        inner: Epochs that the model is trained on the set between two steps.
        lr_model: Step size of the model.
        batch: Synthetic samples per step of the model.
        augment: Whether real and synthetic data are augmented by the same draws in matching,
            and the set in training.
    """

    outer: int = Field(default=10, ge=1)
    inner: int = Field(default=10, ge=1)
    lr_model: float = Field(default=0.01, gt=0)
    batch: int = Field(default=256, ge=1)
    augment: bool = False


class DSASettings(DCSettings):
    """Settings of DSA: those of DC, with augmentation."""

    augment: bool = True


@dataclass(frozen=True)
class _Gradients:
    """What registers a method that matches gradients."""

    summary: str
    reference: str
    api = 1
    label_kinds: tuple[LabelKind, ...] = ("hard", "probability")
    stands_bf16 = True

    def optimizers(self, settings: GradientSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values, and Adam for labels that are learned."""
        return gradient_optimizers(settings)


@dataclass(frozen=True)
class OneStepMethod(_Gradients):
    """Registers one-step matching."""

    Settings = OneStepSettings

    def build(self, settings: OneStepSettings) -> Objective:
        """Return gradient matching × fresh models."""
        return Objective(
            loss=GradientMatch(distance=DISTANCES[settings.distance], per_class=settings.per_class),
            source=Fresh(model=settings.model, reuse=settings.reuse),
            siamese=settings.augment,
        )


@dataclass(frozen=True)
class DCMethod(_Gradients):
    """Registers DC, and with settings that augment, DSA."""

    Settings: type[DCSettings] = DCSettings

    def build(self, settings: DCSettings) -> Objective:
        """Return gradient matching × models trained on the set."""
        return Objective(
            loss=GradientMatch(distance=DISTANCES[settings.distance], per_class=settings.per_class),
            source=Rounds(
                model=settings.model,
                length=settings.outer,
                trainer=OnSet(epochs=settings.inner, batch=settings.batch),
                optim=OptimSpec(name="sgd", lr=settings.lr_model),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )


ONE_STEP = OneStepMethod(
    summary="one-step gradient matching: gradients of fresh random models",
    reference="Jin et al., Condensing Graphs via One-Step Gradient Matching, KDD 2022",
)
DC = DCMethod(
    summary="dataset condensation: gradients of models trained on the set",
    reference="Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021",
)
DSA = DCMethod(
    summary="differentiable siamese augmentation: DC with augmentation",
    reference="Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021",
    Settings=DSASettings,
)
