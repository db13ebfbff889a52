"""From trained networks to the rows of a leaderboard."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch

from attar.artifact import Artifact
from attar.baselines import balanced, baseline_scores, score
from attar.comparison.choice import Choice
from attar.comparison.networks import Networks
from attar.comparison.ranking import ranking
from attar.comparison.results import EqualBytesRow, Ranking, Row
from attar.comparison.sets import Made
from attar.contracts import LabelKind, Task
from attar.cost import Cost
from attar.evaluation_jobs import NetworkResult
from attar.reports import Score, Seconds

__all__ = ["Size", "baseline_rows", "equal_bytes_rows", "method_row"]

_LABELS = ("labels", "targets")
"""Tensors of a set that are labels."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size, with what its rows are made from.

    Attributes:
        task: The real data.
        ipc: Stored samples per class.
        seeds: Seeds of the sets that were asked for.
        per_class: Samples of each class that a selector can give.
        names: Baselines of this size; the whole data are evaluated with one of the sizes only.
        selectors: Names of all selectors.
        sets: Sets that were made, by method and seed.
        made: All runs.
    """

    task: Task
    ipc: int
    seeds: tuple[int, ...]
    per_class: tuple[int, ...]
    names: tuple[str, ...]
    selectors: tuple[str, ...]
    sets: Mapping[str, Mapping[int, Artifact]]
    made: Made

    def first(self, method: str) -> Artifact:
        """Return one of the sets of a method."""
        return next(iter(self.sets[method].values()))

    def budgets(self) -> list[int]:
        """Return the bytes of the sets, each once; real samples have no question of bytes."""
        found = {self.first(name).manifest.size.bytes for name in self.sets if name not in self.selectors}
        return sorted(found)

    def hard_ranking(self, row: Row, scores: Mapping[str, Score], whole: Score | None) -> Ranking:
        """Return the figures of a baseline, which has hard labels and is trained in one way."""
        if row.accuracy is None or row.ipc is None:
            return Ranking()
        own = row.accuracy.mean
        return ranking(own=own, random=_mean(scores.get("random")), hard=own, whole=_mean(whole))


def _mean(found: Score | None) -> float | None:
    return None if found is None else found.mean


def _mean_of(results: Sequence[NetworkResult]) -> float | None:
    return score(results).mean if results else None


def _validation(results: Sequence[NetworkResult]) -> Score | None:
    values = [result.validation for result in results if result.validation is not None]
    return Score.of(values) if values else None


def baseline_rows(size: Size, networks: Networks) -> tuple[list[Row], dict[str, Score]]:
    """Return the rows of the baselines, and the accuracy of each that has one."""
    found = {row[1:]: results for row, results in networks.rows.items() if row[0] == "baseline"}
    failed = {row[1]: why for row, why in networks.problems.items() if row[0] == "baseline"}
    able = [name for name in size.names if name not in failed]
    samples = sum(size.per_class)
    scores, details = baseline_scores(found, able, samples, size.task.size("train"))
    one = size.task.raw_bytes(torch.zeros(1, dtype=torch.int64))
    rows = []
    for name in size.names:
        ipc = None if name == "whole" else size.ipc
        if name in failed:
            rows.append(Row(method=name, kind="baseline", ipc=ipc, problem=failed[name]))
            continue
        detail = details[name]
        results = found[(name,) if detail.space is None else (name, detail.space)]
        draws = len(results) if name == "random" else 1
        row = Row(
            method=name,
            kind="baseline",
            ipc=ipc,
            accuracy=scores[name],
            between_sets=scores[name].std if name == "random" else None,
            validation=_validation(results),
            balanced=detail.balanced,
            n_sets=draws,
            n_networks=len(results) // draws,
            samples=detail.samples,
            bytes=one * detail.samples,
            trials=max(1, len(detail.validation)),
            space=detail.space,
        )
        rows.append(row)
    return rows, scores


def method_row(
    size: Size, choice: Choice, networks: Networks, whole: Score | None, random: Score | None
) -> Row:
    """Return what is known of a method, or why nothing is.

    Args:
        size: The size.
        choice: The method with its settings.
        networks: All networks of the size.
        whole: Accuracy of the whole data, if known.
        random: Accuracy of random samples with hard labels, if known.
    """
    method = choice.contender.method
    lost = {row[2]: why for row, why in networks.problems.items() if row[:2] == ("set", method)}
    # A set of which a network is missing is left out as a whole.
    sets = {seed: each for seed, each in size.sets.get(method, {}).items() if str(seed) not in lost}
    missing = size.made.problem(choice.trial, size.seeds) if choice.trial is not None else ""
    common: dict[str, Any] = {
        "method": method,
        "kind": "selected" if method in size.selectors else "distilled",
        "ipc": size.ipc,
        "settings": choice.settings,
        "trials": choice.trials,
        "problem": choice.problem or missing or next(iter(lost.values()), ""),
    }
    if not sets or choice.trial is None:
        return Row(**common)
    by_set = [networks.rows[("set", method, str(seed))] for seed in sets]
    results = [result for found in by_set for result in found]
    accuracy = score(results)
    return Row(
        **common,
        **_about(list(sets.values())),
        accuracy=accuracy,
        between_sets=round(statistics.pstdev([score(found).mean for found in by_set]), 4),
        validation=_validation(results),
        balanced=balanced(results),
        n_sets=len(sets),
        n_networks=len(results) // len(sets),
        ranking=_ranking(method, list(sets), size.first(method).syn.label_kind, networks, whole, random),
        runs=tuple(f"runs/{choice.trial.folder(seed)}" for seed in sets),
    )


def _about(sets: Sequence[Artifact]) -> dict[str, Any]:
    """Return what a row says of the sets themselves."""
    first, n = sets[0], len(sets)
    stored = first.syn.stored()
    cost = reduce(Cost.plus, (each.manifest.cost for each in sets))
    return {
        "labels": first.syn.label_kind,
        "samples": first.manifest.size.decoded,
        "bytes": first.manifest.size.bytes,
        "label_bytes": sum(
            tensor.numel() * tensor.element_size() for name, tensor in stored.items() if name in _LABELS
        ),
        "bytes_on_disk": first.manifest.size.bytes_on_disk,
        "seconds": Seconds(cpu=round(cost.cpu / n, 2), wall=round(cost.wall / n, 2)),
        "peak_bytes": cost.peak_bytes,
    }


def _ranking(
    method: str,
    seeds: Sequence[int],
    kind: LabelKind,
    networks: Networks,
    whole: Score | None,
    random: Score | None,
) -> Ranking:
    def of(row: str) -> float | None:
        each = [networks.rows.get((row, method, str(seed)), []) for seed in seeds]
        return _mean_of([result for found in each for result in found]) if all(each) else None

    own = of("set")
    if own is None:
        return Ranking()
    learned = kind != "hard"
    return ranking(
        own=own,
        random=_mean_of(networks.rows.get(("random", kind), [])) if learned else _mean(random),
        hard=of("hard") if learned else own,
        whole=_mean(whole),
        bare=of("bare"),
        random_bare=_mean_of(networks.rows.get(("random-bare", kind), [])),
    )


def equal_bytes_rows(
    size: Size, rows: Sequence[Row], networks: Networks, bought: Mapping[int, tuple[int, int]]
) -> Iterator[EqualBytesRow]:
    """Yield each set beside random real samples of as many bytes.

    Args:
        size: The size.
        rows: The rows of the methods.
        networks: All networks of the size.
        bought: For each number of bytes, how many real samples it buys, and their bytes.
    """
    for row in rows:
        results = networks.rows.get(("equal-bytes", str(row.bytes)), [])
        found = bought.get(row.bytes or 0)
        if row.accuracy is None or row.bytes is None or row.kind != "distilled" or not (found and results):
            continue
        samples, bytes_ = found
        yield EqualBytesRow(
            method=row.method,
            ipc=size.ipc,
            labels=row.labels,
            bytes=row.bytes,
            accuracy=row.accuracy,
            random_samples=samples,
            random_bytes=bytes_,
            random=score(results),
        )
