"""Methods that match training trajectories: MTT, TESLA and DATM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from attar.contracts import LabelKind, Objective
from attar.experts import ExpertSpec
from attar.objectives.inner import Unroll, adjoint, plain, stopped
from attar.objectives.rates import OneRate
from attar.objectives.trajectories import Trajectories, TrajectoryMatch
from attar.optim import OptimSpec
from attar.plugins import MethodSettings

__all__ = [
    "DATM",
    "MTT",
    "TESLA",
    "DATMSettings",
    "MTTSettings",
    "TESLASettings",
    "TrajectoryMethod",
    "TrajectorySettings",
]

UNROLLS: Mapping[str, Unroll] = {"plain": plain, "adjoint": adjoint, "stopped": stopped}


class TrajectorySettings(MethodSettings):
    """Settings of all methods that match trajectories.

    Published are 100 experts of 50 epochs, 5,000 steps, and ``inner=50, span=2, latest=5`` for one
    sample per class or ``inner=30, span=2, latest=20`` for ten.

    Attributes:
        lr: Step size of the values, in units of their standard deviation.
        final: Fraction of the step sizes that is left at the end; see
            :class:`attar.optim.OptimSpec`.
        count: Number of experts.
        epochs: Epochs that each is trained for.
        every: Epochs between two snapshots of an expert.
        lr_expert: Step size of the experts.
        momentum_expert: Their momentum.
        batch_expert: Real samples per step of an expert.
        expert_dtype: Type that snapshots are stored in.
        span: Snapshots of an expert from start to goal.
        earliest: First snapshot that a stretch may start at.
        latest: Last such snapshot.
        inner: Steps on the set that are to lead as far.
        batch: Synthetic samples per such step; 0 takes all.
        rate: Initial step size on the set; it is learned.
        lr_rate: Step size of its logarithm.
        augment: Whether the set is augmented in these steps, and real data in the experts'.
    """

    lr: float = Field(default=0.1, gt=0)
    final: float = Field(default=0.1, ge=0, le=1)
    count: int = Field(default=10, ge=1)
    epochs: int = Field(default=20, ge=1)
    every: int = Field(default=1, ge=1)
    lr_expert: float = Field(default=0.01, gt=0)
    momentum_expert: float = Field(default=0.0, ge=0, lt=1)
    batch_expert: int = Field(default=256, ge=1)
    expert_dtype: Literal["float32", "float16"] = "float32"
    span: int = Field(default=2, ge=1)
    earliest: int = Field(default=0, ge=0)
    latest: int = Field(default=5, ge=0)
    inner: int = Field(default=20, ge=1)
    batch: int = Field(default=0, ge=0)
    rate: float = Field(default=0.01, gt=0)
    lr_rate: float = Field(default=0.01, gt=0)
    augment: bool = True

    def experts(self) -> ExpertSpec:
        """Return how the experts are trained."""
        return ExpertSpec(
            count=self.count,
            epochs=self.epochs,
            every=self.every,
            lr=self.lr_expert,
            momentum=self.momentum_expert,
            batch=self.batch_expert,
            augment=self.augment,
            dtype=self.expert_dtype,
        )

    def unrolled(self) -> Unroll:
        """Return how the training on the set is differentiated."""
        return plain

    def opening(self) -> float:
        """Return the part of the run in which later starts open up."""
        return 0.0


class MTTSettings(TrajectorySettings):
    """Settings of MTT, beside those of all methods that match trajectories.

    Attributes:
        unroll: ``adjoint`` takes each inner step again on the way back and keeps a copy of the
            parameters per step; ``plain`` keeps all steps in memory, for the same gradient.
    """

    unroll: Literal["adjoint", "plain"] = "adjoint"

    def unrolled(self) -> Unroll:
        """Return how the training on the set is differentiated."""
        return UNROLLS[self.unroll]


class TESLASettings(TrajectorySettings):
    """Settings of TESLA.

    Attributes:
        unroll: ``stopped``, the published gradient of constant memory; ``adjoint``, MTT's exact one; or
            ``plain``, the same with all steps in memory.
    """

    unroll: Literal["stopped", "adjoint", "plain"] = "stopped"

    def unrolled(self) -> Unroll:
        """Return how the training on the set is differentiated."""
        return UNROLLS[self.unroll]


class DATMSettings(MTTSettings):
    """Settings of DATM: those of MTT, with starts that open up.

    Small sets learn from early, easy stretches, large ones from late, hard ones; `earliest` and
    `latest` say which. Labels are learned as well; the paper starts them at an expert's answers,
    here they start at the class.

    Attributes:
        until: Part of the run after which the last start is `latest`; it grows from `earliest`.
    """

    until: float = Field(default=0.5, ge=0, le=1)

    def opening(self) -> float:
        """Return the part of the run in which later starts open up."""
        return self.until


@dataclass(frozen=True)
class TrajectoryMethod:
    """Registers a method that matches trajectories."""

    summary: str
    reference: str
    Settings: type[TrajectorySettings]
    label_kinds: tuple[LabelKind, ...] = ("hard", "probability")
    api = 1
    conformance_settings: Mapping[str, object] = field(default_factory=dict)
    stands_bf16: bool = False

    def build(self, settings: TrajectorySettings) -> Objective:
        """Return the distance of parameters × trajectories of experts."""
        rates = OneRate(settings.rate)
        return Objective(
            loss=TrajectoryMatch(
                steps=settings.inner,
                rates=rates,
                batch=settings.batch,
                augment=settings.augment,
                unroll=settings.unrolled(),
            ),
            source=Trajectories(
                model=settings.model,
                experts=settings.experts(),
                span=settings.span,
                earliest=settings.earliest,
                latest=settings.latest,
                until=settings.opening(),
            ),
            learned=rates.learned(settings.inner),
            # Samples of each inner step have draws of their own.
            siamese=False,
        )

    def optimizers(self, settings: TrajectorySettings) -> Mapping[str, OptimSpec]:
        """Return Adam for values, labels and the step size."""
        return {
            "values": OptimSpec(name="adam", lr=settings.lr, final=settings.final, relative=True),
            "labels": OptimSpec(name="adam", lr=settings.lr_labels, final=settings.final),
            "learned": OptimSpec(name="adam", lr=settings.lr_rate, final=settings.final),
        }


_QUICK: Mapping[str, object] = {
    "count": 2,
    "epochs": 4,
    "span": 2,
    "latest": 2,
    "inner": 3,
    "lr_expert": 0.1,
    "rate": 0.1,
}

MTT = TrajectoryMethod(
    summary="MTT: training on the set is to lead where training on real data led",
    reference="Cazenave et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022",
    Settings=MTTSettings,
    conformance_settings=_QUICK,
    stands_bf16=True,
)
TESLA = TrajectoryMethod(
    summary="TESLA: as MTT, in constant memory, each step differentiated for itself",
    reference="Cui et al., Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory, ICML 2023",
    Settings=TESLASettings,
    conformance_settings=_QUICK,
    stands_bf16=True,
)
DATM = TrajectoryMethod(
    summary="DATM: as MTT, from stretches as hard as the set is large, with learned labels",
    reference="Guo et al., Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory "
    "Matching, ICLR 2024",
    Settings=DATMSettings,
    label_kinds=("probability", "hard"),
    conformance_settings=_QUICK,
    stands_bf16=True,
)
