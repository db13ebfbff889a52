"""Training a network: shared by experts, teachers, whole data, coresets and distilled sets."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from typing import Protocol as TypingProtocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import Augment, LabelKind, Split, Task
from attar.errors import UsageError
from attar.portions import rows_at_once, rows_backward
from attar.protocols import Plateau, Protocol
from attar.rng import scoped
from attar.solved import Solvable

__all__ = [
    "BatchEpochs",
    "Epochs",
    "Fitted",
    "TrainEpochs",
    "accuracy",
    "answers",
    "confusion",
    "fit",
    "train_step",
    "training_loss",
    "twice_differentiable",
]

_ROWS = 512


class Epochs(TypingProtocol):
    """Something that can be passed over."""

    @property
    def label_kind(self) -> LabelKind:
        """What the targets of its batches are."""

    def __len__(self) -> int: ...

    def epoch(self, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield it once in batches of at most `size`, in random order if `gen` is given."""


@dataclass(frozen=True)
class TrainEpochs:
    """The training split of a task."""

    task: Task
    label_kind: LabelKind = "hard"

    def __len__(self) -> int:
        return self.task.size("train")

    def epoch(self, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield the training data once."""
        return self.task.epoch("train", size, gen)


@dataclass(frozen=True)
class BatchEpochs:
    """A batch decoded once, passed over many times.

    Attributes:
        batch: The samples.
        label_kind: What its targets are.
    """

    batch: Batch
    label_kind: LabelKind = "hard"

    def __len__(self) -> int:
        return len(self.batch)

    def epoch(self, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield the batch once in pieces."""
        n = len(self.batch)
        order = torch.arange(n) if gen is None else torch.randperm(n, generator=gen)
        for rows in order.split(size):
            yield self.batch.take(rows.to(self.batch.labels.device))


@dataclass(frozen=True)
class Fitted:
    """What came of training a network.

    Attributes:
        model: The network; the one given, trained in place.
        epochs: Passes made.
        steps: Optimizer steps made.
        loss: Mean training loss of the last pass.
    """

    model: nn.Module
    epochs: int
    steps: int
    loss: float


def training_loss(logits: Tensor, batch: Batch, kind: LabelKind) -> Tensor:
    """Return the loss that a network is trained with on a set.

    Cross-entropy with the labels, or with probabilities; squared error with real-valued targets.
    It is a mean over classes too, which gives it the curvature that cross-entropy has where all
    classes are equally likely, so that one step size serves both.
    """
    if batch.targets is None:
        return functional.cross_entropy(logits, batch.labels)
    if kind == "regression":
        return functional.mse_loss(logits, batch.targets)
    return functional.cross_entropy(logits, batch.targets)


def twice_differentiable() -> AbstractContextManager[Any]:
    """Return a context in which the gradient of attention can be differentiated: fused kernels have none."""
    return sdpa_kernel(SDPBackend.MATH)


class _Watch:
    """Tells when the training loss is flat."""

    def __init__(self, rule: Plateau | None) -> None:
        self._rule = rule
        self.restart()

    def restart(self) -> None:
        self._losses: list[float] = []

    def flat(self, loss: float) -> bool:
        if self._rule is None:
            return False
        self._losses.append(loss)
        window = self._rule.window
        if len(self._losses) < 2 * window:
            return False
        before = statistics.fmean(self._losses[-2 * window : -window])
        return statistics.fmean(self._losses[-window:]) > before * (1 - self._rule.improvement)


def fit(
    model: nn.Module,
    epochs: Epochs,
    protocol: Protocol,
    gen: Generator,
    augment: Augment | None = None,
    *,
    score: Callable[[nn.Module], float] | None = None,
    device: torch.device = torch.device("cpu"),
) -> Fitted:
    """Train `model` in place.

    Args:
        model: The network.
        epochs: What it is trained on.
        protocol: How.
        gen: Source of order, augmentation and dropout.
        augment: Applied with one draw per sample if the protocol says so.
        score: Returns the validation accuracy; called after each pass where the protocol
            selects by validation, and the best pass's weights are kept.
        device: Where the network is.

    A model that can be solved for is: protocol and augmentation do not matter to it.
    """
    if isinstance(model, Solvable):
        with torch.no_grad():
            pieces = (batch.to(device) for batch in epochs.epoch(protocol.batch))
            return Fitted(model=model, epochs=1, steps=0, loss=model.solve(pieces))
    return _descend(model, epochs, protocol, gen, augment, score, device)


def _descend(
    model: nn.Module,
    epochs: Epochs,
    protocol: Protocol,
    gen: Generator,
    augment: Augment | None,
    score: Callable[[nn.Module], float] | None,
    device: torch.device,
) -> Fitted:
    """Train by gradient descent; see :func:`fit`."""
    per_epoch = math.ceil(len(epochs) / protocol.batch)
    total = protocol.epochs * per_epoch
    half = (protocol.epochs // 2 + 1) * per_epoch
    if protocol.steps is not None and protocol.steps < total:
        total, half = protocol.steps, protocol.steps // 2
    optimizer = protocol.optimizer.build(model.parameters())
    watch = _Watch(protocol.plateau)
    use = augment if protocol.augment else None
    step = passes = 0
    dropped = False
    loss = math.nan
    best: tuple[float, dict[str, Tensor]] | None = None
    with scoped(gen):
        while step < total:
            model.train()
            losses: list[Tensor] = []
            for batch in epochs.epoch(protocol.batch, gen):
                if step >= total:
                    break
                if step == half and not dropped:
                    dropped = _drop(optimizer, protocol.drop)
                losses.append(train_step(model, optimizer, batch.to(device), epochs.label_kind, use, gen))
                step += 1
            passes += 1
            loss = float(torch.stack(losses).mean())
            if protocol.select == "validation" and score is not None:
                value = score(model)
                if best is None or value > best[0]:
                    best = value, copy.deepcopy(model.state_dict())
            if not math.isfinite(loss):
                break
            if watch.flat(loss):
                if dropped:
                    break
                dropped = _drop(optimizer, protocol.drop)
                watch.restart()
    if best is not None:
        model.load_state_dict(best[1])
    return Fitted(model=model, epochs=passes, steps=step, loss=loss)


def _drop(optimizer: torch.optim.Optimizer, factor: float) -> bool:
    for group in optimizer.param_groups:
        group["lr"] *= factor
    return True


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    kind: LabelKind,
    augment: Augment | None,
    gen: Generator,
) -> Tensor:
    """Take one optimizer step on a batch and return its loss, without gradient.

    Args:
        model: The network.
        optimizer: Its optimizer.
        batch: The samples.
        kind: What their targets are.
        augment: Applied with one draw per sample, if any.
        gen: Source of the draws.
    """
    if augment is not None:
        batch = augment.apply(batch, augment.draw(len(batch), gen), torch.arange(len(batch)))
    optimizer.zero_grad(set_to_none=True)
    # The loss is a mean over rows, so that these can be shown a few at a time.
    pieces = [batch] if coupled(model) else batch.chunks(rows_backward(batch, _ROWS))
    total = torch.zeros((), device=batch.labels.device)
    for piece in pieces:
        loss = training_loss(model(piece.inputs), piece, kind) * (len(piece) / len(batch))
        loss.backward()
        total = total + loss.detach()
    optimizer.step()
    return total


def answers(
    model: nn.Module,
    task: Task,
    split: Split,
    *,
    batch: int = 512,
    device: torch.device = torch.device("cpu"),
) -> tuple[Tensor, Tensor]:
    """Return the class of each sample of a split, and the class that a network answers.

    Args:
        model: The network.
        task: The real data.
        split: Which split.
        batch: Samples read at a time; fewer go through the network together where they are large.
        device: Where the network lives.

    Returns:
        Both int64 ``(n,)``, in the order of the split.

    Raises:
        UsageError: If the split is empty.
    """
    labels, found = [], []
    model.eval()
    with torch.no_grad():
        for piece in task.epoch(split, batch):
            there = piece.to(device)
            parts = [there] if coupled(model) else there.chunks(rows_at_once(there, batch))
            labels.append(piece.labels)
            found += [model(part.inputs).argmax(1).cpu() for part in parts]
    model.train()
    if not sum(map(len, labels)):
        raise UsageError(f"the {split} data of {task.name!r} are empty; give at least one sample")
    return torch.cat(labels), torch.cat(found)


def confusion(labels: Tensor, answered: Tensor, classes: int) -> Tensor:
    """Return how often samples of each class were answered with each class; see :func:`answers`.

    Returns:
        Counts, int64 ``(classes, classes)``: true classes down, answers across.
    """
    return torch.bincount(labels * classes + answered, minlength=classes * classes).view(classes, classes)


def accuracy(
    model: nn.Module,
    task: Task,
    split: Split,
    *,
    batch: int = 512,
    device: torch.device = torch.device("cpu"),
) -> float:
    """Return the accuracy of a network on a split, in percent; see :func:`answers`."""
    labels, found = answers(model, task, split, device=device, batch=batch)
    return 100.0 * int((labels == found).sum()) / len(labels)
