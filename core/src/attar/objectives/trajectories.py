"""Trajectories of networks trained on real data, and the loss that follows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.batch import Batch
from attar.contracts import Context, Segment, Subject, SyntheticSet
from attar.cost import Cost
from attar.errors import InternalError, UsageError
from attar.experts import Expert, Experts, ExpertSpec, experts_folder
from attar.objectives.inner import InnerSGD, InnerTraining, Tensors, Unroll, plain
from attar.objectives.rates import Rates
from attar.objectives.sources import Rebuilt

__all__ = ["Trajectories", "TrajectoryMatch", "TrajectoryState"]

_TINY = 1e-12
"""Least squared length of a stretch, in units of the parameters'."""


class TrajectoryState(Rebuilt):
    """The experts at hand."""

    def __init__(self) -> None:
        self.experts: list[Expert] = []


@dataclass(frozen=True)
class Trajectories:
    """Stretches of the training of experts: a random one at each step, from a random time.

    Attributes:
        model: Architecture, or "" for the task's default.
        experts: How the experts are trained.
        span: Snapshots between start and goal.
        earliest: First snapshot that a stretch may start at.
        latest: Last such snapshot; where that is too late to be followed, the last that is not.
        until: Part of the run after which `latest` is reached; before, the last start grows from
            `earliest`. With 0 all starts are open from the first step.

    References:
        Cazenave et al., "Dataset Distillation by Matching Training Trajectories", CVPR 2022,
        section 3.2; Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned
        Trajectory Matching", ICLR 2024, section 3.3, for starts that open up.
    """

    model: str
    experts: ExpertSpec
    span: int
    earliest: int = 0
    latest: int = 0
    until: float = 0.0

    def _experts(self, ctx: Context) -> Experts:
        folder = ctx.workplace.folder or experts_folder()
        return Experts(ctx.task, self.model, self.experts, folder, ctx.device)

    def prepare(self, ctx: Context) -> Cost:
        """Train the experts that are missing, and return what all of them cost.

        Raises:
            PreparationStopped: If the workplace asked for it.
            UsageError: If the experts have not enough snapshots.
        """
        self._last()
        return self._experts(ctx).prepare(ctx.workplace)

    def _last(self) -> int:
        """Return the last snapshot that a stretch may start at.

        Raises:
            UsageError: If no stretch fits.
        """
        last = min(self.latest, self.experts.snapshots - 1 - self.span)
        if not 0 <= self.earliest <= last:
            raise UsageError(
                f"a stretch of {self.span} snapshots from {self.earliest} on does not fit into experts of "
                f"{self.experts.snapshots - 1}; lower objective.span or objective.earliest, or raise "
                f"objective.epochs"
            )
        return last

    def init(self, ctx: Context) -> TrajectoryState:
        """Return the state before the first step."""
        return TrajectoryState()

    def next(self, state: TrajectoryState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Return a model as an expert was at a random time, with what became of it."""
        if not state.experts:
            state.experts = self._experts(ctx).required()
        clock, latest = ctx.clock, self._last()
        if self.until > 0:
            open_part = min(1.0, clock.step / max(1.0, self.until * clock.steps))
            latest = self.earliest + round(open_part * (latest - self.earliest))
        gen = ctx.gen("segment", clock.step)
        expert = state.experts[int(torch.randint(len(state.experts), (1,), generator=gen))]
        start = int(torch.randint(self.earliest, latest + 1, (1,), generator=gen))
        model = ctx.task.build(self.model, ctx.gen("model", clock.step)).to(ctx.device)
        with torch.no_grad():
            for own, trained in zip(model.parameters(), expert.snapshot(start), strict=True):
                own.copy_(trained)
        model.requires_grad_(False)
        model.train()
        goal = tuple(each.to(ctx.device) for each in expert.snapshot(start + self.span))
        return Segment(model=model, version=clock.step, goal=goal)


@dataclass(frozen=True)
class TrajectoryMatch:
    """How far training on the set ends from where training on real data led.

    ``‖θ_N − θ*‖² / ‖θ_0 − θ*‖²`` where θ_N are the parameters after N steps of gradient descent on the
    set, of a learned step size, from θ_0, and θ* are the expert's. 1 means as far as before.

    Attributes:
        steps: N.
        rates: Step sizes of these steps.
        batch: Synthetic samples per step; 0 takes all.
        augment: Whether they are augmented, one draw per sample and step.
        unroll: How the training is differentiated.

    References:
        Cazenave et al., CVPR 2022, equation 2.
    """

    steps: int
    rates: Rates
    batch: int = 0
    augment: bool = True
    unroll: Unroll = plain

    needs = frozenset[str]()
    real = None
    subjects = Segment

    @property
    def claims(self) -> frozenset[str]:
        """The order matters where batches or draws of augmentation go by it."""
        return frozenset() if self.batch or self.augment else frozenset({"order_free"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> None:
        """Return nothing: real data are seen by the experts."""

    def compare(
        self,
        subject: Subject,
        stats: None,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the normalized distance after training on the synthetic batch."""
        if not isinstance(subject, Segment):
            raise InternalError("matching trajectories takes a source of trajectories")
        training = InnerTraining(
            model=subject.model,
            ctx=ctx,
            optimizer=InnerSGD(),
            batch=self.batch,
            augment=ctx.task.augment if self.augment else None,
        )
        start = training.start()
        goal = tuple(each.to(own) for each, own in zip(subject.goal, start, strict=True))
        # Where training has nothing to learn, as with a single class, experts stay where they are.
        least = _TINY * torch.stack([(each**2).sum() for each in goal]).sum()
        scale = torch.maximum(_apart(start, goal), least)
        rates = self.rates.read(learned, self.steps, scale)
        return self.unroll(
            training,
            training.begin(start),
            syn,
            rates,
            range(self.steps),
            lambda parameters: _apart(parameters, goal) / scale,
        )


def _apart(one: Tensors, other: Tensors) -> Tensor:
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)]).sum()
