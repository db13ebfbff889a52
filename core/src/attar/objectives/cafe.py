"""Features of every layer, and what real features answer to synthetic class centers: CAFE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.objectives.distribution import class_means, feature_maps
from attar.objectives.drawn import DrawsByClass
from attar.objectives.rounds import OnSet, Rounds
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["CAFE", "AlignedFeatures", "CAFESettings"]


@dataclass(frozen=True)
class AlignedFeatures(DrawsByClass):
    """Distance of class means in every layer, and how well synthetic centers tell real samples apart.

    ``Σ_l w_l Σ_c ‖mean f_l(T_c) − mean f_l(S_c)‖² + λ mean_t CE( f_L(t) · M_Sᵀ, y_t )`` where ``M_S`` are the
    mean features of the synthetic samples of each class in the last layer L.

    Attributes:
        per_class: Real samples of each class.
        layers: Weights w_l of the first layers; the last one is that of all further layers.
        discrimination: λ.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", CVPR 2022, equations
        3 to 6.
    """

    per_class: int = 256
    layers: tuple[float, ...] = (1.0, 1.0, 0.1, 0.1)
    discrimination: float = 0.01
    chunk: int = 512

    needs = frozenset({"feature_maps"})
    claims = frozenset({"order_free"})

    def observe(
        self, subject: Subject, real: Batch | None, ctx: Context
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the means of each layer, the last layer's features, and the labels of the real data."""
        real = self.given(real)
        with torch.no_grad():
            layers = feature_maps(subject.model, real, self.chunk)
        every = torch.arange(len(ctx.task.classes), device=real.labels.device)
        means = [class_means(layer, real.labels, every) for layer in layers]
        return means, layers[-1], real.labels

    def compare(
        self,
        subject: Subject,
        stats: tuple[Sequence[Tensor], Tensor, Tensor],
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return both terms, over the classes that the synthetic batch holds."""
        wanted, features, labels = stats
        classes = len(ctx.task.classes)
        present = torch.bincount(syn.labels, minlength=classes) > 0
        layers = feature_maps(subject.model, syn, self.chunk)
        every = torch.arange(classes, device=syn.labels.device)
        centers = [class_means(layer, syn.labels, every) for layer in layers]
        total = torch.zeros((), dtype=layers[0].dtype, device=layers[0].device)
        for index, (center, mean) in enumerate(zip(centers, wanted, strict=True)):
            weight = self.layers[min(index, len(self.layers) - 1)]
            total = total + weight * ((center - mean)[present] ** 2).sum()
        known = present[labels]
        if self.discrimination and bool(known.any()):
            # A class without synthetic samples has no center to be told by.
            answers = (features @ centers[-1].T).masked_fill(~present, -torch.inf)
            total = total + self.discrimination * functional.cross_entropy(answers[known], labels[known])
        return total


class CAFESettings(MethodSettings):
    """Settings of CAFE.

    A round starts with a fresh model and has `outer` steps; between them the model is trained on
    the set. The paper ends rounds when a query set says that the model no longer learns; here they
    have one length.

    Attributes:
        lr: Step size of the values.
        momentum: Momentum of the values.
        final: Fraction of the step size that is left at the end; see :class:`attar.optim.OptimSpec`.
        per_class: Real samples of each class per step.
        discrimination: Weight of the discrimination loss.
        outer: Steps of a round.
        inner: Epochs that the model is trained on the set between two steps.
        lr_model: Step size of the model.
        batch: Synthetic samples per step of the model.
        augment: Whether real and synthetic data are augmented by the same draws in matching, and the
            set in training.
    """

    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    final: float = Field(default=1.0, ge=0, le=1)
    per_class: int = Field(default=256, ge=1)
    discrimination: float = Field(default=0.01, ge=0)
    outer: int = Field(default=10, ge=1)
    inner: int = Field(default=10, ge=1)
    lr_model: float = Field(default=0.01, gt=0)
    batch: int = Field(default=256, ge=1)
    augment: bool = False


class CAFEMethod:
    """Registers CAFE."""

    api = 1
    summary = "CAFE: features of all layers of models trained on the set, with discrimination"
    reference = "Wang et al., CAFE: Learning to Condense Dataset by Aligning Features, CVPR 2022"
    Settings = CAFESettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True

    def build(self, settings: CAFESettings) -> Objective:
        """Return aligned features × models trained on the set."""
        return Objective(
            loss=AlignedFeatures(per_class=settings.per_class, discrimination=settings.discrimination),
            source=Rounds(
                model=settings.model,
                length=settings.outer,
                trainer=OnSet(epochs=settings.inner, batch=settings.batch),
                optim=OptimSpec(name="sgd", lr=settings.lr_model),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )

    def optimizers(self, settings: CAFESettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return {
            "values": OptimSpec(name="sgd", lr=settings.lr, momentum=settings.momentum, final=settings.final)
        }


CAFE = CAFEMethod()
