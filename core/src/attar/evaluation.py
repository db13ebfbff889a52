"""Evaluation: fresh networks trained on a set and tested once, beside their baselines."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.artifact import Artifact
from attar.batch import Batch
from attar.cache import Store, cache_root
from attar.contracts import LabelKind, SetSpec, Task
from attar.cost import Cost, Meter
from attar.errors import UsageError
from attar.jobs import default_workers, in_processes
from attar.plugins import Modality
from attar.progress import progress, silent
from attar.protocols import CPU_1, Protocol
from attar.registry import Registry
from attar.reports import BaselineDetail, EqualBytes, Report, Score, Seconds
from attar.rng import derive
from attar.selectors import FEATURE_SPACES, feature_model, select
from attar.settings import unknown
from attar.training import BatchEpochs, Epochs, TrainEpochs, accuracy, fit

__all__ = ["BASELINES", "EvaluationSettings", "evaluate_sets"]

logger = logging.getLogger(__name__)

BASELINES = ("whole", "random", "herding", "k-center", "k-means")
"""The baselines of every report."""

_RANDOM_DRAWS = 5


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How an evaluation is carried out.

    Attributes:
        protocol: How networks are trained.
        baselines: Names out of :data:`BASELINES`.
        model: Architecture, or "" for the one that the sets were distilled on.
        architectures: Further architectures that the sets are evaluated with.
        equal_bytes: Whether random real samples of as many bytes are evaluated too.
        seed: Seed of the networks.
        workers: Processes, of one thread each.
        cache: Folder of cached results, or None for the usual one.
        show: Whether progress is shown on standard error.
    """

    protocol: Protocol = CPU_1
    baselines: Sequence[str] = BASELINES
    model: str = ""
    architectures: Sequence[str] = ()
    equal_bytes: bool = False
    seed: int = 0
    workers: int = field(default_factory=default_workers)
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
        key: What its result is cached under, or None.
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


@dataclass(frozen=True)
class NetworkResult:
    """A trained and tested network."""

    test: float
    validation: float | None
    cpu: float
    wall: float
    epochs: int
    loss: float


def train_and_test(job: Job) -> dict[str, Any]:
    """Train the network of a job and return its :class:`NetworkResult` as JSON values."""
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
    test = accuracy(model, job.task, "test")
    cost = meter.read()
    return {
        "test": test,
        "validation": validation,
        "cpu": cost.cpu,
        "wall": cost.wall,
        "epochs": fitted.epochs,
        # A diverged network is counted with its accuracy; its loss is no JSON number.
        "loss": fitted.loss if fitted.loss == fitted.loss and abs(fitted.loss) != float("inf") else None,
    }


class _Evaluator:
    """Collects jobs, looks up those whose results are known, runs the rest."""

    def __init__(self, task: Task, settings: EvaluationSettings, registry: Registry) -> None:
        self.task, self.settings, self.registry = task, settings, registry
        self.store = Store((settings.cache or cache_root()) / "evaluations")
        self.cpu = 0.0

    def key(self, **more: Any) -> dict[str, Any]:
        """Return what a cached result depends on."""
        return {
            "train": self.task.fingerprint,
            "test": self.task.test_fingerprint,
            "protocol": self.settings.protocol.model_dump(mode="json"),
            "seed": self.settings.seed,
            "attar": version("attar-core"),
            "torch": torch.__version__,
            **more,
        }

    def jobs(
        self,
        row: tuple[str, ...],
        samples: Batch | None,
        arch: str,
        networks: int,
        *,
        label_kind: LabelKind = "hard",
        key: Mapping[str, Any] | None = None,
    ) -> list[Job]:
        """Return one job per network; a key makes their results cached."""
        return [
            Job(
                row=row,
                task=self.task,
                samples=samples,
                label_kind=label_kind,
                arch=arch,
                protocol=self.settings.protocol,
                seed=self.settings.seed,
                network=network,
                key=None if key is None else self.key(arch=arch, network=network, **key),
            )
            for network in range(networks)
        ]

    def run(self, jobs: Sequence[Job]) -> dict[tuple[str, ...], list[NetworkResult]]:
        """Return the results of all jobs by row, in the order of the jobs."""
        results: dict[int, dict[str, Any]] = {}
        waiting = []
        for index, job in enumerate(jobs):
            known = None if job.key is None else self.store.get(job.key)
            if known is None:
                waiting.append(index)
            else:
                results[index] = known
        shown = progress if self.settings.show else silent
        with shown(len(waiting), f"training networks on {self.task.name}") as advance:
            todo = [replace(jobs[index], key=None) for index in waiting]
            finished = in_processes(train_and_test, todo, self.settings.workers) if todo else iter(())
            for done, (place, result) in enumerate(finished, start=1):
                index = waiting[place]
                key = jobs[index].key
                results[index] = result
                self.cpu += result["cpu"]
                if key is not None:
                    self.store.put(key, result)
                advance(done, " ".join(jobs[index].row))
        rows: dict[tuple[str, ...], list[NetworkResult]] = defaultdict(list)
        for index, job in enumerate(jobs):
            rows[job.row].append(NetworkResult(**results[index]))
        return rows


