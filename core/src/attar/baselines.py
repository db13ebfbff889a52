"""The baselines of an evaluation: whole data and coresets, under the same protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from attar.batch import Batch
from attar.cache import Store
from attar.contracts import SetSpec, Task
from attar.evaluation_jobs import Evaluator, Job, NetworkResult
from attar.jobs import results
from attar.plugins import Modality, Selector
from attar.reports import BaselineDetail, Score
from attar.rng import derive
from attar.selectors import FEATURE_SPACES, feature_model, select_many

__all__ = ["Coresets", "balanced", "baseline_jobs", "baseline_scores", "equal_bytes_jobs", "score"]

_RANDOM_DRAWS = 5


@dataclass(frozen=True)
class _Choice:
    """Coresets of several rules in one feature space: a piece of work for one process."""

    task: Task
    selectors: Mapping[str, Selector]
    space: str
    arch: str
    per_class: tuple[int, ...]
    draw: int


def _choose(choice: _Choice) -> dict[str, list[int]]:
    needed = any(selector.uses_features for selector in choice.selectors.values())
    model = feature_model(choice.task, choice.space, choice.arch, 0) if needed else None
    found = select_many(choice.task, choice.selectors, choice.per_class, model, choice.draw)
    return {name: selection.rows.tolist() for name, selection in found.items()}


class Coresets:
    """Real samples chosen by rules, in the form and storage type of a distilled set.

    Args:
        evaluator: The evaluation that they belong to.
        per_class: Samples of each class.
        arch: Architecture of the feature spaces ``random`` and ``trained``.
        dtype: Type that the distilled set is stored in.
    """

    def __init__(self, evaluator: Evaluator, per_class: Sequence[int], arch: str, dtype: Any) -> None:
        self._evaluator, self._dtype, self._arch = evaluator, dtype, arch
        self._per_class = tuple(per_class)
        self._store = Store(evaluator.root / "selections")

    def key(self, name: str, space: str, draw: int) -> dict[str, Any]:
        """Return what networks depend on beside the data: the very rows that were chosen."""
        rows = self._store.get(self._stored(name, space, draw))
        digest = hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()
        return {"rows": digest, "dtype": self._dtype}

    def _stored(self, name: str, space: str, draw: int) -> dict[str, Any]:
        """Return what a choice depends on."""
        return {
            "train": self._evaluator.task.fingerprint,
            "attar": version("attar-core"),
            "torch": torch.__version__,
            "selector": name,
            "space": space,
            "per_class": list(self._per_class),
            "draw": draw,
            "features": self._arch if space != "input" else "",
            **(self._evaluator.code(self._arch) if space != "input" else {}),
        }

    def prepare(self, names: Sequence[str], spaces: Sequence[str], draws: Sequence[int]) -> None:
        """Choose what is not known yet, each feature space in a process of its own."""
        task, get = self._evaluator.task, self._evaluator.registry.get
        choices = []
        for space in spaces:
            for draw in draws:
                missing = [name for name in names if self._store.get(self._stored(name, space, draw)) is None]
                if missing:
                    rules = {name: get("selectors", name) for name in missing}
                    choices.append(_Choice(task, rules, space, self._arch, self._per_class, draw))
        if not choices:
            return
        # Rules that look at no features are done sooner than a process starts.
        cheap = not any(rule.uses_features for choice in choices for rule in choice.selectors.values())
        workers = 1 if cheap else self._evaluator.settings.workers
        for place, found in results(_choose, choices, workers):
            for name, rows in found.items():
                self._store.put(self._stored(name, choices[place].space, choices[place].draw), rows)

    def batch(self, name: str, space: str, draw: int) -> Batch:
        """Return the samples of a prepared coreset, as a plain set decodes them."""
        rows = torch.tensor(self._store.get(self._stored(name, space, draw)), dtype=torch.int64)
        return self._decoded(rows)

    def _decoded(self, rows: Tensor) -> Batch:
        task = self._evaluator.task
        spec = SetSpec(dtype=self._dtype, learned=False)
        syn = task.synthesize(task.gather(rows), spec, derive(0, "plain"))
        modality: Modality = self._evaluator.registry.get("modalities", task.modality)
        with torch.no_grad():
            return modality.restore(syn.description(), syn.stored()).decode()


def _random_jobs(coresets: Coresets, evaluator: Evaluator, row: tuple[str, ...], arch: str) -> list[Job]:
    draws = range(_RANDOM_DRAWS)
    coresets.prepare(["random"], ["input"], draws)
    jobs: list[Job] = []
    for draw in draws:
        batch = coresets.batch("random", "input", draw)
        jobs += evaluator.jobs(row, batch, arch, 1, key=coresets.key("random", "input", draw))
    return jobs


def baseline_jobs(evaluator: Evaluator, arch: str, per_class: Sequence[int], dtype: str) -> list[Job]:
    """Return the networks of all baselines, at equal count with the set."""
    networks, names = evaluator.protocol.networks, list(evaluator.settings.baselines)
    coresets = Coresets(evaluator, per_class, arch, dtype)
    jobs: list[Job] = []
    if "whole" in names:
        # The longest jobs first, so that no processor waits for them at the end.
        jobs += evaluator.jobs(("whole",), None, arch, networks, key={"whole": True})
    if "random" in names:
        jobs += _random_jobs(coresets, evaluator, ("random",), arch)
    rules = [name for name in names if name not in ("whole", "random")]
    # Without held-out data there is nothing to choose a feature space by.
    spaces = FEATURE_SPACES if evaluator.task.size("validation") else FEATURE_SPACES[:1]
    if rules:
        coresets.prepare(rules, spaces, [0])
    for name in rules:
        for space in spaces:
            batch = coresets.batch(name, space, 0)
            jobs += evaluator.jobs((name, space), batch, arch, networks, key=coresets.key(name, space, 0))
    return jobs


def equal_bytes_jobs(evaluator: Evaluator, budget: int, arch: str, dtype: str) -> tuple[int, int, list[Job]]:
    """Return how many real samples fit a budget, their bytes, and the jobs of random ones."""
    task = evaluator.task
    one = task.raw_bytes(torch.zeros(1, dtype=torch.int64))
    per_class = max(1, budget // one // len(task.classes))
    wanted = [min(per_class, have) for have in task.counts.tolist()]
    coresets = Coresets(evaluator, wanted, arch, dtype)
    return sum(wanted), one * sum(wanted), _random_jobs(coresets, evaluator, ("equal-bytes",), arch)


def score(results: Sequence[NetworkResult]) -> Score:
    """Return the test score of networks."""
    return Score.of([result.test for result in results])


def balanced(results: Sequence[NetworkResult]) -> Score:
    """Return the mean test accuracy over the classes."""
    return Score.of([result.balanced for result in results])


def baseline_scores(
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
            scores[name] = score(rows[(name,)])
            details[name] = BaselineDetail(
                samples=whole if name == "whole" else samples, balanced=balanced(rows[(name,)])
            )
            continue
        tried = {row[1]: results for row, results in rows.items() if row[0] == name and len(row) == 2}
        validation = {
            space: round(sum(r.validation or 0.0 for r in results) / len(results), 4)
            for space, results in tried.items()
        }
        best = max(validation, key=lambda space: validation[space])
        scores[name] = score(tried[best])
        note = "" if len(tried) > 1 else "no validation data, so no feature space was chosen"
        details[name] = BaselineDetail(
            samples=samples, balanced=balanced(tried[best]), space=best, validation=validation, note=note
        )
    return scores, details
