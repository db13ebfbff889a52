"""Processes of this machine."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from pickle import PicklingError
from typing import Any, TypeVar

from attar.errors import UsageError
from attar.jobs.crew import TRIES, Outcome, Surroundings, alone, attempt, death, unsendable

__all__ = ["Processes", "default_workers", "here"]

R = TypeVar("R")

logger = logging.getLogger(__name__)

_MOST_ON_WINDOWS = 61
"""Processes that Windows can wait for at the same time."""


def default_workers() -> int:
    """Return the number of processors that this process may use.

    That is fewer than the machine has where the process is bound to some of them, or where a
    container has a share of their time.
    """
    from joblib import cpu_count

    usable = max(1, int(cpu_count()))
    return min(usable, _MOST_ON_WINDOWS) if sys.platform == "win32" else usable


class _KilledError(Exception):
    """A worker process was killed, and all others with it."""


@dataclass(frozen=True)
class Processes:
    """Processes of this machine; with one, all is done in this process.

    Attributes:
        count: Number of processes.
    """

    count: int = field(default_factory=default_workers)

    def elsewhere(self, count: int) -> bool:
        """Return whether that many pieces are done in other processes than this one."""
        return self.count > 1 and count > 1

    def persist(self, function: Callable[[Any], R], items: Sequence[Any]) -> Iterator[tuple[int, Outcome[R]]]:
        """Yield the place and the outcome of each item, as they are finished; see :class:`Crew`.

        When one worker dies, all do. What had begun is done again, each alone with the machine, so
        that the guilty one is known. With one process nobody is there to begin anything again.
        """
        progress = _Progress(waiting=dict(enumerate(items)), died={})
        with tempfile.TemporaryDirectory(prefix="attar-") as marks:
            begin = partial(_marked, function, marks)
            idle = 0
            while progress.waiting:
                before = len(progress.waiting)
                if self.count == 1:
                    yield from _in_this(begin, progress)
                else:
                    yield from _together(begin, progress, self.count)
                    begun = [place for place in progress.waiting if (Path(marks) / str(place)).exists()]
                    for place in begun:
                        yield from _one_by_one(begin, progress, place)
                # Workers that die before they begin anything would otherwise be started for ever.
                idle = idle + 1 if len(progress.waiting) == before else 0
                if idle >= TRIES:
                    raise UsageError("worker processes are killed as soon as they start; lower --workers")


def here(function: Callable[[Any], R], items: Sequence[Any]) -> Iterator[tuple[int, R]]:
    """Work in this process, with one thread as a worker would, and give its threads back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for index, item in enumerate(items):
            yield index, function(item)
    finally:
        torch.set_num_threads(before)


@dataclass
class _Progress:
    """What is left to do, and how often each piece was begun by a process that died."""

    waiting: dict[int, Any]
    died: dict[int, int]

    def settle(self, place: int, outcome: Outcome[Any]) -> bool:
        """Note an outcome; return whether it is final."""
        if outcome.memory:
            self.died[place] = self.died.get(place, 0) + 1
            if self.died[place] < TRIES:
                return False
        del self.waiting[place]
        return True


def _marked(function: Callable[[Any], R], marks: str, entry: tuple[int, Any] | None) -> Outcome[R]:
    """Do one piece of work and leave a mark that it was begun."""
    if entry is None:
        return Outcome()
    place, item = entry
    (Path(marks) / str(place)).touch()
    return attempt(function, item)


def _in_this(begin: Callable[[Any], Outcome[R]], progress: _Progress) -> Iterator[tuple[int, Outcome[R]]]:
    entries = list(progress.waiting.items())
    for index, outcome in here(begin, entries):
        if progress.settle(entries[index][0], outcome):
            yield entries[index][0], outcome


def _together(
    begin: Callable[[Any], Outcome[R]], progress: _Progress, workers: int
) -> Iterator[tuple[int, Outcome[R]]]:
    """Work in all processes until all is done or one of them dies."""
    entries: list[Any] = [entry for entry in progress.waiting.items() if entry[0] not in progress.died]
    try:
        # joblib does a single piece of work in this process, so it gets an empty companion.
        for index, outcome in _side_by_side(begin, [*entries, None] if entries else [], workers):
            if index < len(entries) and progress.settle(entries[index][0], outcome):
                yield entries[index][0], outcome
    except _KilledError:
        logger.warning("a worker process was killed; what it was doing is done again")


def _one_by_one(
    begin: Callable[[Any], Outcome[R]], progress: _Progress, place: int
) -> Iterator[tuple[int, Outcome[R]]]:
    """Do again what was being done when a process died, with no other work beside it."""
    progress.died.setdefault(place, 1)
    while place in progress.waiting:
        try:
            for index, outcome in _side_by_side(begin, [(place, progress.waiting[place]), None], 2):
                if index == 0 and progress.settle(place, outcome):
                    yield place, outcome
        except _KilledError:
            progress.died[place] += 1
            if progress.died[place] >= TRIES:
                del progress.waiting[place]
                yield place, death(TRIES)


def _numbered(function: Callable[[Any], R], index: int, item: Any, around: Surroundings) -> tuple[int, R]:
    return index, alone(function, item, around)


def _side_by_side(
    function: Callable[[Any], R], items: Sequence[Any], workers: int
) -> Iterator[tuple[int, R]]:
    """Yield the place and the result of each item, from processes of one thread each.

    Raises:
        _KilledError: If one of them was killed.
        UsageError: If an item cannot be sent to one.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    around = Surroundings.here()
    calls: Iterable[Any] = (delayed(_numbered)(function, i, item, around) for i, item in enumerate(items))
    try:
        with warnings.catch_warnings(), parallel_config(backend="loky", inner_max_num_threads=1):
            # A worker whose memory grew is replaced; that is the pool's affair, not the user's.
            warnings.filterwarnings(
                "ignore", message="A worker stopped while some jobs", category=UserWarning
            )
            # Whoever wants no more results knows that what is going on is cancelled.
            warnings.filterwarnings("ignore", message=r"\d+ tasks (which|have)", category=UserWarning)
            # One job per dispatch: jobs are minutes long, and the last ones should not queue up.
            yield from Parallel(
                n_jobs=min(workers, len(items)),
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch="2*n_jobs",
            )(calls)
    except TerminatedWorkerError as error:
        raise _KilledError from error
    except (KeyboardInterrupt, GeneratorExit):
        _end_workers()
        raise
    except PicklingError as error:
        raise unsendable(error) from error


def _end_workers() -> None:
    """End all processes at once: what they do would go on for as long as it takes, for nobody."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=False, kill_workers=True)
