"""From the data of an experience to what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from attar.contracts import SyntheticSet, Task
from attar.cost import Cost
from attar.errors import UsageError
from attar.recipe import Recipe, resolve
from attar.registry import Registry
from attar.rng import derive
from attar.runs import RunSettings, distill_recipe
from attar.settings import parse, unknown
from attar.sizing import start

__all__ = ["LABELS", "Distiller", "Labels"]

Labels: TypeAlias = Literal["hard", "soft", "learned"]
"""What a memory keeps as labels.

``hard``: the class. ``soft``: the probabilities that the network gave once it had learned the
experience. ``learned``: what the method learned.
"""

LABELS: tuple[Labels, ...] = ("hard", "soft", "learned")


@dataclass(frozen=True)
class Distiller:
    """Distills the data of experiences, or selects from them.

    Attributes:
        method: Name of a method or of a selector.
        settings: Its settings.
        parameterization: Settings of the parameterization that `settings` may name.
        labels: What is kept as labels.
        seed: Seed of every draw.
        dtype: Type that values are stored in: ``float32``, ``float16`` or ``bfloat16``.
        registry: The plugins known.
    """

    method: str = "dm"
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameterization: Mapping[str, Any] = field(default_factory=dict)
    labels: Labels = "hard"
    seed: int = 0
    dtype: str = "float32"
    registry: Registry = field(default_factory=Registry, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise UsageError(unknown("labels", self.labels, LABELS))
        objectives, selectors = self.registry.names("objectives"), self.registry.names("selectors")
        if self.method not in (*objectives, *selectors):
            raise UsageError(unknown("method", self.method, [*objectives, *selectors]))
        if self.method in selectors and self.labels == "learned":
            raise UsageError(
                f"{self.method!r} selects real samples, whose labels are not learned; choose hard"
            )

    def objective(self) -> dict[str, Any]:
        """Return the method's settings with the kind of labels that is to be kept.

        Raises:
            UsageError: If the method cannot make such labels, or the settings ask for others.
        """
        if self.method in self.registry.names("selectors"):
            return dict(self.settings)
        kinds = self.registry.get("objectives", self.method).label_kinds
        fit = [kind for kind in kinds if (kind == "hard") != (self.labels == "learned")]
        asked = self.settings.get("labels")
        if not fit or (asked is not None and asked not in fit):
            raise UsageError(
                f"the method {self.method!r} makes {' and '.join(kinds)} labels, which does not go with "
                f"labels={self.labels}{'' if asked is None else f' and objective.labels={asked}'}"
            )
        return {**self.settings, "labels": asked or fit[0]}

    def __call__(
        self, task: Task, number: int, samples: int | None, size: int | None
    ) -> tuple[SyntheticSet, Cost]:
        """Distill the training data of a task.

        Args:
            task: The data of an experience.
            number: Which experience, from 0.
            samples: Stored samples per class, or None.
            size: Bytes in all, or None.

        Returns:
            The set as it is stored, with hard labels unless they are learned, and what it cost.

        Raises:
            UsageError: If something does not fit.
        """
        resolved = resolve(self.recipe(task, number, samples, size), self.registry)
        artifact = distill_recipe(task, resolved, RunSettings(), self.registry)
        return artifact.syn, artifact.manifest.cost

    def check_room(self, task: Task, size: int | None) -> None:
        """Refuse, before anything is learned, bytes that do not hold one sample of each class of a task.

        Args:
            task: The data.
            size: Bytes in all, or None where samples are counted.

        Raises:
            UsageError: If they do not.
        """
        if size is None:
            return
        syn, per_class = start(task, resolve(self.recipe(task, 0, 1, None), self.registry), self.registry)
        if syn.nbytes() > size:
            raise UsageError(
                f"a memory of {size} bytes cannot hold one sample of each of {sum(n > 0 for n in per_class)} "
                f"classes, which take {syn.nbytes()}; make it larger"
            )

    def recipe(self, task: Task, number: int, samples: int | None, size: int | None) -> Recipe:
        """Return how an experience is distilled; see :meth:`__call__`."""
        return parse(
            Recipe,
            {
                "data": {"modality": task.modality, "name": task.name, "options": dict(task.options)},
                "size": {"ipc": samples, "bytes": size, "policy": "cap"},
                "method": self.method,
                "objective": self.objective(),
                "parameterization": dict(self.parameterization),
                "run": {"seed": self.seed_of(number), "dtype": self.dtype},
            },
            "",
        )

    def seed_of(self, number: int) -> int:
        """Return the seed of an experience."""
        return int(torch.randint(2**31, (1,), generator=derive(self.seed, "continual", number)))

    def softened(
        self, syn: SyntheticSet, logits: torch.Tensor, classes: int, temperature: float
    ) -> SyntheticSet:
        """Return a set with the probabilities of a network as labels.

        Args:
            syn: The set.
            logits: What the network answered, ``(m, c)``.
            classes: Number of classes; more than `c` where the network knows fewer as yet.
            temperature: Divides the logits.
        """
        probabilities = (logits.detach().cpu() / temperature).softmax(1)
        missing = classes - probabilities.shape[1]
        return syn.softened(
            torch.nn.functional.pad(probabilities, (0, missing)) if missing > 0 else probabilities
        )


def as_labels(text: str) -> Labels:
    """Return the kind of labels of a name.

    Raises:
        UsageError: If there is none.
    """
    if text not in LABELS:
        raise UsageError(unknown("labels", text, LABELS))
    return text
