"""How real and synthetic data are matched: a loss, on the models of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from attar.batch import Batch
from attar.contracts.data import Clock, State, SyntheticSet, Task
from attar.cost import Cost
from attar.jobs import Workers
from attar.rng import derive

__all__ = [
    "Context",
    "Loss",
    "Objective",
    "PreparationStopped",
    "RealDraw",
    "Segment",
    "Source",
    "Stateful",
    "Subject",
    "Workplace",
]


def _never() -> bool:
    return False


def _silent(note: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Workplace:
    """Where and how long work that a run needs first is done; none of it changes the result.

    Attributes:
        folder: Where it is kept, or None for the cache.
        given: Whether the folder was given as complete: what it lacks is the user's mistake, not made.
        tell: Called with what is being done, for people.
        stop: Asked now and then; True means to save and to raise :class:`PreparationStopped`.
        workers: Who does it, where it has parts that do not depend on each other.
    """

    folder: Path | None = None
    given: bool = False
    tell: Callable[[str], None] = _silent
    stop: Callable[[], bool] = _never
    workers: Workers = 1


class PreparationStopped(Exception):
    """Long work was stopped on request, after saving."""


@dataclass(frozen=True)
class Context:
    """What a loss or a source may know of the run beside its arguments.

    Attributes:
        task: The real data.
        seed: Seed that every draw is derived from.
        clock: How far the run is.
        device: Where models and batches live.
        workplace: Where sources do long work.
    """

    task: Task
    seed: int
    clock: Clock
    device: torch.device = torch.device("cpu")
    workplace: Workplace = field(default=Workplace(), compare=False)

    def gen(self, purpose: str, *path: int) -> Generator:
        """Return the generator of `purpose` for the current subject; name the step in `path`."""
        return derive(self.seed, purpose, *path, self.clock.subject)


class Stateful(Protocol):
    """Something explicit that a run carries from step to step and a checkpoint saves."""

    def state_dict(self) -> State:
        """Return the state as a tree of tensors and JSON values."""

    def load_state_dict(self, state: State) -> None:
        """Restore a state returned by :meth:`state_dict`."""


@dataclass(frozen=True)
class Subject:
    """The model that real and synthetic data are shown to.

    Attributes:
        model: The model; its parameters are constants unless the loss differentiates them.
        version: Changes whenever the model does. What was observed with one version, on one
            draw of real data, is reused until the version changes.
    """

    model: nn.Module
    version: int


@dataclass(frozen=True)
class Segment(Subject):
    """A model at one point of its training on real data, and where that training led.

    Attributes:
        goal: Parameters a stretch of training later, in the order of the model's.
    """

    goal: tuple[Tensor, ...] = ()


class Source(Protocol):
    """Says which model a loss is evaluated on, and how that model changes between steps."""

    def prepare(self, ctx: Context) -> Cost:
        """Do long work that can be reused and resumed, such as training experts.

        Returns:
            What the work cost when it was done, be it now or earlier: it is part of the method's cost.

        Raises:
            PreparationStopped: If the workplace asked for it.
        """

    def init(self, ctx: Context) -> Stateful:
        """Return the state before the first step."""

    def next(self, state: Any, ctx: Context, syn: SyntheticSet) -> Subject:
        """Advance the model used last on the current set, then pick the one for this step."""


@dataclass(frozen=True)
class RealDraw:
    """How much real data a loss wants to see at a time.

    Attributes:
        per_class: Samples of each class, at most; smaller classes give all they have.
    """

    per_class: int


class Loss(Protocol):
    """Compares what real data show a model with what the synthetic set shows it. Pure.

    A loss that needs subjects of a kind of its own, as :class:`Segment`, names it as ``subjects``; all
    others work on any model that has what they need, whatever source it comes from.

    Attributes:
        needs: Model methods beside ``forward`` that are called, such as ``{"embed"}``.
        real: How much real data is wanted, or None.
        claims: Properties that conformance tests check: ``zero_at_real`` (zero where the
            synthetic batch equals the real one), ``order_free`` (the order of the samples
            of a class does not matter) and ``by_class`` (the loss is a sum over the classes
            of the synthetic batch, so that a run may take some classes at a time).
    """

    @property
    def needs(self) -> frozenset[str]:
        """Model methods beside ``forward`` that are called."""

    @property
    def real(self) -> RealDraw | None:
        """How much real data is wanted, or None."""

    @property
    def claims(self) -> frozenset[str]:
        """Properties that conformance tests check."""

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Any:
        """Return what the real data show, without gradient: all that touches real data."""

    def compare(
        self,
        subject: Subject,
        stats: Any,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the scalar loss; its gradient reaches the set and what is learned beside it."""


@dataclass(frozen=True)
class Objective:
    """A loss on the models of a source.

    Attributes:
        loss: What is compared.
        source: On which models.
        learned: Initial values of scalars learned beside the set, such as ``log_lr``; they
            are stored and counted.
        siamese: Whether real and synthetic data are augmented by the same draws, one per
            class, before the loss sees them.
        relabel: Temperature at which the models answer to the finished set, where it has
            probabilities as labels: these answers become its labels. 0 for none.
    """

    loss: Loss
    source: Source
    learned: Mapping[str, float] = field(default_factory=dict)
    siamese: bool = True
    relabel: float = 0.0
