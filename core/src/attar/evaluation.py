"""Evaluation: fresh networks trained on a set and tested once, beside their baselines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce

import torch

from attar.architectures import check_model, runs_code
from attar.artifact import Artifact
from attar.baselines import Baselines, balanced, baseline_scores, equal_bytes_jobs, score
from attar.contracts import Task
from attar.cost import Cost, Meter
from attar.differences import Difference, differences
from attar.errors import UsageError
from attar.evaluation_cost import EvaluationCost, cost_of_jobs
from attar.evaluation_jobs import (
    BASELINES,
    EvaluationSettings,
    Evaluator,
    Job,
    NetworkResult,
    Rows,
    baselines_of,
    right_of,
)
from attar.labels import classes_differ
from attar.progress import say
from attar.registry import Registry
from attar.reports import BaselineDetail, EqualBytes, Report, Score, Seconds

__all__ = [
    "BASELINES",
    "EvaluationCost",
    "EvaluationSettings",
    "check_same",
    "evaluate_sets",
    "evaluation_cost",
]


logger = logging.getLogger(__name__)

_MOST_NAMED = 5

LONG = 10.0
"""CPU seconds from which on an evaluation says what it will take, and each figure as it is found."""


def check_same(task: Task, sets: Sequence[Artifact]) -> None:
    """Refuse sets of other data, or of several kinds.

    Raises:
        UsageError: If modality or classes are not those of the task, or methods or sizes differ.
    """
    if not sets:
        raise UsageError("there is no set to evaluate; give at least one artifact")
    for artifact in sets:
        data = artifact.manifest.data
        odd = classes_differ(data.classes, task.classes)
        if data.modality != task.modality or odd:
            raise UsageError(
                f"the set was made of {data.name!r} ({data.modality}, {len(data.classes)} classes), the data "
                f"given are {task.name!r} ({task.modality}, {len(task.classes)} classes); "
                + (odd if data.modality == task.modality else "give the same data")
            )
        shapes = tuple(data.feature), tuple(task.feature)
        # Older versions did not write it down.
        if shapes[0] and shapes[0] != shapes[1]:
            raise UsageError(
                f"the samples of the set are of shape {shapes[0]}, those of {task.name!r} of shape "
                f"{shapes[1]}; give the data that the set was made of, or others of the same form"
            )
    first = sets[0].manifest
    for artifact in sets[1:]:
        if (artifact.manifest.method.name, artifact.manifest.size.stored) != (
            first.method.name,
            first.size.stored,
        ):
            raise UsageError("the sets differ in method or size; evaluate them apart")


def _check_models(task: Task, arch: str, settings: EvaluationSettings, names: Sequence[str]) -> None:
    if not settings.model and runs_code(arch, task.architectures):
        raise UsageError(
            f"the set was distilled on {arch!r}, which is code and no registered architecture; if you trust "
            f"that code, name it yourself with --model, or choose another model"
        )
    # Rules choose in the features of the architecture where held-out data say which space is best.
    rules = [name for name in names if name not in ("whole", "random")]
    check_model(task, arch, needs=("embed",) if rules and task.size("validation") else ())
    for each in settings.architectures:
        check_model(task, each)


class _Evaluation:
    """An evaluation whose sets, data and settings were found to fit together."""

    def __init__(
        self, task: Task, sets: Sequence[Artifact], settings: EvaluationSettings, registry: Registry
    ) -> None:
        check_same(task, sets)
        self.task, self.sets, self.settings = task, tuple(sets), settings
        self.names = baselines_of(settings.baselines, task)
        self.evaluator = Evaluator(task, settings, registry)
        first = sets[0].manifest
        self.arch = settings.model or first.method.model or task.architecture
        _check_models(task, self.arch, settings, self.names)
        per_class = torch.bincount(sets[0].syn.labels, minlength=len(task.classes)).tolist()
        self.per_class = [min(n, have) for n, have in zip(per_class, task.counts.tolist(), strict=True)]
        dtype = first.set.get("dtype", "float32")
        self.baselines = Baselines(self.evaluator, self.names, self.arch, self.per_class, dtype)
        self.equal = (
            equal_bytes_jobs(self.evaluator, first.size.bytes, self.arch, dtype)
            if settings.equal_bytes
            else None
        )

    @property
    def changed(self) -> bool:
        """Whether the data are not those that a set was made of."""
        made_of = {artifact.manifest.data.fingerprint for artifact in self.sets}
        return bool(made_of - {"", self.task.fingerprint})

    @property
    def method(self) -> str:
        """Name of what made the sets."""
        return self.sets[0].manifest.method.name

    def set_jobs(self) -> list[Job]:
        """Return the networks of the sets."""
        jobs: list[Job] = []
        for artifact in self.sets:
            batch = artifact.decode()
            kind = artifact.syn.label_kind
            key = {"set": artifact.manifest.sha256, "labels": kind}
            for each in dict.fromkeys((self.arch, *self.settings.architectures)):
                networks = self.evaluator.protocol.networks
                jobs += self.evaluator.jobs(("set", each), batch, each, networks, label_kind=kind, key=key)
        return jobs

    def cost(self) -> EvaluationCost:
        """Return what the networks will take."""
        certain = [
            (f"on {'the set' if len(self.sets) == 1 else 'sets'}", self.set_jobs()),
            ("random", self.baselines.random()),
            ("of equal bytes", [] if self.equal is None else self.equal[2]),
            ("whole", self.baselines.whole()),
        ]
        first = self.sets[0]
        return cost_of_jobs(
            self.evaluator,
            self.arch,
            certain,
            (first.decode(), first.syn.label_kind),
            rules=len(self.baselines.rules),
            spaces=self.baselines.spaces,
        )

    def train(self, tell: bool) -> Rows:
        """Train all networks: of the sets first, whose figures are wanted most, of the whole data last.

        Args:
            tell: Whether each figure is shown as soon as it is known.
        """
        told = self._told if tell else None
        run, baselines = self.evaluator.run, self.baselines
        rows = run(self.set_jobs(), f"training {self.method}", told)
        others = baselines.random() + ([] if self.equal is None else self.equal[2])
        rows |= run(others, "training random samples", told)
        rows |= run(baselines.tried(), "choosing coresets")
        rows |= run(baselines.chosen(rows), "training coresets", told)
        return rows | run(baselines.whole(), "training whole data", told)

    def _told(self, row: tuple[str, ...], results: list[NetworkResult]) -> None:
        name = (
            row[0]
            if row[0] != "set"
            else self.method
            if row[1] == self.arch
            else f"{self.method} on {row[1]}"
        )
        found = score(results)
        say(f"{name}: {found} %, {found.n} network{'s' * (found.n > 1)}")

    def report(self, rows: Rows, spent: Cost) -> Report:
        """Return the report of trained networks."""
        first, arch = self.sets[0].manifest, self.arch
        scores, details = baseline_scores(rows, self.names, sum(self.per_class), self.task.size("train"))
        own, equal = rows["set", arch], self.equal
        cost = reduce(Cost.plus, (artifact.manifest.cost for artifact in self.sets))
        hard = self.sets[0].syn.label_kind == "hard"
        per_class = _per_class(own, self.task.classes)
        untested = [name for name in self.task.classes if name not in per_class]
        if untested:
            logger.warning(
                "no test sample of the class%s %s: no figure counts %s",
                "es" * (len(untested) > 1),
                ", ".join(map(repr, untested[:_MOST_NAMED])) + ", …" * (len(untested) > _MOST_NAMED),
                "it" if len(untested) == 1 else "them",
            )
        cpu = round(spent.cpu + self.evaluator.cpu, 2)
        return Report(
            method=first.method.name,
            accuracy=score(own),
            validation=_validation(own),
            n_sets=len(self.sets),
            n_networks=self.evaluator.protocol.networks,
            baselines=scores,
            bytes=first.size.bytes,
            bytes_on_disk=first.size.bytes_on_disk,
            seconds=Seconds.of(cost),
            protocol=self.evaluator.protocol,
            data=self.task.name,
            architecture=arch,
            samples=first.size.decoded,
            details=details,
            architectures={each: score(rows["set", each]) for each in self.settings.architectures},
            equal_bytes=None
            if equal is None
            else EqualBytes(samples=equal[0], bytes=equal[1], accuracy=score(rows[("equal-bytes",)])),
            evaluation_seconds=Seconds(cpu=cpu, wall=round(spent.wall, 2)),
            balanced_accuracy=balanced(own),
            against=_against(rows, arch, len(self.sets), details) if hard else {},
            per_class=per_class,
            confusion=_confusion(own),
            data_changed=self.changed,
        )


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
    meter = Meter()
    evaluation = _Evaluation(task, sets, settings or EvaluationSettings(), registry or Registry())
    tell = False
    if evaluation.settings.show:
        if evaluation.changed:
            say("the data are not those that the set was made of: their fingerprints differ")
        cost = evaluation.cost()
        tell = cost.cpu_seconds >= LONG
        if tell:
            say(str(cost))
    return evaluation.report(evaluation.train(tell), meter.read())


def evaluation_cost(
    task: Task,
    sets: Sequence[Artifact],
    settings: EvaluationSettings | None = None,
    registry: Registry | None = None,
) -> EvaluationCost:
    """Return what :func:`evaluate_sets` would take, from a few steps whose results are dropped.

    Raises:
        UsageError: If sets, data and settings do not fit together.
    """
    return _Evaluation(task, sets, settings or EvaluationSettings(), registry or Registry()).cost()


def _against(
    rows: Mapping[tuple[str, ...], list[NetworkResult]],
    arch: str,
    n_sets: int,
    details: Mapping[str, BaselineDetail],
) -> dict[str, Difference]:
    others = {
        name: right_of([rows[(name, detail.space) if detail.space else (name,)]])
        for name, detail in details.items()
        if name != "whole"
    }
    own = rows["set", arch]
    each = len(own) // n_sets
    groups = {"set": right_of([own[start : start + each] for start in range(0, len(own), each)])}
    return differences({**groups, **others}, ["set"], list(others))["set"]


def _per_class(results: Sequence[NetworkResult], classes: Sequence[str]) -> dict[str, Score]:
    columns = zip(classes, zip(*(result.recalls for result in results), strict=True), strict=True)
    known = ((name, [value for value in column if value is not None]) for name, column in columns)
    return {name: Score.of(values) for name, values in known if values}


def _confusion(results: Sequence[NetworkResult]) -> tuple[tuple[int, ...], ...] | None:
    counts = [torch.tensor(result.confusion) for result in results if result.confusion is not None]
    if not counts:
        return None
    return tuple(tuple(row) for row in torch.stack(counts).sum(0).tolist())


def _validation(results: Sequence[NetworkResult]) -> Score | None:
    values = [result.validation for result in results if result.validation is not None]
    return Score.of(values) if values else None
