"""Methods that go back through training on the set: DD, RTP and RaT-BPTT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.objectives.inner import InnerAdam, InnerOptimizer, InnerSGD, Unroll, adjoint, plain
from attar.objectives.rates import FixedRate, OneRate, RatePerStep, Rates
from attar.objectives.sources import Fresh
from attar.objectives.unrolled import UnrolledLoss
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = [
    "DD",
    "RAT_BPTT",
    "RTP",
    "BackpropMethod",
    "BackpropSettings",
    "DDSettings",
    "RTPSettings",
    "RaTSettings",
]

UNROLLS: Mapping[str, Unroll] = {"plain": plain, "adjoint": adjoint}


class BackpropSettings(MethodSettings):
    """Settings of all methods that go back through training on the set.

    Attributes:
        lr: Step size of the values, in units of their standard deviation.
        final: Fraction of the step sizes that is left at the end; see
            :class:`attar.optim.OptimSpec`.
        clip: Decay of the running mean of the gradients' norm that longer ones are shortened to; 0
            leaves them as they are.
        per_class: Real samples of each class per step.
        inner: Steps of a fresh model on the set.
        window: Last steps that the gradient goes through; 0 for all.
        batch: Synthetic samples per inner step; 0 takes all.
        rate: Initial step size on the set.
        lr_rate: Step size of its logarithm.
        augment: Whether the set is augmented in the inner steps.
        unroll: ``adjoint`` takes each step of the window again on the way back and keeps a copy of the
            model and its optimizer per step; ``plain`` keeps all in memory, for the same gradient.
    """

    lr: float = Field(default=0.05, gt=0)
    final: float = Field(default=0.1, ge=0, le=1)
    clip: float = Field(default=0.0, ge=0, lt=1)
    per_class: int = Field(default=50, ge=1)
    inner: int = Field(default=20, ge=1)
    window: int = Field(default=0, ge=0)
    batch: int = Field(default=0, ge=0)
    rate: float = Field(default=0.02, gt=0)
    lr_rate: float = Field(default=0.01, gt=0)
    augment: bool = False
    unroll: Literal["adjoint", "plain"] = "adjoint"

    def rates(self) -> Rates:
        """Return the step sizes."""
        return OneRate(self.rate)

    def optimizer(self) -> InnerOptimizer:
        """Return the optimizer of the inner steps."""
        return InnerSGD()

    def anywhere(self) -> bool:
        """Return whether the window lies anywhere in the training, not at its end."""
        return False


class DDSettings(BackpropSettings):
    """Settings of DD, the first method of all.

    Published are 10 steps that are gone through three times, of networks with one fixed or a fresh
    random initialization; here they are fresh. Each step has a step size of its own.
    """

    inner: int = Field(default=10, ge=1)

    def rates(self) -> Rates:
        """Return a step size for each step."""
        return RatePerStep(self.rate)


class RTPSettings(BackpropSettings):
    """Settings of RTP.

    Samples are made of bases, the paper's addressable memories. Published are 150 to 200 inner steps.

    Attributes:
        momentum: Momentum of the inner steps.
    """

    parameterization: str = "bases"
    inner: int = Field(default=40, ge=1)
    rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)

    def optimizer(self) -> InnerOptimizer:
        """Return gradient descent with momentum."""
        return InnerSGD(momentum=self.momentum)


class RaTSettings(BackpropSettings):
    """Settings of RaT-BPTT.

    Published are windows of 60 in 200 steps, for ten samples per class of CIFAR-10.
    """

    clip: float = Field(default=0.9, ge=0, lt=1)
    inner: int = Field(default=60, ge=1)
    window: int = Field(default=20, ge=0)
    rate: float = Field(default=0.001, gt=0)

    def rates(self) -> Rates:
        """Return a step size that is not learned."""
        return FixedRate(self.rate)

    def optimizer(self) -> InnerOptimizer:
        """Return Adam."""
        return InnerAdam()

    def anywhere(self) -> bool:
        """Return True: the window is random."""
        return True


@dataclass(frozen=True)
class BackpropMethod:
    """Registers a method that goes back through training on the set."""

    summary: str
    reference: str
    Settings: type[BackpropSettings]
    label_kinds: tuple[LabelKind, ...] = ("hard", "probability")
    api = 1
    stands_bf16 = True
    conformance_settings: Mapping[str, object] = field(default_factory=dict)

    def build(self, settings: BackpropSettings) -> Objective:
        """Return the loss after training × fresh models."""
        rates = settings.rates()
        return Objective(
            loss=UnrolledLoss(
                optimizer=settings.optimizer(),
                rates=rates,
                steps=settings.inner,
                window=settings.window,
                random=settings.anywhere(),
                per_class=settings.per_class,
                batch=settings.batch,
                augment=settings.augment,
                unroll=UNROLLS[settings.unroll],
            ),
            source=Fresh(model=settings.model),
            learned=rates.learned(settings.inner),
            # The set is augmented in training, if at all, and real data are not.
            siamese=False,
        )

    def optimizers(self, settings: BackpropSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for values, labels and step sizes."""
        return {
            "values": OptimSpec(
                name="adam", lr=settings.lr, final=settings.final, relative=True, clip=settings.clip
            ),
            "labels": OptimSpec(name="adam", lr=settings.lr_labels, final=settings.final),
            "learned": OptimSpec(name="adam", lr=settings.lr_rate, final=settings.final),
        }


DD = BackpropMethod(
    summary="DD: the loss on real data of models trained on the set, with learned step sizes",
    reference="Wang et al., Dataset Distillation, 2018",
    Settings=DDSettings,
    conformance_settings={"inner": 3, "rate": 0.1},
)
RTP = BackpropMethod(
    summary="RTP: as DD, through long training with momentum, samples made of shared bases",
    reference="Deng and Russakovsky, Remember the Past: Distilling Datasets into Addressable Memories "
    "for Neural Networks, NeurIPS 2022",
    Settings=RTPSettings,
    conformance_settings={"inner": 3, "rate": 0.1, "parameterization": "plain"},
)
RAT_BPTT = BackpropMethod(
    summary="RaT-BPTT: as DD, with Adam, through a window at a random place of the training",
    reference="Feng et al., Embarrassingly Simple Dataset Distillation, ICLR 2024",
    Settings=RaTSettings,
    conformance_settings={"inner": 4, "window": 2, "rate": 0.02},
)
