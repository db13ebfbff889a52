"""Evaluation: fresh networks trained on a set and tested once, beside their baselines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce

import torch

from attar.architectures import check_model, runs_code
from attar.artifact import Artifact
from attar.baselines import balanced, baseline_jobs, baseline_scores, equal_bytes_jobs, score
from attar.contracts import Task
from attar.cost import Cost, Meter
from attar.differences import Difference, differences
from attar.errors import UsageError
from attar.evaluation_jobs import BASELINES, EvaluationSettings, Evaluator, Job, NetworkResult, right_of
from attar.labels import classes_differ
from attar.registry import Registry
from attar.reports import BaselineDetail, EqualBytes, Report, Score, Seconds
from attar.settings import unknown

__all__ = ["BASELINES", "EvaluationSettings", "evaluate_sets"]

logger = logging.getLogger(__name__)


def _check(names: Sequence[str], task: Task, sets: Sequence[Artifact]) -> None:
    for name in names:
        if name not in BASELINES:
            raise UsageError(unknown("baseline", name, BASELINES))
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
    first = sets[0].manifest
    for artifact in sets[1:]:
        if (artifact.manifest.method.name, artifact.manifest.size.stored) != (
            first.method.name,
            first.size.stored,
        ):
            raise UsageError("the sets differ in method or size; evaluate them apart")


def _check_models(task: Task, arch: str, settings: EvaluationSettings) -> None:
    if not settings.model and runs_code(arch, task.architectures):
        raise UsageError(
            f"the set was distilled on {arch!r}, which is code and no registered architecture; if you trust "
            f"that code, name it yourself with --model, or choose another model"
        )
    # Rules choose in the features of the architecture where held-out data say which space is best.
    rules = [name for name in settings.baselines if name not in ("whole", "random")]
    check_model(task, arch, needs=("embed",) if rules and task.size("validation") else ())
    for each in settings.architectures:
        check_model(task, each)


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
    evaluator = Evaluator(task, settings, registry)
    first = sets[0].manifest
    arch = settings.model or first.method.model or task.architecture
    _check_models(task, arch, settings)
    networks = evaluator.protocol.networks
    per_class = torch.bincount(sets[0].syn.labels, minlength=len(task.classes)).tolist()
    per_class = [min(n, have) for n, have in zip(per_class, task.counts.tolist(), strict=True)]
    dtype = first.set.get("dtype", "float32")
    jobs: list[Job] = []
    for artifact in sets:
        batch = artifact.decode()
        kind = artifact.syn.label_kind
        key = {"set": artifact.manifest.sha256, "labels": kind}
        for each in dict.fromkeys((arch, *settings.architectures)):
            jobs += evaluator.jobs(("set", each), batch, each, networks, label_kind=kind, key=key)
    jobs += baseline_jobs(evaluator, arch, per_class, dtype)
    equal = equal_bytes_jobs(evaluator, first.size.bytes, arch, dtype) if settings.equal_bytes else None
    if equal is not None:
        jobs += equal[2]
    rows = evaluator.run(jobs)
    scores, details = baseline_scores(rows, settings.baselines, sum(per_class), task.size("train"))
    cost = reduce(Cost.plus, (artifact.manifest.cost for artifact in sets))
    spent = meter.read()
    return Report(
        method=first.method.name,
        accuracy=score(rows["set", arch]),
        validation=_validation(rows["set", arch]),
        n_sets=len(sets),
        n_networks=networks,
        baselines=scores,
        bytes=first.size.bytes,
        bytes_on_disk=first.size.bytes_on_disk,
        seconds=Seconds.of(cost),
        protocol=evaluator.protocol,
        data=task.name,
        architecture=arch,
        samples=first.size.decoded,
        details=details,
        architectures={each: score(rows["set", each]) for each in settings.architectures},
        equal_bytes=None
        if equal is None
        else EqualBytes(samples=equal[0], bytes=equal[1], accuracy=score(rows[("equal-bytes",)])),
        evaluation_seconds=Seconds(cpu=round(spent.cpu + evaluator.cpu, 2), wall=round(spent.wall, 2)),
        balanced_accuracy=balanced(rows["set", arch]),
        against=_against(rows, arch, len(sets), details) if sets[0].syn.label_kind == "hard" else {},
        per_class=_per_class(rows["set", arch], task.classes),
        confusion=_confusion(rows["set", arch]),
        data_changed=any(a.manifest.data.fingerprint not in ("", task.fingerprint) for a in sets),
    )


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
