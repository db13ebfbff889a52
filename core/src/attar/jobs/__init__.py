"""Independent pieces of work: in processes of this machine, or on a cluster.

Each piece has one thread, so that a figure does not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from attar.errors import UsageError
from attar.jobs.cluster import RayCluster
from attar.jobs.crew import TRIES, Crew, Outcome
from attar.jobs.processes import Processes, default_workers, here
from attar.settings import parse

__all__ = [
    "TRIES",
    "Crew",
    "Outcome",
    "Processes",
    "RayCluster",
    "Workers",
    "as_workers",
    "crew",
    "default_workers",
    "in_others",
    "parse_workers",
    "persistently",
    "results",
]

Workers: TypeAlias = int | Crew
"""A number of processes of this machine, or who else does the work."""

R = TypeVar("R")


def crew(workers: Workers) -> Crew:
    """Return who does the work."""
    return Processes(workers) if isinstance(workers, int) else workers


def parse_workers(text: str | None) -> Workers:
    """Return the workers that a user wrote: ``4``, ``ray`` or ``ray,address=10.0.0.1:6379,gpus=1``.

    Args:
        text: What was written; None for one process per processor.

    Raises:
        UsageError: If it is none of these.
    """
    if text is None:
        return default_workers()
    if text.isdecimal() and int(text) > 0:
        return int(text)
    name, *pairs = [part.strip() for part in text.split(",")]
    if name != "ray" or any("=" not in pair for pair in pairs):
        raise UsageError(
            f"--workers {text} does not fit: give a number of processes, or 'ray' for a cluster, as in "
            f"ray,address=10.0.0.1:6379,gpus=1"
        )
    return parse(RayCluster, dict(pair.split("=", 1) for pair in pairs), "ray")


def as_workers(asked: Workers | str | None) -> Workers:
    """Return workers that are given as such, as text for :func:`parse_workers`, or by default."""
    return parse_workers(asked) if asked is None or isinstance(asked, str) else asked


def in_others(count: int, workers: Workers) -> bool:
    """Return whether that many pieces of work are done in other processes than this one."""
    return crew(workers).elsewhere(count)


def persistently(
    function: Callable[[Any], R], items: Sequence[Any], workers: Workers
) -> Iterator[tuple[int, Outcome[R]]]:
    """Yield the place and the outcome of each item, as they are finished; see :meth:`Crew.persist`."""
    return crew(workers).persist(function, items)


def results(function: Callable[[Any], R], items: Sequence[Any], workers: Workers) -> Iterator[tuple[int, R]]:
    """Yield the place and the result of each item, as they are finished.

    What a dead worker was doing is done again, up to :data:`TRIES` times in all.

    Args:
        function: Called with one item; a module's function, so that it can be sent.
        items: The items.
        workers: Who does the work; a single item is worked on in this process, unless there is a
            cluster.

    Raises:
        UsageError: If an item is refused, its workers died, or it cannot be sent to one.
    """
    team = crew(workers)
    if not team.elsewhere(len(items)):
        yield from here(function, items)
        return
    for place, outcome in team.persist(function, items):
        if outcome.problem:
            raise UsageError(outcome.problem)
        # Without a problem there is a value, if only None.
        yield place, outcome.value  # type: ignore[misc]
