"""Choosing a point of the grid for each method, on validation data alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attar.comparison.networks import Networks, set_jobs, train
from attar.comparison.plan import Plan
from attar.comparison.recipes import Contender, Trial
from attar.comparison.results import TrialRow
from attar.comparison.sets import Made, make_sets
from attar.contracts import Task
from attar.evaluation_jobs import Evaluator
from attar.files import write_file
from attar.registry import Registry
from attar.reports import Score

__all__ = ["Choice", "choose", "tuning_csv"]


@dataclass(frozen=True)
class Choice:
    """The settings that a method takes part with.

    Attributes:
        contender: Method and size.
        trial: The chosen point, or None if there is none.
        rows: All points with their validation accuracy.
        problem: Why no point was chosen, or "".
    """

    contender: Contender
    trial: Trial | None
    rows: tuple[TrialRow, ...] = ()
    problem: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, by the user's keys."""
        return {} if self.trial is None else dict(self.trial.point)

    @property
    def trials(self) -> int:
        """Points of which the validation accuracy is known; 1 where there was nothing to choose."""
        return max(1, sum(row.validation is not None for row in self.rows))


def choose(plan: Plan, task: Task, evaluator: Evaluator, registry: Registry) -> tuple[list[Choice], float]:
    """Choose a point for each method and size, and write all points to ``tuning.csv``.

    Of several points the one with the best validation accuracy is taken, the first of equals.
    Test figures, though the networks are tested too, are not looked at.

    Returns:
        The choices, and the CPU seconds of the networks trained for them in this call.

    Raises:
        Stopped: As :func:`attar.comparison.sets.make_sets`.
    """
    seeds = plan.settings.trial_seeds
    several = [each for each in plan.contenders if len(each.trials) > 1]
    wanted = [(trial, seed) for each in several for trial in each.trials for seed in seeds]
    made = make_sets(task, plan.settings, wanted, registry) if wanted else Made()
    jobs = [
        job
        for each in several
        for trial in each.trials
        for artifact in made.load(trial, seeds, registry)
        for job in set_jobs(evaluator, ("trial", trial.folder(0)), artifact, plan.arch)
    ]
    networks = train(evaluator, jobs, f"training networks to choose settings on {task.name}")
    choices = [_choice(each, made, networks, seeds, registry) for each in plan.contenders]
    rows = [row for choice in choices for row in choice.rows]
    if rows:
        # Before any test figure is read, so that nobody can say the choice was made by one.
        write_file(plan.settings.out / "tuning.csv", tuning_csv(task.name, rows).encode())
    return choices, networks.cpu


def _choice(
    contender: Contender, made: Made, networks: Networks, seeds: Sequence[int], registry: Registry
) -> Choice:
    if len(contender.trials) <= 1:
        trial = next(iter(contender.trials), None)
        return Choice(contender, trial, _dropped(contender), contender.problem)
    rows = [_row(contender, trial, made, networks, seeds, registry) for trial in contender.trials]
    able = [place for place, row in enumerate(rows) if row.validation is not None]
    if not able:
        return Choice(contender, None, (*rows, *_dropped(contender)), rows[0].problem)
    best = max(able, key=lambda place: (_mean(rows[place]), -place))
    rows[best] = rows[best].model_copy(update={"chosen": True})
    return Choice(contender, contender.trials[best], (*rows, *_dropped(contender)))


def _mean(row: TrialRow) -> float:
    return -1.0 if row.validation is None else row.validation.mean


def _dropped(contender: Contender) -> tuple[TrialRow, ...]:
    return tuple(
        TrialRow(
            method=contender.method, ipc=contender.ipc, settings=dict(trial.point), problem=trial.problem
        )
        for trial in contender.dropped
    )


def _row(
    contender: Contender,
    trial: Trial,
    made: Made,
    networks: Networks,
    seeds: Sequence[int],
    registry: Registry,
) -> TrialRow:
    row = ("trial", trial.folder(0))
    results = networks.rows.get(row, [])
    problem = made.problem(trial, seeds) or networks.problems.get(row, "")
    values = [result.validation for result in results if result.validation is not None]
    spent = sum(artifact.manifest.cost.cpu for artifact in made.load(trial, seeds, registry))
    return TrialRow(
        method=contender.method,
        ipc=contender.ipc,
        settings=dict(trial.point),
        # A point that loses some of its sets is no better for it.
        validation=Score.of(values) if values and not problem else None,
        cpu=round(spent + sum(result.cpu for result in results), 1),
        problem=problem,
    )


def tuning_csv(data: str, rows: Sequence[TrialRow]) -> str:
    """Return the points of a grid as CSV, one line each."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(
        ["data", "method", "ipc", "settings", "validation", "std", "n", "cpu_seconds", "chosen", "problem"]
    )
    for row in rows:
        text = " ".join(f"{key}={value}" for key, value in row.settings.items())
        score = row.validation
        figures = ["", "", ""] if score is None else [score.mean, score.std, score.n]
        writer.writerow(
            [data, row.method, row.ipc, text, *figures, round(row.cpu), int(row.chosen), row.problem]
        )
    return target.getvalue()
