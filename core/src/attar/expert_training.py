"""Training a network and keeping its parameters as they change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from attar.checkpoint import Checkpoint, Checkpoints
from attar.contracts import PreparationStopped, Task
from attar.cost import Cost, Meter
from attar.errors import DivergenceError, UsageError
from attar.optim import OptimSpec
from attar.rng import derive, scoped
from attar.saved import give_optimizer, give_weights, require, same_form, whole
from attar.settings import Record, Settings, parse
from attar.training import TrainEpochs, train_step

__all__ = ["ExpertSpec", "Trajectory", "train_expert"]

_SECONDS = 30.0
"""Wall seconds of training between two checkpoints."""


class ExpertSpec(Settings):
    """How experts are trained.

    Attributes:
        count: Number of experts.
        epochs: Passes over the training data.
        every: Passes between two snapshots of the parameters; the last comes after the last pass.
        lr: Step size of stochastic gradient descent.
        momentum: Its momentum.
        weight_decay: L2 penalty.
        batch: Samples per optimizer step.
        augment: Whether the task's augmentation is applied, one draw per sample.
        dtype: Type that snapshots are stored in.
        seed: Seed of initialization, order and augmentation.
    """

    count: int = Field(default=10, ge=1)
    epochs: int = Field(default=20, ge=1)
    every: int = Field(default=1, ge=1)
    lr: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch: int = Field(default=256, ge=1)
    augment: bool = False
    dtype: Literal["float32", "float16"] = "float32"
    seed: int = 0

    @property
    def snapshots(self) -> int:
        """Snapshots of an expert, the first before training, the last after it."""
        return -(-self.epochs // self.every) + 1


class _Meta(Record):
    """What a checkpoint says beside its state."""

    loss: float
    cost: Cost


@dataclass
class Trajectory:
    """A network in training, with its history.

    Attributes:
        model: The network as it is.
        optimizer: Its optimizer.
        snapshots: Its parameters so far, one after another as vectors.
        loss: Mean training loss of the last epoch.
        epoch: Epochs done.
        cost: What they took.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    snapshots: list[Tensor]
    loss: float = math.nan
    epoch: int = 0
    cost: Cost = field(default_factory=Cost)

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint."""
        state = {
            "weights": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "snapshots": self.snapshots,
        }
        meta = {"loss": self.loss, "cost": self.cost.model_dump(mode="json")}
        checkpoints.save(Checkpoint(step=self.epoch, state=state, meta=meta))

    def load(self, checkpoints: Checkpoints, spec: ExpertSpec) -> None:
        """Go on from the newest checkpoint, if there is one.

        Raises:
            UsageError: If it is damaged, or none of such a training.
        """
        found = checkpoints.newest()
        if found is None:
            return
        require(whole(found.step, 1, spec.epochs), "the epoch")
        taken = found.step // spec.every + (found.step == spec.epochs and found.step % spec.every > 0)
        held = found.state.keys() == {"weights", "optimizer", "snapshots"}
        snapshots = self.snapshots * (1 + taken)
        require(held and same_form(found.state["snapshots"], snapshots), "the trajectory")
        meta = parse(_Meta, found.meta, "the saved state")
        give_weights(self.model, found.state["weights"])
        give_optimizer(self.optimizer, found.state["optimizer"])
        self.snapshots = list(found.state["snapshots"])
        self.epoch, self.loss, self.cost = found.step, meta.loss, meta.cost


def train_expert(
    task: Task,
    arch: str,
    spec: ExpertSpec,
    index: int,
    *,
    device: torch.device,
    checkpoints: Checkpoints,
    told: Callable[[int, float], None],
    stop: Callable[[], bool],
) -> Trajectory:
    """Train one expert.

    Args:
        task: The real data; only its training split is used.
        arch: Architecture.
        spec: How it is trained.
        index: Which of the experts it is.
        device: Where it is trained.
        checkpoints: Where it is saved now and then, and gone on from.
        told: Called after each epoch with the epochs done and the loss.
        stop: Asked after each epoch but the last; True saves and ends early.

    Raises:
        DivergenceError: If its loss stops being finite.
        PreparationStopped: If `stop` asked for it.
    """
    made = _begun(task, arch, spec, index, device)
    try:
        made.load(checkpoints, spec)
    except UsageError:
        # What was begun can be begun again.
        made = _begun(task, arch, spec, index, device)
    meter = Meter(made.cost)
    saved = made.cost.wall
    while made.epoch < spec.epochs:
        made.loss = _epoch(task, spec, index, made, device)
        made.epoch += 1
        made.cost = meter.read()
        flat = _flat(made.model)
        if not (math.isfinite(made.loss) and bool(torch.isfinite(flat).all())):
            raise DivergenceError(
                f"expert {index} diverged in epoch {made.epoch}; lower its step size (now: {spec.lr:g})"
            )
        if made.epoch % spec.every == 0 or made.epoch == spec.epochs:
            made.snapshots.append(flat)
        told(made.epoch, made.loss)
        stopping = made.epoch < spec.epochs and stop()
        if stopping or made.cost.wall - saved > _SECONDS:
            made.save(checkpoints)
            saved = made.cost.wall
        if stopping:
            raise PreparationStopped
    return made


def _begun(task: Task, arch: str, spec: ExpertSpec, index: int, device: torch.device) -> Trajectory:
    """Return an expert before its training."""
    model = task.build(arch, derive(spec.seed, "expert", index, "network")).to(device)
    sgd = OptimSpec(name="sgd", lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    return Trajectory(model, sgd.build(model.parameters()), [_flat(model)])


def _epoch(task: Task, spec: ExpertSpec, index: int, made: Trajectory, device: torch.device) -> float:
    """Make one pass over the training data and return the mean loss."""
    gen = derive(spec.seed, "expert", index, "epoch", made.epoch)
    epochs, augment = TrainEpochs(task), task.augment if spec.augment else None
    made.model.train()
    # Dropout draws from the global generator.
    with scoped(gen):
        losses = [
            train_step(made.model, made.optimizer, batch.to(device), epochs.label_kind, augment, gen)
            for batch in epochs.epoch(spec.batch, gen)
        ]
    return float(torch.stack(losses).mean())


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten().cpu() for each in model.parameters()])