def _check(names: Sequence[str], task: Task, sets: Sequence[Artifact]) -> None:
    for name in names:
        if name not in BASELINES:
            raise UsageError(unknown("baseline", name, BASELINES))
    if not sets:
        raise UsageError("there is no set to evaluate; give at least one artifact")
    for artifact in sets:
        data = artifact.manifest.data
        if data.modality != task.modality or data.classes != task.classes:
            raise UsageError(
                f"the set was made of {data.name!r} ({data.modality}, {len(data.classes)} classes), the data "
                f"given are {task.name!r} ({task.modality}, {len(task.classes)} classes); give the same data"
            )
    first = sets[0].manifest
    for artifact in sets[1:]:
        if (artifact.manifest.method.name, artifact.manifest.size.stored) != (
            first.method.name,
            first.size.stored,
        ):
            raise UsageError("the sets differ in method or size; evaluate them apart")


def _selected(
    evaluator: _Evaluator, name: str, space: str, per_class: Sequence[int], arch: str, dtype: str, draw: int
) -> tuple[Tensor, Batch, dict[str, Any]]:
    """Return rows chosen by a selector, the samples in the form of a distilled set, and their key."""
    task = evaluator.task
    key = {
        "selector": name,
        "space": space,
        "per_class": list(per_class),
        "draw": draw,
        "dtype": dtype,
        "features": arch if space != "input" else "",
    }

    def choose() -> list[int]:
        selector = evaluator.registry.get("selectors", name)
        model = feature_model(task, space, arch, 0) if selector.uses_features else None
        found: list[int] = select(task, selector, per_class, model, draw, name).rows.tolist()
        return found

    cached = {
        "train": task.fingerprint,
        "attar": version("attar-core"),
        "torch": torch.__version__,
        **key,
    }
    store = Store(evaluator.store.path({}).parent.parent / "selections")
    rows = torch.tensor(store.compute(cached, choose), dtype=torch.int64)
    return rows, _plain(task, rows, dtype, evaluator), key


def _plain(task: Task, rows: Tensor, dtype: Any, evaluator: _Evaluator) -> Batch:
    """Return real samples as a plain set decodes them after its storage type."""
    syn = task.synthesize(task.gather(rows), SetSpec(dtype=dtype), derive(0, "plain"))
    modality: Modality = evaluator.registry.get("modalities", task.modality)
    with torch.no_grad():
        return modality.restore(syn.description(), syn.stored()).decode()


