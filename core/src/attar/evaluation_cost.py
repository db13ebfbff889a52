"""What an evaluation will take, from a few steps of its networks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import torch

from attar.batch import Batch
from attar.contracts import LabelKind, Task
from attar.cost import Meter
from attar.evaluation_jobs import Evaluator, Job, alike
from attar.protocols import FEATURE_TRAINING, Protocol
from attar.quantities import duration
from attar.rng import derive
from attar.settings import Record
from attar.solved import Solvable
from attar.training import BatchEpochs, Epochs, TrainEpochs, fit

__all__ = ["EvaluationCost", "cost_of_jobs"]

_MOST_STEPS, _SECONDS = 20, 0.5
"""Steps that are tried, and wall seconds that they may take beyond the first two."""


class EvaluationCost(Record):
    """Networks that an evaluation trains, and what they take at most on this machine.

    Attributes:
        data: Name of the data.
        architecture: Architecture of the set and its baselines.
        protocol: Name of the protocol.
        networks: Networks by what they are trained on, those that are known already included.
        known: How many of them need no training, since their results are kept.
        processes: Processes that train side by side; None where a cluster does.
        cpu_seconds: CPU seconds of all that are to be trained. A plateau of the loss ends some sooner.
        wall_seconds: Wall seconds in these processes; None where a cluster trains.
    """

    data: str
    architecture: str
    protocol: str
    networks: Mapping[str, int]
    known: int
    processes: int | None
    cpu_seconds: float
    wall_seconds: float | None

    def __str__(self) -> str:
        total, parts = (
            sum(self.networks.values()),
            ", ".join(f"{n} {name}" for name, n in self.networks.items()),
        )
        if self.known >= total:
            return f"{total} networks ({parts}), all known already"
        known = f", {self.known} known already" if self.known else ""
        told = f"{total} networks ({parts}{known}): at most {duration(self.cpu_seconds)} of CPU"
        if self.wall_seconds is None or self.processes is None:
            return told
        return (
            f"{told}, {duration(self.wall_seconds)} in {self.processes} process{'es' * (self.processes > 1)}"
        )


def _steps(protocol: Protocol, samples: int) -> int:
    total = protocol.epochs * math.ceil(samples / protocol.batch)
    return total if protocol.steps is None else min(total, protocol.steps)


def _network_seconds(task: Task, epochs: Epochs, arch: str, protocol: Protocol) -> float:
    """Return CPU seconds of a network that is trained as long as it may be and then tested."""
    model = task.build(arch, derive(0, "cost", "network"))

    def trained(steps: int) -> float:
        brief = protocol.model_copy(
            update={"steps": steps, "epochs": steps, "plateau": None, "select": "last"}
        )
        meter = Meter()
        fit(model, epochs, brief, derive(0, "cost", "fit"), task.augment)
        return meter.read().cpu

    start = time.perf_counter()
    first = trained(1)
    if isinstance(model, Solvable):
        return first + _testing(task, model)
    each = max(time.perf_counter() - start, 1e-6)
    tried = max(2, min(_MOST_STEPS, round(_SECONDS / each)))
    return trained(tried) / tried * _steps(protocol, len(epochs)) + _testing(task, model)


def _testing(task: Task, model: torch.nn.Module) -> float:
    """Return CPU seconds of all answers to validation and test data, from one batch."""
    batch = next(iter(task.epoch("test", 256)))
    meter = Meter()
    with torch.no_grad():
        model.eval()(batch.inputs)
    asked = task.size("test") + task.size("validation")
    return meter.read().cpu * math.ceil(asked / max(1, len(batch)))


def cost_of_jobs(
    evaluator: Evaluator,
    arch: str,
    jobs: Iterable[tuple[str, Sequence[Job]]],
    sample: tuple[Batch, LabelKind],
    *,
    rules: int,
    spaces: Sequence[str],
) -> EvaluationCost:
    """Return what networks will take, after a few steps of each kind in this process.

    Args:
        evaluator: The evaluation.
        arch: Architecture of the set.
        jobs: Networks that are certain, by what they are trained on.
        sample: The samples of a set and the kind of its labels, whose training stands for that of
            coresets too.
        rules: How many rules choose coresets.
        spaces: The feature spaces that they try.
    """
    task, protocol = evaluator.task, evaluator.protocol
    networks: dict[str, int] = {}
    cpu = 0.0
    known = 0
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        set_seconds = _network_seconds(task, BatchEpochs(*sample), arch, protocol)
        for name, own in jobs:
            networks[name] = len(own)
            waiting = [place for place, job in enumerate(own) if evaluator.known(job) is None]
            todo = [own[group[0]] for group in alike(own, waiting)]
            known += len(own) - len(waiting)
            cpu += _seconds_of(todo, arch, set_seconds, evaluator)
        if rules:
            networks["coresets"] = rules * (len(spaces) + protocol.networks - 1)
            cpu += networks["coresets"] * set_seconds
            if "trained" in spaces:
                features = FEATURE_TRAINING.model_copy(update={"optimizer": protocol.optimizer})
                cpu += _network_seconds(task, TrainEpochs(task), arch, features)
    finally:
        torch.set_num_threads(before)
    workers = evaluator.settings.workers
    processes = min(workers, sum(networks.values())) if isinstance(workers, int) else None
    return EvaluationCost(
        data=task.name,
        architecture=arch,
        protocol=protocol.name,
        networks={name: n for name, n in networks.items() if n},
        known=known,
        processes=processes,
        cpu_seconds=round(cpu, 1),
        wall_seconds=None if processes is None else round(cpu / processes, 1),
    )


def _seconds_of(jobs: Sequence[Job], arch: str, set_seconds: float, evaluator: Evaluator) -> float:
    """Return CPU seconds of jobs, trying each architecture and the whole data once."""
    task, seconds = evaluator.task, {("set", arch): set_seconds}
    total = 0.0
    for job in jobs:
        kind = ("whole" if job.samples is None else "set", job.arch)
        if kind not in seconds:
            epochs: Epochs = (
                TrainEpochs(task) if job.samples is None else BatchEpochs(job.samples, job.label_kind)
            )
            seconds[kind] = _network_seconds(task, epochs, job.arch, evaluator.protocol)
        total += seconds[kind]
    return total
