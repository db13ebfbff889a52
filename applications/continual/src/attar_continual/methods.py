"""What is compared: how networks learn a stream, with which memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from attar.batch import Batch
from attar.contracts import Augment, Task
from attar.rng import derive
from avalanche.training.plugins import GDumbPlugin, ReplayPlugin, SupervisedPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer
from torch import Tensor

from attar_continual.budget import Budget
from attar_continual.buffers import DistilledBuffer
from attar_continual.learner import Learner
from attar_continual.plugins import DistilledGDumb, DistilledReplay
from attar_continual.settings import ContinualRecipe, LearnSettings, MemorySettings

__all__ = ["KNOWN", "Held", "Method", "Setup"]


@dataclass(frozen=True)
class Setup:
    """What a method works with.

    Attributes:
        recipe: The run.
        task: All data.
        budget: How large the memory may be.
        seed: Seed of the stream.
    """

    recipe: ContinualRecipe
    task: Task
    budget: Budget
    seed: int

    @property
    def classes(self) -> int:
        """Number of classes that come."""
        return int((self.task.counts > 0).sum())

    @property
    def samples(self) -> int:
        """Real samples that the memory holds in all, once all classes have come."""
        return self.budget.real_samples(self.task)


class Held(Protocol):
    """Says how large a memory is."""

    def size(self) -> tuple[int, int]:
        """Return its stored samples and their bytes."""


@dataclass(frozen=True)
class Parts:
    """What a strategy is made of.

    Attributes:
        plugins: Plugins of Avalanche.
        learn: How a network learns what it is shown.
        held: Says how large the memory is; None without one.
        learner: What distills; None where nothing does.
    """

    plugins: Sequence[SupervisedPlugin]
    learn: LearnSettings
    held: Held | None = None
    learner: Learner | None = None


class Method(Protocol):
    """Makes the parts of a strategy."""

    def __call__(self, setup: Setup) -> Parts:
        """Return the parts."""


class RealBuffer(ClassBalancedBuffer):
    """Random real samples, evenly over classes, by Avalanche's own policy.

    Args:
        setup: What it works with.
    """

    def __init__(self, setup: Setup) -> None:
        constant = setup.budget.per_class is not None
        # Avalanche's own would give early classes more than they may have in the end.
        super().__init__(
            setup.samples, adaptive_size=not constant, total_num_classes=setup.classes if constant else None
        )
        self._setup = setup

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """Take in an experience; Avalanche's own warns of being called by Avalanche."""
        self.post_adapt(strategy, strategy.experience)

    def size(self) -> tuple[int, int]:
        """Return the samples, and their bytes in the cheapest lossless form."""
        n = len(self.buffer)
        rows = torch.arange(min(256, len(self._setup.task.labels)))
        return n, n * self._setup.task.raw_bytes(rows) // len(rows)


@dataclass(frozen=True)
class _Learned:
    """Says how large the memory of a learner is."""

    learner: Learner
    setup: Setup
    real: bool = False

    def size(self) -> tuple[int, int]:
        memory = self.learner.memory
        if not self.real:
            return len(memory), memory.nbytes
        rows = torch.arange(min(256, len(self.setup.task.labels)))
        return len(memory), len(memory) * self.setup.task.raw_bytes(rows) // len(rows)


class Augmented(SupervisedPlugin):
    """Applies an augmentation to what a network learns, one draw per sample.

    Args:
        augment: The augmentation.
        seed: Seed of the draws.
    """

    def __init__(self, augment: Augment, seed: int) -> None:
        super().__init__()
        self._augment, self._seed = augment, seed

    def before_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Change the samples of the step."""
        inputs: Tensor = strategy.mbatch[0]
        gen = derive(self._seed, "augment", int(strategy.clock.train_iterations))
        batch = Batch(inputs, strategy.mbatch[1])
        drawn = self._augment.draw(len(batch), gen)
        strategy.mbatch[0] = self._augment.apply(batch, drawn, torch.arange(len(batch))).inputs


class Dropped(SupervisedPlugin):
    """Lowers the step size once half of the passes over a memory are over.

    Args:
        settings: How a memory is learned.
    """

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__()
        self._settings = settings

    def before_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Set the step size of the pass."""
        late = strategy.clock.train_exp_epochs >= self._settings.epochs / 2
        for group in strategy.optimizer.param_groups:
            group["lr"] = self._settings.lr * (self._settings.drop if late else 1)


