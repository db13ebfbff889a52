"""The baselines of an evaluation: whole data and coresets, under the same protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from attar.batch import Batch
from attar.cache import Store
from attar.contracts import SetSpec, Task
from attar.evaluation_jobs import Evaluator, Job, NetworkResult, Rows
from attar.jobs import results
from attar.plugins import Modality, Selector
from attar.reports import BaselineDetail, Score
from attar.rng import derive
from attar.selectors import FEATURE_SPACES, Means, Selection, feature_model, select_many

__all__ = [
    "Baselines",
    "Coresets",
    "balanced",
    "baseline_scores",
    "best_space",
    "equal_bytes_jobs",
    "score",
]

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


def _choose(choice: _Choice) -> dict[str, Any]:
    needed = any(selector.uses_features for selector in choice.selectors.values())
    model = feature_model(choice.task, choice.space, choice.arch, 0) if needed else None
    found = select_many(choice.task, choice.selectors, choice.per_class, model, choice.draw)
    return {name: _values(chosen) for name, chosen in found.items()}


def _values(chosen: Selection | Means) -> Any:
    """Return a choice as JSON values: rows, for means with the number of those that each is of."""
    if isinstance(chosen, Means):
        return {"rows": chosen.rows.tolist(), "sizes": chosen.sizes.tolist()}
    return chosen.rows.tolist()


def _samples(values: Any, task: Task) -> Batch:
    """Return the samples of a choice."""
    if isinstance(values, dict):
        rows, sizes = (torch.tensor(values[name], dtype=torch.int64) for name in ("rows", "sizes"))
        return Means(rows, sizes).batch(task)
    return task.gather(torch.tensor(values, dtype=torch.int64))


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
        task = self._evaluator.task
        spec = SetSpec(dtype=self._dtype, learned=False)
        chosen = _samples(self._store.get(self._stored(name, space, draw)), task)
        syn = task.synthesize(chosen, spec, derive(0, "plain"))
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


class Baselines:
    """The networks of baselines at equal count with a set, in the order in which their figures are wanted.

    Args:
        evaluator: The evaluation that they belong to.
        names: Names of the baselines.
        arch: Architecture.
        per_class: Samples of each class.
        dtype: Type that the distilled set is stored in.
    """

    def __init__(
        self, evaluator: Evaluator, names: Sequence[str], arch: str, per_class: Sequence[int], dtype: str
    ) -> None:
        self._evaluator, self._names, self._arch = evaluator, tuple(names), arch
        self._coresets = Coresets(evaluator, per_class, arch, dtype)
        self.rules = tuple(name for name in names if name not in ("whole", "random"))
        # Without held-out data there is nothing to choose a feature space by.
        self.spaces = FEATURE_SPACES if evaluator.task.size("validation") else FEATURE_SPACES[:1]

    def random(self) -> list[Job]:
        """Return the networks of random samples."""
        if "random" not in self._names:
            return []
        return _random_jobs(self._coresets, self._evaluator, ("random",), self._arch)

    def tried(self) -> list[Job]:
        """Choose coresets, and return the first network of each rule in each feature space.

        Its accuracy on validation data decides the space of the rule.
        """
        if self.rules:
            self._coresets.prepare(self.rules, self.spaces, [0])
        return [
            job for name in self.rules for space in self.spaces for job in self._of(name, space, range(1))
        ]

    def chosen(self, rows: Rows) -> list[Job]:
        """Return all networks of each rule in the space that its first networks decided, which are kept.

        Args:
            rows: Results of the first networks; rules without any are passed over.
        """
        networks = range(self._evaluator.protocol.networks)
        spaces = {name: best_space(rows, name) for name in self.rules}
        return [job for name, space in spaces.items() if space for job in self._of(name, space, networks)]

    def whole(self) -> list[Job]:
        """Return the networks of the whole data."""
        if "whole" not in self._names:
            return []
        networks = self._evaluator.protocol.networks
        return self._evaluator.jobs(("whole",), None, self._arch, networks, key={"whole": True})

    def _of(self, name: str, space: str, networks: range) -> list[Job]:
        batch, key = self._coresets.batch(name, space, 0), self._coresets.key(name, space, 0)
        return self._evaluator.jobs((name, space), batch, self._arch, networks, key=key)


def _validation(rows: Mapping[tuple[str, ...], list[NetworkResult]], name: str) -> dict[str, float]:
    """Return the accuracy on validation data of a rule's first network in each feature space."""
    tried = {
        row[1]: results[0] for row, results in rows.items() if len(row) == 2 and row[0] == name and results
    }
    return {space: round(result.validation or 0.0, 4) for space, result in tried.items()}


def best_space(rows: Mapping[tuple[str, ...], list[NetworkResult]], name: str) -> str:
    """Return the feature space whose first network is best on validation data; "" if there are none."""
    found = _validation(rows, name)
    return max(found, key=lambda space: found[space], default="")


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
        validation, best = _validation(rows, name), best_space(rows, name)
        scores[name] = score(rows[name, best])
        note = "" if len(validation) > 1 else "no validation data, so no feature space was chosen"
        details[name] = BaselineDetail(
            samples=samples, balanced=balanced(rows[name, best]), space=best, validation=validation, note=note
        )
    return scores, details
