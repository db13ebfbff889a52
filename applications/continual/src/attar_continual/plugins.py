"""Plugins of Avalanche's strategies: replay of distilled samples, and GDumb on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attar.artifact import Artifact
from attar.batch import Batch
from attar.errors import UsageError
from attar.rng import derive
from attar.training import training_loss
from avalanche.training.plugins import GDumbPlugin, SupervisedPlugin
from torch import Tensor

from attar_continual.budget import Budget
from attar_continual.items import InContext, Rows, dataset_of
from attar_continual.learner import answers, learner_of
from attar_continual.memory import Remembered

__all__ = ["DistilledGDumb", "DistilledReplay", "memory_dataset"]


class DistilledReplay(SupervisedPlugin):
    """Replays distilled samples beside the data of each experience.

    After an experience its classes are distilled; what was distilled before stays as it is. While the
    next one is learned, each step's loss is ``(1 - ratio) · loss + ratio · loss on the memory``. It goes
    with any strategy, with and without task labels::

        strategy = Naive(model=model, optimizer=optimizer, plugins=[DistilledReplay("10/class", "dm")])

    Args:
        memory: How large the memory may be: ``10/class``, ``100`` samples in all, or ``78KB``.
        method: Name of a method or of a selector.
        labels: What is kept as labels: ``hard``, ``soft`` or ``learned``.
        ratio: Weight of the memory in the loss, in (0, 1); by default the share of its samples in those of a
            step, as if all were one batch.
        batch: Distilled samples per step; by default as many as new ones.
        temperature: Divides the logits whose softmax are soft labels.
        seed: Seed of every draw.
        classes: Number of classes at least, where more are to come than a benchmark says.
        start: What the memory holds before the first experience.
        parameterization: How values are stored, as for :func:`attar.distill`.
        dtype: Type that values are stored in: ``float32``, ``float16`` or ``bfloat16``.
        settings: Settings of the method, such as ``steps=200`` or ``model="mlp"``.

    Attributes:
        learner: Distills, and holds the memory.

    Raises:
        UsageError: If something does not fit.
    """

    def __init__(
        self,
        memory: str | Budget = "10/class",
        method: str = "dm",
        *,
        labels: str = "hard",
        ratio: float | None = None,
        batch: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        classes: int = 0,
        start: Artifact | None = None,
        parameterization: str | Mapping[str, Any] | None = None,
        dtype: str = "float32",
        **settings: Any,
    ) -> None:
        super().__init__()
        if ratio is not None and not 0 < ratio < 1:
            raise UsageError(f"ratio={ratio:g} is no share of the loss; choose a number between 0 and 1")
        if batch is not None and batch < 1:
            raise UsageError(f"batch={batch} takes no samples; give at least 1")
        self.learner = learner_of(
            memory, method, labels, seed, classes, start, temperature, parameterization, dtype, settings
        )
        self.ratio, self.batch, self._seed = ratio, batch, seed

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Refuse a memory that is too small, before time is spent on training."""
        self.learner.check_room(strategy.experience)

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Add the loss on the memory."""
        if not self.learner.memory.parts:
            return
        known = self.learner.remembered()
        count = min(self.batch or strategy.train_mb_size, len(known.batch))
        # Drawn from the step's number, so that a checkpoint needs no state of a generator.
        gen = derive(self._seed, "replay", int(strategy.clock.train_iterations))
        rows = torch.randperm(len(known.batch), generator=gen)[:count]
        piece = known.batch.take(rows).to(strategy.device)
        logits = answers(strategy.model, piece, known.tasks[rows].to(strategy.device))
        loss = training_loss(logits, fitted(piece, logits), known.kind)
        ratio = self.ratio or count / (count + len(strategy.mb_y))
        strategy.loss = (1 - ratio) * strategy.loss + ratio * loss

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Distill the experience that was learned."""
        self.learner.learn(strategy.experience, strategy.model)