class Joint(SupervisedPlugin):
    """At each experience a fresh network learns all data so far: what no memory can be better than."""

    def __init__(self) -> None:
        super().__init__()
        self._reset = GDumbPlugin(1)
        self._seen: Any = None

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Begin with a fresh network."""
        self._reset.before_train_dataset_adaptation(strategy)

    def after_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Show it all data so far."""
        data = strategy.adapted_dataset
        self._seen = data if self._seen is None else self._seen.concat(data)
        strategy.adapted_dataset = self._seen


def _alone(setup: Setup) -> list[SupervisedPlugin]:
    """Return what training on a memory alone needs beside the memory."""
    chosen, augment = setup.recipe.gdumb, setup.task.augment
    found: list[SupervisedPlugin] = [Dropped(chosen)]
    if chosen.augment and augment is not None:
        found.append(Augmented(augment, setup.seed))
    return found


def _settings(setup: Setup) -> dict[str, Any]:
    recipe = setup.recipe
    settings = {key: value for key, value in recipe.objective.items() if key != "labels"}
    if recipe.model and "model" not in settings:
        settings["model"] = recipe.model
    how = dict(recipe.parameterization)
    if "parameterization" in settings:
        how["name"] = settings.pop("parameterization")
    return {**settings, "parameterization": how, "dtype": recipe.run.dtype}


def _naive(setup: Setup) -> Parts:
    return Parts([], setup.recipe.learn)


def _joint(setup: Setup) -> Parts:
    return Parts([Joint()], setup.recipe.learn)


def _replay(setup: Setup) -> Parts:
    buffer = RealBuffer(setup)
    return Parts([ReplayPlugin(buffer.max_size, storage_policy=buffer)], setup.recipe.learn, buffer)


def _gdumb(setup: Setup) -> Parts:
    buffer = RealBuffer(setup)
    plugin = GDumbPlugin(buffer.max_size)
    plugin.storage_policy = buffer
    return Parts([plugin, *_alone(setup)], setup.recipe.gdumb, buffer)


def _chosen(setup: Setup) -> DistilledBuffer:
    per_class = setup.budget.per_class
    return DistilledBuffer(setup.samples, "herding", class_size=per_class, seed=setup.seed)


def _herding(setup: Setup) -> Parts:
    buffer = _chosen(setup)
    held = _Learned(buffer.learner, setup, real=True)
    return Parts(
        [ReplayPlugin(buffer.max_size, storage_policy=buffer)], setup.recipe.learn, held, buffer.learner
    )


def _herding_gdumb(setup: Setup) -> Parts:
    buffer = _chosen(setup)
    plugin = GDumbPlugin(buffer.max_size)
    plugin.storage_policy = buffer
    held = _Learned(buffer.learner, setup, real=True)
    return Parts([plugin, *_alone(setup)], setup.recipe.gdumb, held, buffer.learner)


def _distilled(setup: Setup) -> Parts:
    recipe = setup.recipe
    plugin = DistilledReplay(
        setup.budget,
        recipe.distiller,
        labels=recipe.labels,
        ratio=recipe.ratio,
        seed=setup.seed,
        **_settings(setup),
    )
    return Parts([plugin], recipe.learn, _Learned(plugin.learner, setup), plugin.learner)


def _distilled_gdumb(setup: Setup) -> Parts:
    recipe = setup.recipe
    labels = "hard" if recipe.labels == "soft" else recipe.labels
    plugin = DistilledGDumb(
        setup.budget, recipe.distiller, labels=labels, seed=setup.seed, **_settings(setup)
    )
    held = _Learned(plugin.learner, setup)
    return Parts([plugin, *_alone(setup)], recipe.gdumb, held, plugin.learner)


KNOWN: Mapping[str, Method] = {
    "naive": _naive,
    "replay": _replay,
    "herding": _herding,
    "gdumb": _gdumb,
    "herding-gdumb": _herding_gdumb,
    "distilled": _distilled,
    "distilled-gdumb": _distilled_gdumb,
    "joint": _joint,
}
"""The methods by name, as :data:`attar_continual.names.METHODS` has them."""
