"""Samples recovered from what a trained network remembers of its data: SRe2L."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.errors import UsageError
from attar.experts import ExpertSpec
from attar.objectives.teachers import Teachers
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = ["SRE2L", "RecoverLoss", "SRe2LSettings"]


def _normalizations(model: nn.Module) -> list[_BatchNorm]:
    return [
        module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats
    ]


@contextmanager
def _entering(model: nn.Module) -> Iterator[list[tuple[_BatchNorm, Tensor]]]:
    """Yield a list that fills with what enters each BatchNorm when the model is called."""
    entered: list[tuple[_BatchNorm, Tensor]] = []

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, _BatchNorm):
            entered.append((module, given[0]))

    hooks = [module.register_forward_pre_hook(note) for module in _normalizations(model)]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class RecoverLoss:
    """``CE(f(s), y) + r Σ_l ( ‖μ_l(S) − μ_l‖ + ‖σ²_l(S) − σ²_l‖ )`` over the model's BatchNorm layers l.

    μ_l and σ²_l are the running statistics of real data that the layer kept, μ_l(S) and σ²_l(S) those of
    the synthetic batch where it enters the layer.

    Attributes:
        statistics: r.
        augment: Whether the batch is augmented, one draw per sample and step, as by the paper's crops.

    References:
        Yin et al., NeurIPS 2023, equations 6 and 7, and section 2.2 for crops.
    """

    statistics: float = 0.01
    augment: bool = True

    needs = frozenset[str]()
    real = None

    @property
    def claims(self) -> frozenset[str]:
        """The order matters where draws of augmentation go by it."""
        return frozenset() if self.augment else frozenset({"order_free"})

    def suits(self, model: nn.Module) -> None:
        """Refuse a model that kept no statistics.

        Raises:
            UsageError: If it has no BatchNorm.
        """
        if not _normalizations(model):
            raise UsageError(
                f"the model {type(model).__name__} has no BatchNorm, whose running statistics this method "
                f"matches; choose another, such as objective.model=convnet,norm=batch"
            )

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> None:
        """Return nothing: real data were seen by the model."""

    def compare(
        self,
        subject: Subject,
        stats: None,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return how far the batch is from its classes and from the model's statistics."""
        operations = ctx.task.augment if self.augment else None
        if operations is not None:
            draws = operations.draw(len(syn), ctx.gen("recover", ctx.clock.step))
            syn = operations.apply(syn, draws, torch.arange(len(syn), device=syn.labels.device))
        with _entering(subject.model) as entered:
            logits = subject.model(syn.inputs)
        loss = functional.cross_entropy(logits, syn.labels)
        for module, values in entered:
            rows = values.transpose(0, 1).flatten(1)
            kept = module.running_mean, module.running_var
            own = rows.mean(1), rows.var(1, correction=0)
            for one, other in zip(own, kept, strict=True):
                if other is not None:
                    loss = loss + self.statistics * torch.linalg.vector_norm(one - other)
        return loss


class SRe2LSettings(MethodSettings):
    """Settings of SRe2L.

    Published are a ResNet-18, 4,000 steps for ImageNet and 1,000 for CIFAR, and labels for every crop
    of an image, at a temperature of 20; here a sample has one label. Samples start at noise.

    Attributes:
        lr: Step size of the values.
        final: Fraction of the step size that is left at the end; see :class:`attar.optim.OptimSpec`.
        model: Architecture with BatchNorm.
        statistics: Weight of the statistics.
        temperature: Temperature of the labels, where they are probabilities.
        count: Number of teachers.
        epochs: Epochs that each is trained for.
        lr_teacher: Step size of the teachers.
        batch_teacher: Real samples per step of a teacher.
        augment: Whether the set is augmented, and real data in the teachers' training.
    """

    lr: float = Field(default=0.1, gt=0)
    final: float = Field(default=0.0, ge=0, le=1)
    model: str = "convnet,norm=batch"
    init: str = "noise"
    statistics: float = Field(default=0.01, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    count: int = Field(default=1, ge=1)
    epochs: int = Field(default=10, ge=1)
    lr_teacher: float = Field(default=0.01, gt=0)
    batch_teacher: int = Field(default=128, ge=1)
    augment: bool = True


class SRe2LMethod:
    """Registers SRe2L."""

    api = 1
    stands_bf16 = True
    summary = "SRe2L: samples recovered from a trained network's normalization statistics, and labeled by it"
    reference = "Yin et al., Squeeze, Recover and Relabel: Dataset Condensation at ImageNet Scale From A New "
    reference += "Perspective, NeurIPS 2023"
    Settings = SRe2LSettings
    label_kinds: tuple[LabelKind, ...] = ("probability", "hard")
    # Probabilities are not learned, but given at the end; vectors cannot be convolved.
    conformance_settings: Mapping[str, object] = {
        "labels": "hard",
        "epochs": 2,
        "model": "mlp,width=16,depth=1,norm=batch",
    }

    def build(self, settings: SRe2LSettings) -> Objective:
        """Return recovery × teachers, with labels from these."""
        return Objective(
            loss=RecoverLoss(statistics=settings.statistics, augment=settings.augment),
            source=Teachers(
                model=settings.model,
                experts=ExpertSpec(
                    count=settings.count,
                    epochs=settings.epochs,
                    every=settings.epochs,
                    lr=settings.lr_teacher,
                    momentum=0.9,
                    weight_decay=5e-4,
                    batch=settings.batch_teacher,
                    augment=settings.augment,
                ),
            ),
            siamese=False,
            relabel=settings.temperature,
        )

    def optimizers(self, settings: SRe2LSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for the values; labels are not stepped."""
        return {
            "values": OptimSpec(name="adam", lr=settings.lr, final=settings.final),
            "labels": OptimSpec(name="sgd", lr=settings.lr_labels),
        }


SRE2L = SRe2LMethod()
