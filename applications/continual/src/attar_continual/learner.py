"""What experiences leave behind: distilled one after another into a memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attar.artifact import Artifact, DataRecord, Environment, MethodRecord, data_record
from attar.artifact.build import artifact_of
from attar.batch import Batch
from attar.contracts import SyntheticSet, Task
from attar.cost import Cost
from attar.errors import UsageError
from attar.registry import Registry
from avalanche.models.utils import avalanche_forward
from torch import Tensor

from attar_continual.budget import Budget
from attar_continual.distiller import Distiller, as_labels
from attar_continual.given import modality_of, task_of
from attar_continual.memory import Memory, Part, Remembered
from attar_continual.streams import TASK

__all__ = ["Learner", "answers", "learner_of"]


class Learner:
    """Distills experience after experience into a memory.

    Args:
        budget: How large the memory may be, such as ``10/class``, ``100`` or ``78KB``.
        distiller: What distills.
        classes: Number of classes at least, where more are to come than a benchmark says.
        start: What the memory holds before the first experience.
        temperature: Divides the logits whose softmax are soft labels.

    Attributes:
        memory: The memory.
        costs: What distilling took, experience by experience.
    """

    def __init__(
        self,
        budget: str | Budget,
        distiller: Distiller,
        *,
        classes: int = 0,
        start: Artifact | None = None,
        temperature: float = 1.0,
    ) -> None:
        if not temperature > 0:
            raise UsageError(f"temperature={temperature:g} makes no probabilities; give a positive number")
        distiller.objective()
        self.memory = Memory(Budget.of(budget))
        self.distiller, self.classes, self.temperature = distiller, classes, temperature
        self.costs: list[Cost] = []
        self._feature: tuple[int, ...] | None = None
        self._known: Remembered | None = None
        self._about: Task | None = None
        self._started: DataRecord | None = None
        if start is not None:
            self._begin(start)

    def _begin(self, start: Artifact) -> None:
        data = self._started = start.manifest.data
        self._feature = tuple(data.feature)
        seen = {label: max(1, n) for label, n in enumerate(data.counts)}
        present = {label: seen.get(label, 1) for label in start.syn.labels.unique().tolist()}
        self.memory.add(Part(start.syn, present), data.modality)

    def check_room(self, experience: Any) -> None:
        """Refuse, before the first experience is learned, a budget of bytes too small for its classes.

        Raises:
            UsageError: If it does not hold one sample of each.
        """
        if self.memory.budget.bytes is not None and self._feature is None:
            task = task_of(experience, self.classes)
            present = task.counts.nonzero()[:, 0].tolist()
            if present:
                self.distiller.check_room(task, self.memory.room(present)[1])

    def learn(self, experience: Any, model: Any = None) -> None:
        """Distill an experience and take it into the memory.

        Args:
            experience: An experience of Avalanche.
            model: The network that has learned it, for soft labels.

        Raises:
            UsageError: If the experience has no samples, or samples of another shape than those before.
        """
        begun, used = time.perf_counter(), time.process_time()
        number = experience.current_experience
        task = task_of(experience, self.classes)
        if self._started is not None and hasattr(experience, TASK):
            _check_start(self._started, task)
        present = {label: n for label, n in enumerate(task.counts.tolist()) if n}
        if not present:
            raise UsageError(f"experience {number} has no samples; leave it out of the stream")
        if self._feature is not None and tuple(task.feature) != self._feature:
            raise UsageError(
                f"samples of experience {number} have shape {tuple(task.feature)}, those before "
                f"{self._feature}; bring all to one shape"
            )
        samples, size = self.memory.room(list(present))
        syn, _ = self.distiller(task, number, samples, size)
        label = _task_label(experience)
        if self.distiller.labels == "soft":
            syn = self._softened(syn, model, label, len(task.classes))
        self.memory.add(Part(syn, present, label), task.modality)
        self._feature, self._about, self._known = tuple(task.feature), task, None
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
        self.costs.append(Cost(cpu=round(cpu, 3), wall=round(wall, 3)))

    def _softened(self, syn: SyntheticSet, model: Any, label: int, classes: int) -> SyntheticSet:
        batch = syn.decode().constant()
        was = model.training
        model.eval()
        device = next(model.parameters()).device
        with torch.no_grad():
            logits = answers(model, batch.to(device), torch.full((len(batch),), label, device=device))
        model.train(was)
        return self.distiller.softened(syn, logits, classes, self.temperature)

    def resize(self, budget: Budget) -> None:
        """Hold what another budget allows.

        Raises:
            UsageError: If it does not hold one sample of each class.
        """
        self.memory, self._known = self.memory.within(budget), None

    def remembered(self) -> Remembered:
        """Return the samples of the memory; decoded once after each experience."""
        if self._known is None:
            self._known = self.memory.remembered()
        return self._known

    def artifact(self) -> Artifact:
        """Return the memory as an artifact, a union of what was distilled.

        Raises:
            UsageError: If nothing was learned yet.
        """
        if self._about is None:
            raise UsageError("the memory can be saved after its first experience")
        task, distiller = self._about, self.distiller
        counts = [0] * len(task.classes)
        for part in self.memory.parts:
            for label, n in part.seen.items():
                counts[label] += n
        record = data_record(task, dict(task.options)).model_copy(update={"counts": tuple(counts)})
        return artifact_of(
            record,
            modality_of(task, distiller.registry),
            self.memory.union(),
            kind="selected" if distiller.method in distiller.registry.names("selectors") else "distilled",
            method=MethodRecord(
                name=distiller.method,
                reference="",
                settings={**distiller.objective(), "continual": {"memory": str(self.memory.budget)}},
            ),
            seed=distiller.seed,
            cost=Cost(
                cpu=round(sum(each.cpu for each in self.costs), 2),
                wall=round(sum(each.wall for each in self.costs), 2),
            ),
            environment=Environment.current(),
            protocol=next(iter(task.protocols.values())),
        )

    def save(self, folder: str | Path) -> None:
        """Write the memory as an artifact that :func:`attar.load` reads; see :meth:`artifact`."""
        self.artifact().save(folder)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a checkpoint of Avalanche keeps: no data of experiences, no plugins."""
        state = dict(vars(self))
        own = self.distiller
        state["distiller"] = {
            "method": own.method,
            "settings": dict(own.settings),
            "parameterization": dict(own.parameterization),
            "labels": own.labels,
            "seed": own.seed,
            "dtype": own.dtype,
        }
        state["_about"] = state["_known"] = None
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`__getstate__` returned."""
        vars(self).update(state)
        self.distiller = Distiller(**state["distiller"], registry=Registry())


def _check_start(start: DataRecord, task: Task) -> None:
    """Refuse a memory that means something else by its numbers than a stream does.

    Raises:
        UsageError: If classes or preprocessing differ.
    """
    if tuple(start.classes) != tuple(task.classes):
        named = ", ".join([*start.classes[:5], *(["…"] if len(start.classes) > 5 else [])])
        order = " in this order" if sorted(start.classes) == sorted(task.classes) else ""
        raise UsageError(
            f"the memory is of the classes {named}, which are not those of {task.name!r}{order}; start with "
            f"one of the same classes"
        )
    if dict(start.preprocessing) != dict(task.preprocessing):
        raise UsageError(
            f"the memory was made with another preprocessing than {task.name!r} has; start with one of the "
            f"same data"
        )


def _task_label(experience: Any) -> int:
    labels = getattr(experience, "task_labels", None)
    return int(labels[0]) if labels else 0


def answers(model: Any, batch: Batch, tasks: Tensor) -> Tensor:
    """Return a network's answers; it is told the task labels if it takes them."""
    found: Tensor = avalanche_forward(model, batch.inputs, tasks)
    return found


def learner_of(
    memory: str | Budget,
    method: str,
    labels: str,
    seed: int,
    classes: int,
    start: Artifact | None,
    temperature: float,
    parameterization: str | Mapping[str, Any] | None,
    dtype: str,
    settings: Mapping[str, Any],
) -> Learner:
    """Return the learner of a plugin's arguments; those of the method are named as for ``attar.distill``."""
    how = {"name": parameterization} if isinstance(parameterization, str) else dict(parameterization or {})
    named = {"parameterization": how.pop("name")} if "name" in how else {}
    distiller = Distiller(method, {**settings, **named}, how, as_labels(labels), seed, dtype)
    return Learner(memory, distiller, classes=classes, start=start, temperature=temperature)
