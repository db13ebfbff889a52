"""The networks of an evaluation: independent jobs whose results are kept by content."""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from attar.architectures import code_of
from attar.batch import Batch
from attar.cache import Store, cache_root
from attar.contracts import LabelKind, Task
from attar.cost import Meter
from attar.differences import packed, unpacked
from attar.errors import UsageError
from attar.jobs import Workers, default_workers, in_others, results
from attar.progress import progress, silent
from attar.protocols import Protocol, protocol
from attar.registry import Registry
from attar.rng import derive
from attar.settings import unknown
from attar.training import BatchEpochs, Epochs, TrainEpochs, accuracy, answers, confusion, fit

__all__ = [
    "BASELINES",
    "EvaluationSettings",
    "Evaluator",
    "Job",
    "NetworkResult",
    "Rows",
    "baselines_of",
    "right_of",
    "train_and_test",
]

# What a stored result holds; another number leaves older ones aside.
_FORM = 3
_MOST_CLASSES = 128

BASELINES = ("whole", "random", "herding", "k-center", "k-means", "means")
"""The baselines of every report; ``means`` where samples can be averaged."""


def baselines_of(asked: str | Sequence[str], task: Task) -> tuple[str, ...]:
    """Return the names of baselines that were asked for.

    Args:
        asked: ``all`` that suit the data, ``none``, or names, as a sequence or with commas.
        task: The real data.

    Raises:
        UsageError: If a name is unknown, or means are asked for of samples that have none.
    """
    if isinstance(asked, str):
        names = [name.strip() for name in asked.split(",") if name.strip()]
    else:
        names = list(asked)
    if names == ["none"]:
        return ()
    if names == ["all"]:
        return tuple(name for name in BASELINES if name != "means" or task.averages)
    for name in names:
        if name not in BASELINES:
            raise UsageError(unknown("baseline", name, ["all", "none", *BASELINES]))
    if "means" in names and not task.averages:
        raise UsageError(f"samples of {task.name!r} cannot be averaged; leave the baseline 'means' out")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How an evaluation is carried out.

    Attributes:
        protocol: How networks are trained; None takes what suits the data.
        baselines: Names out of :data:`BASELINES`, ``all`` that suit the data, or ``none``.
        model: Architecture, or "" for the one that the sets were distilled on.
        architectures: Further architectures that the sets are evaluated with.
        equal_bytes: Whether random real samples of as many bytes are evaluated too.
        seed: Seed of the networks.
        workers: Processes of this machine, or a cluster; each piece of work has one thread.
        cache: Folder of cached results, or None for the usual one.
        show: Whether cost, progress and each figure as it is found are shown on standard error.
    """

    protocol: Protocol | None = None
    baselines: str | Sequence[str] = "all"
    model: str = ""
    architectures: Sequence[str] = ()
    equal_bytes: bool = False
    seed: int = 0
    workers: Workers = field(default_factory=default_workers)
    cache: Path | None = None
    show: bool = False


@dataclass(frozen=True)
class Job:
    """One network to train and test.

    Attributes:
        row: Row of the report that it belongs to.
        task: The real data.
        samples: What it is trained on; None for the whole training data.
        label_kind: What the targets of the samples are.
        arch: Architecture.
        protocol: How it is trained.
        seed: Seed of the evaluation.
        network: Number of the network.
        key: What its result is kept under, or None.
        cache: Folder that it is kept in.
    """

    row: tuple[str, ...]
    task: Task
    samples: Batch | None
    label_kind: LabelKind
    arch: str
    protocol: Protocol
    seed: int
    network: int
    key: Mapping[str, Any] | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class NetworkResult:
    """A trained and tested network.

    Attributes:
        test: Test accuracy in percent.
        validation: Accuracy on held-out training data, or None.
        cpu: CPU seconds.
        wall: Wall seconds.
        epochs: Passes made.
        loss: Mean training loss of the last pass, or None if it was not finite.
        recalls: Accuracy on each class of the test data in percent, None where there is none.
        confusion: Counts of test samples by true class and answer, None for very many classes.
        right: Which test samples were answered rightly; see :func:`attar.differences.unpacked`.
    """

    test: float
    validation: float | None
    cpu: float
    wall: float
    epochs: int
    loss: float | None
    recalls: list[float | None]
    confusion: list[list[int]] | None
    right: str

    @property
    def balanced(self) -> float:
        """Mean accuracy over the classes of the test data, in percent."""
        known = [recall for recall in self.recalls if recall is not None]
        return sum(known) / len(known)


Rows: TypeAlias = dict[tuple[str, ...], list[NetworkResult]]
"""Results by row of a report, each in the order of its networks."""


def right_of(sets: Sequence[Sequence[NetworkResult]]) -> Tensor:
    """Return how often the runs of a row answer rightly, 0 to 1, float32 ``(runs, test samples)``.

    A run is a set with all its networks; where there is one set, it is a network.
    """
    found = [torch.stack([unpacked(result.right) for result in own]).to(torch.float32) for own in sets]
    return found[0] if len(found) == 1 else torch.stack([own.mean(0) for own in found])


def train_and_test(job: Job) -> dict[str, Any]:
    """Return the :class:`NetworkResult` of a job as JSON values, training only if it is not known.

    The worker itself keeps the result, under a file lock: nothing is lost when the process
    that waits for it ends, and two evaluations never train the same network twice.
    """
    if job.key is None or job.cache is None:
        return _train_and_test(job)
    if job.key.get("code", "") != code_of(job.arch, job.task.architectures):
        # The code was changed since the key was made.
        return _train_and_test(job)
    found: dict[str, Any] = Store(job.cache).compute(job.key, lambda: _train_and_test(job))
    return found


def _train_and_test(job: Job) -> dict[str, Any]:
    meter = Meter()
    epochs: Epochs = (
        TrainEpochs(job.task) if job.samples is None else BatchEpochs(job.samples, job.label_kind)
    )
    model = job.task.build(job.arch, derive(job.seed, "evaluate", "network", job.network))
    held = job.task.size("validation") > 0

    def score(trained: torch.nn.Module) -> float:
        return accuracy(trained, job.task, "validation")

    fitted = fit(
        model,
        epochs,
        job.protocol,
        derive(job.seed, "evaluate", "fit", job.network),
        job.task.augment,
        score=score if held else None,
    )
    validation = score(model) if held else None
    labels, answered = answers(model, job.task, "test")
    counts = confusion(labels, answered, len(job.task.classes))
    cost = meter.read()
    return {
        "test": 100.0 * int(counts.diagonal().sum()) / int(counts.sum()),
        "recalls": [
            100.0 * right / n if n else None
            for right, n in zip(counts.diagonal().tolist(), counts.sum(1).tolist(), strict=True)
        ],
        "confusion": counts.tolist() if len(counts) <= _MOST_CLASSES else None,
        "right": packed(labels == answered),
        "validation": validation,
        "cpu": cost.cpu,
        "wall": cost.wall,
        "epochs": fitted.epochs,
        # A diverged network is counted with its accuracy; its loss is no JSON number.
        "loss": fitted.loss if fitted.loss == fitted.loss and abs(fitted.loss) != float("inf") else None,
    }


def alike(jobs: Sequence[Job], places: Iterable[int]) -> list[list[int]]:
    """Return the places of jobs in groups that one network serves, since their keys are equal.

    With one sample per class, several rules choose the very same.
    """
    groups: dict[str, list[int]] = {}
    for place in places:
        key = jobs[place].key
        groups.setdefault(str(place) if key is None else json.dumps(key, sort_keys=True), []).append(place)
    return list(groups.values())


class Evaluator:
    """Collects jobs, looks up those whose results are known, runs the rest.

    Attributes:
        task: The real data.
        settings: How networks are evaluated.
        protocol: How they are trained.
        root: The cache.
        store: Results in it.
        cpu: CPU seconds of networks that were trained in other processes.
    """

    def __init__(self, task: Task, settings: EvaluationSettings, registry: Registry) -> None:
        self.task, self.settings, self.registry = task, settings, registry
        self.protocol = settings.protocol or protocol("", known=task.protocols)
        self.root = settings.cache or cache_root()
        self.store = Store(self.root / "evaluations")
        self.cpu = 0.0
        self._once = secrets.token_hex(8)

    def key(self, **more: Any) -> dict[str, Any]:
        """Return what a cached result depends on."""
        return {
            "train": self.task.fingerprint,
            "test": self.task.test_fingerprint,
            "protocol": self.protocol.model_dump(mode="json"),
            # Augmentations are values: what they are shows in their repr.
            "augment": repr(self.task.augment),
            "seed": self.settings.seed,
            "attar": version("attar-core"),
            "torch": torch.__version__,
            "form": _FORM,
            **more,
        }

    def code(self, arch: str) -> dict[str, str]:
        """Return what a result depends on beside the text of an architecture: code, by its content.

        Code that cannot be read gets a mark that never comes again.
        """
        found = code_of(arch, self.task.architectures)
        return {"code": self._once if found is None else found} if found != "" else {}

    def jobs(
        self,
        row: tuple[str, ...],
        samples: Batch | None,
        arch: str,
        networks: int | range,
        *,
        label_kind: LabelKind = "hard",
        key: Mapping[str, Any] | None = None,
    ) -> list[Job]:
        """Return one job per network, of a number or of these numbers; a key makes their results cached."""
        code = self.code(arch)
        if code.get("code") == self._once:
            key = None
        return [
            Job(
                row=row,
                task=self.task,
                samples=samples,
                label_kind=label_kind,
                arch=arch,
                protocol=self.protocol,
                seed=self.settings.seed,
                network=network,
                key=None if key is None else self.key(arch=arch, network=network, **code, **key),
                cache=self.root / "evaluations",
            )
            for network in (range(networks) if isinstance(networks, int) else networks)
        ]

    def keep(self, job: Job, result: Mapping[str, Any]) -> None:
        """Keep a result of a worker that keeps its own where this process does not look."""
        if job.key is not None and self.store.get(job.key) is None:
            self.store.put(job.key, dict(result))

    def known(self, job: Job) -> dict[str, Any] | None:
        """Return the result of a job if it is kept."""
        found: dict[str, Any] | None = None if job.key is None else self.store.get(job.key)
        return found

    def run(
        self,
        jobs: Sequence[Job],
        doing: str = "training networks",
        finished: Callable[[tuple[str, ...], list[NetworkResult]], None] | None = None,
    ) -> Rows:
        """Return the results of all jobs by row, in the order of the jobs.

        Args:
            jobs: The networks.
            doing: What is being done, for people.
            finished: Called with each row of which all networks are there.
        """
        found = {index: known for index, job in enumerate(jobs) if (known := self.known(job)) is not None}
        waiting = [index for index in range(len(jobs)) if index not in found]
        places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, job in enumerate(jobs):
            places[job.row].append(index)
        told: set[tuple[str, ...]] = set()

        def tell() -> None:
            for row, own in places.items():
                if finished is not None and row not in told and all(index in found for index in own):
                    told.add(row)
                    finished(row, [NetworkResult(**found[index]) for index in own])

        shown = progress if self.settings.show and waiting else silent
        groups = alike(jobs, waiting)
        tell()
        with shown(len(groups), f"{doing} on {self.task.name}") as advance:
            todo = [jobs[group[0]] for group in groups]
            elsewhere = in_others(len(todo), self.settings.workers)
            for done, (place, result) in enumerate(
                results(train_and_test, todo, self.settings.workers), start=1
            ):
                found |= dict.fromkeys(groups[place], result)
                if elsewhere:
                    self.cpu += result["cpu"]
                    self.keep(todo[place], result)
                tell()
                advance(done, " ".join(todo[place].row))
        return {row: [NetworkResult(**found[index]) for index in own] for row, own in places.items()}
