"""Evaluation: fresh networks trained on a set and tested once, beside their baselines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from attar.artifact import Artifact
from attar.batch import Batch
from attar.cache import Store
from attar.contracts import SetSpec, Task
from attar.cost import Cost, Meter
from attar.errors import UsageError
from attar.evaluation_jobs import BASELINES, EvaluationSettings, Evaluator, Job, NetworkResult
from attar.plugins import Modality
from attar.registry import Registry
from attar.reports import BaselineDetail, EqualBytes, Report, Score, Seconds
from attar.rng import derive
from attar.selectors import FEATURE_SPACES, feature_model, select
from attar.settings import unknown

__all__ = ["BASELINES", "EvaluationSettings", "evaluate_sets"]

logger = logging.getLogger(__name__)

_RANDOM_DRAWS = 5


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
    evaluator: Evaluator, name: str, space: str, per_class: Sequence[int], arch: str, dtype: str, draw: int
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
    store = Store(evaluator.root / "selections")
    rows = torch.tensor(store.compute(cached, choose), dtype=torch.int64)
    return rows, _plain(task, rows, dtype, evaluator), key


def _plain(task: Task, rows: Tensor, dtype: Any, evaluator: Evaluator) -> Batch:
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
    evaluator = Evaluator(task, settings, registry)
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
        validation=_validation(rows["set", arch]),
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


def _validation(results: Sequence[NetworkResult]) -> Score | None:
    values = [result.validation for result in results if result.validation is not None]
    return Score.of(values) if values else None


def _score(results: Sequence[NetworkResult]) -> Score:
    return Score.of([result.test for result in results])


def _baseline_jobs(evaluator: Evaluator, arch: str, per_class: Sequence[int], dtype: str) -> list[Job]:
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


def _equal_bytes(evaluator: Evaluator, budget: int, arch: str, dtype: str) -> tuple[int, int, list[Job]]:
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