def evaluate_sets(
    task: Task,
    sets: Sequence[Artifact],
    settings: EvaluationSettings | None = None,
    registry: Registry | None = None,
) -> Report:
    """Train fresh networks on sets and on their baselines, and test each once.

    Args:
        task: The real data, with the test split.
        sets: Sets of one method and size that differ in their seeds.
        settings: How.
        registry: The plugins known.

    Raises:
        UsageError: If sets, data and settings do not fit together.
    """
    settings = settings or EvaluationSettings()
    registry = registry or Registry()
    _check(settings.baselines, task, sets)
    meter = Meter()
    evaluator = _Evaluator(task, settings, registry)
    first = sets[0].manifest
    arch = settings.model or first.method.model or task.architecture
    networks = settings.protocol.networks
    per_class = torch.bincount(sets[0].syn.labels, minlength=len(task.classes)).tolist()
    per_class = [min(n, have) for n, have in zip(per_class, task.counts.tolist(), strict=True)]
    dtype = first.set.get("dtype", "float32")
    jobs: list[Job] = []
    for artifact in sets:
        batch = artifact.decode()
        kind = artifact.syn.label_kind
        key = {"set": artifact.manifest.sha256}
        for each in dict.fromkeys((arch, *settings.architectures)):
            jobs += evaluator.jobs(("set", each), batch, each, networks, label_kind=kind, key=key)
    jobs += _baseline_jobs(evaluator, arch, per_class, dtype)
    equal = _equal_bytes(evaluator, first.size.bytes, arch, dtype) if settings.equal_bytes else None
    if equal is not None:
        jobs += equal[2]
    rows = evaluator.run(jobs)
    scores, details = _baselines(rows, settings.baselines, sum(per_class), task.size("train"))
    cost = reduce(Cost.plus, (artifact.manifest.cost for artifact in sets))
    spent = meter.read()
    return Report(
        method=first.method.name,
        accuracy=_score(rows["set", arch]),
        n_sets=len(sets),
        n_networks=networks,
        baselines=scores,
        bytes=first.size.bytes,
        bytes_on_disk=first.size.bytes_on_disk,
        seconds=Seconds.of(cost),
        protocol=settings.protocol,
        data=task.name,
        architecture=arch,
        samples=first.size.decoded,
        details=details,
        architectures={each: _score(rows["set", each]) for each in settings.architectures},
        equal_bytes=None
        if equal is None
        else EqualBytes(samples=equal[0], bytes=equal[1], accuracy=_score(rows[("equal-bytes",)])),
        evaluation_seconds=Seconds(cpu=round(spent.cpu + evaluator.cpu, 2), wall=round(spent.wall, 2)),
        data_changed=any(a.manifest.data.fingerprint != task.fingerprint for a in sets),
    )


def _score(results: Sequence[NetworkResult]) -> Score:
    return Score.of([result.test for result in results])


def _baseline_jobs(evaluator: _Evaluator, arch: str, per_class: Sequence[int], dtype: str) -> list[Job]:
    networks = evaluator.settings.protocol.networks
    jobs: list[Job] = []
    for name in evaluator.settings.baselines:
        if name == "whole":
            jobs += evaluator.jobs((name,), None, arch, networks, key={"whole": True})
        elif name == "random":
            for draw in range(_RANDOM_DRAWS):
                _, batch, key = _selected(evaluator, name, "input", per_class, arch, dtype, draw)
                jobs += evaluator.jobs((name,), batch, arch, 1, key=key)
        else:
            spaces = FEATURE_SPACES if evaluator.task.size("validation") else FEATURE_SPACES[:1]
            for space in spaces:
                _, batch, key = _selected(evaluator, name, space, per_class, arch, dtype, 0)
                jobs += evaluator.jobs((name, space), batch, arch, networks, key=key)
    return jobs


def _baselines(
    rows: Mapping[tuple[str, ...], list[NetworkResult]],
    names: Sequence[str],
    samples: int,
    whole: int,
) -> tuple[dict[str, Score], dict[str, BaselineDetail]]:
    """Return the baselines' scores; of several feature spaces, the best on validation counts."""
    scores: dict[str, Score] = {}
    details: dict[str, BaselineDetail] = {}
    for name in names:
        if (name,) in rows:
            scores[name] = _score(rows[(name,)])
            details[name] = BaselineDetail(samples=whole if name == "whole" else samples)
            continue
        tried = {row[1]: results for row, results in rows.items() if row[0] == name and len(row) == 2}
        validation = {
            space: round(sum(r.validation or 0.0 for r in results) / len(results), 4)
            for space, results in tried.items()
        }
        best = max(validation, key=lambda space: validation[space])
        scores[name] = _score(tried[best])
        note = "" if len(tried) > 1 else "no validation data, so no feature space was chosen"
        details[name] = BaselineDetail(samples=samples, space=best, validation=validation, note=note)
    return scores, details


def _equal_bytes(evaluator: _Evaluator, budget: int, arch: str, dtype: str) -> tuple[int, int, list[Job]]:
    """Return how many real samples fit a budget, their bytes, and the jobs of random ones."""
    task = evaluator.task
    one = task.raw_bytes(torch.zeros(1, dtype=torch.int64))
    per_class = max(1, budget // one // len(task.classes))
    wanted = [min(per_class, have) for have in task.counts.tolist()]
    jobs: list[Job] = []
    for draw in range(_RANDOM_DRAWS):
        _, batch, key = _selected(evaluator, "random", "input", wanted, arch, dtype, draw)
        jobs += evaluator.jobs(("equal-bytes",), batch, arch, 1, key=key)
    return sum(wanted), one * sum(wanted), jobs
