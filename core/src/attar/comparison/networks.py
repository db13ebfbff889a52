"""Training the networks of a comparison: known results are looked up, the rest survives dead workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attar.artifact import Artifact
from attar.evaluation_jobs import Evaluator, Job, NetworkResult, alike, train_and_test
from attar.jobs import persistently
from attar.progress import progress, silent

__all__ = ["Networks", "set_jobs", "train"]


@dataclass(frozen=True)
class Networks:
    """Trained and tested networks by row.

    Attributes:
        rows: Results of each row, in the order of its jobs; without those that have a problem.
        problems: Why a row lacks results.
        cpu: CPU seconds of the networks trained in this call.
    """

    rows: Mapping[tuple[str, ...], list[NetworkResult]] = field(default_factory=dict)
    problems: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    cpu: float = 0.0

    def plus(self, other: Networks) -> Networks:
        """Return these and others, whose rows replace those that both have."""
        problems = {**self.problems, **other.problems}
        return Networks({**self.rows, **other.rows}, problems, self.cpu + other.cpu)


def set_jobs(evaluator: Evaluator, row: tuple[str, ...], artifact: Artifact, arch: str) -> list[Job]:
    """Return the networks of a set, under the keys that ``attar evaluate`` keeps them by."""
    kind = artifact.syn.label_kind
    networks = evaluator.protocol.networks
    key = {"set": artifact.manifest.sha256, "labels": kind}
    return evaluator.jobs(row, artifact.decode().constant(), arch, networks, label_kind=kind, key=key)


def train(evaluator: Evaluator, jobs: Sequence[Job], doing: str) -> Networks:
    """Train what is not known yet.

    Args:
        evaluator: Says where results are kept, how many processes there are, and what is shown.
        jobs: The networks.
        doing: What is being done, for people.
    """
    found = {
        index: known
        for index, job in enumerate(jobs)
        if job.key is not None and (known := evaluator.store.get(job.key)) is not None
    }
    waiting = [index for index in range(len(jobs)) if index not in found]
    groups = alike(jobs, waiting)
    problems: dict[tuple[str, ...], str] = {}
    shown = progress if evaluator.settings.show else silent
    cpu = 0.0
    with shown(len(groups), doing) as advance:
        todo = [jobs[group[0]] for group in groups]
        work = persistently(train_and_test, todo, evaluator.settings.workers)
        for done, (place, outcome) in enumerate(work, start=1):
            if outcome.value is None:
                problems |= {jobs[index].row: outcome.problem for index in groups[place]}
            else:
                found |= dict.fromkeys(groups[place], outcome.value)
                cpu += outcome.value["cpu"]
                evaluator.keep(todo[place], outcome.value)
            advance(done, " ".join(todo[place].row))
    rows: dict[tuple[str, ...], list[NetworkResult]] = defaultdict(list)
    for index, job in enumerate(jobs):
        if index in found:
            rows[job.row].append(NetworkResult(**found[index]))
    return Networks(dict(rows), problems, cpu)
