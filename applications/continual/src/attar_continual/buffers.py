"""A storage policy of Avalanche that holds distilled samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attar.artifact import Artifact
from attar.errors import UsageError
from avalanche.training.storage_policy import ExemplarsBuffer

from attar_continual.budget import Budget
from attar_continual.learner import learner_of
from attar_continual.plugins import memory_dataset

__all__ = ["DistilledBuffer"]


class DistilledBuffer(ExemplarsBuffer):
    """Distilled samples with hard labels, for whatever takes a storage policy.

    Such as ``ReplayPlugin(mem_size=100, storage_policy=DistilledBuffer(100, "dm"))``.

    Args:
        max_size: Stored samples in all; classes share them.
        method: Name of a method or of a selector.
        class_size: Samples of each class at most, so that early classes do not have more than later ones.
        seed: Seed of every draw.
        classes: Number of classes at least, where more are to come than a benchmark says.
        start: What the memory holds before the first experience.
        parameterization: How values are stored, as for :func:`attar.distill`. Where a stored sample
            decodes to several, the buffer has all of these.
        dtype: Type that values are stored in: ``float32``, ``float16`` or ``bfloat16``.
        settings: Settings of the method.

    Attributes:
        learner: Distills, and holds the memory.

    Raises:
        UsageError: If something does not fit.
    """

    def __init__(
        self,
        max_size: int,
        method: str = "dm",
        *,
        class_size: int | None = None,
        seed: int = 0,
        classes: int = 0,
        start: Artifact | None = None,
        parameterization: str | Mapping[str, Any] | None = None,
        dtype: str = "float32",
        **settings: Any,
    ) -> None:
        super().__init__(max_size)
        if max_size < 1:
            raise UsageError(f"max_size={max_size} holds no samples; give at least 1")
        budget = Budget(total=max_size) if class_size is None else Budget(per_class=class_size)
        self._class_size = class_size
        self.learner = learner_of(
            budget, method, "hard", seed, classes, start, 1.0, parameterization, dtype, settings
        )

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """Take in the experience that a strategy has learned, or is about to learn."""
        # What Avalanche still calls; its own warns of being called.
        self.post_adapt(strategy, strategy.experience)

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Distill an experience.

        Raises:
            UsageError: If the experience has no samples, or the buffer does not hold one of each class.
        """
        self.learner.learn(exp)
        self._check(self.max_size)
        self._fill(agent_state.model)

    def resize(self, strategy: Any, new_size: int) -> None:
        """Hold so many stored samples at most.

        Raises:
            UsageError: If that is fewer than classes.
        """
        self.max_size = new_size
        if self._class_size is None:
            self.learner.resize(Budget(total=new_size))
        self._check(new_size)
        self._fill(strategy.model)

    def _check(self, size: int) -> None:
        memory = self.learner.memory
        if len(memory) > size:
            raise UsageError(
                f"{self._class_size} samples of each of {len(memory.classes)} classes exceed "
                f"max_size={size}; raise it"
            )

    def _fill(self, model: Any) -> None:
        if self.learner.memory.parts:
            self.buffer = memory_dataset(self.learner.remembered(), model, rows=False)