def fitted(batch: Batch, logits: Tensor) -> Batch:
    """Return a batch whose targets are as wide as a network's answers.

    Raises:
        UsageError: If the network answers with fewer classes.
    """
    if batch.targets is None:
        return batch
    missing = logits.shape[1] - batch.targets.shape[1]
    extra = batch.targets[:, logits.shape[1] :]
    if missing < 0 and bool((extra > 0).any()):
        raise UsageError(
            f"the memory has labels of {batch.targets.shape[1]} classes, but the network answers with "
            f"{logits.shape[1]}; give it as many outputs"
        )
    if missing < 0:
        return Batch(batch.inputs, batch.labels, batch.targets[:, : logits.shape[1]])
    return Batch(batch.inputs, batch.labels, torch.nn.functional.pad(batch.targets, (0, missing)))


class DistilledGDumb(GDumbPlugin):
    """GDumb on distilled memory: at each experience a fresh network learns the memory alone.

    The memory takes in the experience before its network is trained, as GDumb's does; soft labels,
    which a trained network gives, are therefore none of its kinds.

    Args:
        memory: How large the memory may be: ``10/class``, ``100`` samples in all, or ``78KB``.
        method: Name of a method or of a selector.
        labels: What is kept as labels: ``hard`` or ``learned``.
        seed: Seed of every draw.
        classes: Number of classes at least, where more are to come than a benchmark says.
        start: What the memory holds before the first experience.
        parameterization: How values are stored, as for :func:`attar.distill`.
        dtype: Type that values are stored in: ``float32``, ``float16`` or ``bfloat16``.
        settings: Settings of the method.

    Attributes:
        learner: Distills, and holds the memory.

    Raises:
        UsageError: If something does not fit.

    References:
        Prabhu, Torr and Dokania, "GDumb: A Simple Approach that Questions Our Progress in Continual
        Learning", ECCV 2020; with distilled samples: Zhao and Bilen, "Dataset Condensation with
        Distribution Matching", WACV 2023, section 4.3.
    """

    def __init__(
        self,
        memory: str | Budget = "10/class",
        method: str = "dm",
        *,
        labels: str = "hard",
        seed: int = 0,
        classes: int = 0,
        start: Artifact | None = None,
        parameterization: str | Mapping[str, Any] | None = None,
        dtype: str = "float32",
        **settings: Any,
    ) -> None:
        super().__init__()
        if labels == "soft":
            raise UsageError("GDumb trains on its memory alone, before which no network gives soft labels")
        self.learner = learner_of(
            memory, method, labels, seed, classes, start, 1.0, parameterization, dtype, settings
        )

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Distill the experience, and let the network learn the memory instead of it."""
        self.learner.learn(strategy.experience)
        known = self.learner.remembered()
        strategy.adapted_dataset = memory_dataset(known, strategy.model)

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Let labels that were learned take the place of the classes."""
        known = self.learner.remembered()
        if known.kind == "hard":
            return
        rows = strategy.mbatch[2].cpu()
        piece = known.batch.take(rows).to(strategy.device)
        logits = strategy.mb_output
        strategy.loss = training_loss(logits, fitted(piece, logits), known.kind)


class _Whole:
    """Reads samples that are tensors."""

    def __init__(self, inputs: Tensor) -> None:
        self._inputs = inputs

    def __call__(self, rows: Tensor) -> Tensor:
        return self._inputs[rows]


def memory_dataset(known: Remembered, model: Any, *, rows: bool = True) -> Any:
    """Return the samples of a memory as a data set for Avalanche.

    Args:
        known: The samples.
        model: The network that is to take them.
        rows: Whether items are ``(x, y, row, task label)``, or without the row.

    Raises:
        UsageError: If samples are more than tensors, and the network does not know them by number.
    """
    inputs = known.batch.inputs
    if not isinstance(inputs, Tensor):
        if not isinstance(model, InContext):
            raise UsageError(
                "samples that are more than tensors cannot be handed out one by one; wrap the network in "
                "attar_continual.InContext"
            )
        inputs = model.remember(known.batch)
    items = Rows(_Whole(inputs), known.batch.labels)
    further = {"row": range(len(items))} if rows else {}
    return dataset_of(items, items.targets, known.tasks.tolist(), **further)
