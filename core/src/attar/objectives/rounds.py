"""Sources whose models are trained between the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, nn

from attar.batch import Batch
from attar.contracts import Context, State, Subject, SyntheticSet
from attar.cost import Cost
from attar.optim import OptimSpec
from attar.rng import scoped
from attar.saved import give_optimizer, give_weights, require, whole
from attar.training import BatchEpochs, Epochs, train_step

__all__ = ["OnReal", "OnSet", "Rounds", "RoundsState", "Trainer", "train_on"]


class Trainer(Protocol):
    """What a model is trained on between two steps."""

    def samples(self, ctx: Context, syn: SyntheticSet, gen: Generator) -> tuple[Epochs, int, int]:
        """Return what is passed over, how often, and in batches of which size."""


@dataclass(frozen=True)
class OnSet:
    """Trains on the synthetic set as it is.

    Attributes:
        epochs: Passes over the set.
        batch: Samples per optimizer step.
    """

    epochs: int
    batch: int = 256

    def samples(self, ctx: Context, syn: SyntheticSet, gen: Generator) -> tuple[Epochs, int, int]:
        """Return the set as it is now."""
        # Not only without a graph: a set may decode to its very parameters.
        with torch.no_grad():
            batch = syn.decode().constant()
        return BatchEpochs(batch, syn.label_kind), self.epochs, self.batch


@dataclass(frozen=True)
class OnReal:
    """Trains on random real samples.

    Attributes:
        samples_each: Real samples that are drawn and passed over once.
        batch: Samples per optimizer step.
    """

    samples_each: int
    batch: int = 64

    def samples(self, ctx: Context, syn: SyntheticSet, gen: Generator) -> tuple[Epochs, int, int]:
        """Return real samples, drawn anew."""
        drawn: Batch = ctx.task.draw(self.samples_each, gen)
        return BatchEpochs(drawn.to(ctx.device)), 1, self.batch


def train_on(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    trainer: Trainer,
    augment: bool,
    ctx: Context,
    syn: SyntheticSet,
) -> None:
    """Train a model between two steps, and leave its parameters without gradient.

    Args:
        model: The model, whose parameters do not ask for gradient outside of this.
        optimizer: Its optimizer.
        trainer: What it is trained on.
        augment: Whether the task's augmentation is applied, one draw per sample.
        ctx: The step that follows.
        syn: The synthetic set as it is.
    """
    gen = ctx.gen("train", ctx.clock.step)
    epochs, passes, size = trainer.samples(ctx, syn, gen)
    operations = ctx.task.augment if augment else None
    model.requires_grad_(True)
    # Dropout draws from the global generator.
    with scoped(gen):
        for _ in range(passes):
            for batch in epochs.epoch(size, gen):
                train_step(model, optimizer, batch, epochs.label_kind, operations, gen)
    optimizer.zero_grad(set_to_none=True)
    model.requires_grad_(False)


@dataclass
class _Trainee:
    """A model in training.

    Attributes:
        round: Number of the round that it was drawn in.
        model: The model.
        optimizer: Its optimizer.
    """

    round: int
    model: nn.Module
    optimizer: torch.optim.Optimizer


class RoundsState:
    """The models in training, one per subject."""

    def __init__(self) -> None:
        self.trainees: dict[int, _Trainee] = {}
        self.saved: State = {}
        self.loaded = False

    def state_dict(self) -> State:
        """Return round, weights and optimizer of each model."""
        kept = {
            str(k): {
                "round": each.round,
                "weights": dict(each.model.state_dict()),
                "optimizer": each.optimizer.state_dict(),
            }
            for k, each in self.trainees.items()
        }
        return {**self.saved, **kept}

    def load_state_dict(self, state: State) -> None:
        """Keep what was saved until the models are asked for, since building them takes the task."""
        self.saved, self.loaded = dict(state), True
        self.trainees = {}


@dataclass(frozen=True)
class Rounds:
    """Models that start fresh each round and are trained a little as it goes on.

    Attributes:
        model: Architecture, or "" for the task's default.
        length: Stays of a model before a fresh one takes its place; 1 trains none.
        trainer: What the model is trained on between two stays.
        optim: Optimizer of the models.
        augment: Whether the task's augmentation is applied in training, one draw per sample.
        reuse: Steps of a stay, in which the model does not change and real data are shown to
            it once; 1 is the published schedule.

    References:
        Zhao et al., "Dataset Condensation with Gradient Matching", ICLR 2021, algorithm 1:
        a round is its outer loop, :class:`OnSet` its inner loop.
    """

    model: str
    length: int
    trainer: Trainer
    optim: OptimSpec
    augment: bool = False
    reuse: int = 1

    def prepare(self, ctx: Context) -> Cost:
        """Do nothing: models start fresh."""
        return Cost()

    def init(self, ctx: Context) -> RoundsState:
        """Return the state before the first step."""
        return RoundsState()

    def next(self, state: RoundsState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Train the model on, or draw a fresh one where a round begins."""
        stay, more = divmod(ctx.clock.step, self.reuse)
        number, place = divmod(stay, self.length)
        trainee = self._known(state, ctx)
        if trainee is not None and trainee.round == number and more:
            return Subject(model=trainee.model, version=stay)
        if trainee is None or trainee.round != number or place == 0:
            trainee = self._fresh(ctx, number)
        else:
            train_on(trainee.model, trainee.optimizer, self.trainer, self.augment, ctx, syn)
        state.trainees[ctx.clock.subject] = trainee
        return Subject(model=trainee.model, version=stay)

    def _fresh(self, ctx: Context, number: int) -> _Trainee:
        model = ctx.task.build(self.model, ctx.gen("model", number)).to(ctx.device)
        model.train()
        trainee = _Trainee(number, model, self.optim.build(list(model.parameters())))
        model.requires_grad_(False)
        return trainee

    def _known(self, state: RoundsState, ctx: Context) -> _Trainee | None:
        known = state.trainees.get(ctx.clock.subject)
        if known is None and state.loaded:
            saved = state.saved.pop(str(ctx.clock.subject), None)
            # The round of the step that was taken last.
            number = (ctx.clock.step - 1) // self.reuse // self.length
            fits = isinstance(saved, Mapping) and whole(saved.get("round"), number, number)
            require(fits, "a model in training")
            known = self._fresh(ctx, number)
            give_weights(known.model, saved.get("weights"))
            give_optimizer(known.optimizer, saved.get("optimizer"))
            state.trainees[ctx.clock.subject] = known
        return known
