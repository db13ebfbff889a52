"""Work in processes that may die: what was not finished is done again, a few times."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from attar.errors import UsageError
from attar.jobs import in_processes

__all__ = ["TRIES", "Outcome", "persistently", "retried"]

TRIES = 3
"""How often a piece of work whose process died is begun, in all."""

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What came of a piece of work.

    Attributes:
        value: What the function returned; None if there is a problem.
        problem: One sentence on why there is no value, or "".
        memory: Whether memory was refused, so that another try may do better.
    """

    value: R | None = None
    problem: str = ""
    memory: bool = False


def killed(error: BaseException) -> bool:
    """Return whether an error says that a worker process died."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return isinstance(error.__cause__, TerminatedWorkerError)


def _no_memory(error: BaseException) -> bool:
    # PyTorch raises a plain RuntimeError where a CPU's memory is refused.
    said = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said


def _fresh_peak() -> None:
    """Let the process's peak memory count from now on, on Linux: a worker does many jobs."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _attempt(function: Callable[[T], R], marks: str, entry: tuple[int, T] | None) -> Outcome[R]:
    """Do one piece of work and leave a mark that it was begun."""
    if entry is None:
        return Outcome()
    place, item = entry
    (Path(marks) / str(place)).touch()
    _fresh_peak()
    try:
        return Outcome(function(item))
    except UsageError as error:
        return Outcome(problem=str(error))
    except (MemoryError, RuntimeError) as error:
        if not _no_memory(error):
            raise
        return Outcome(problem="there was not enough memory for it; lower --workers", memory=True)


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


def _death(times: int) -> Outcome[Any]:
    return Outcome(
        problem=f"its process was killed {times} times, most often for lack of memory; lower --workers, or "
        f"ask for a smaller model or set"
    )


def persistently(
    function: Callable[[Any], R], items: Sequence[Any], workers: int
) -> Iterator[tuple[int, Outcome[R]]]:
    """Yield the place and the outcome of each item, as they are finished.

    Where a worker process dies, as when memory runs out, the pieces of work that had begun are
    done again, each alone with the machine, so that the guilty one is known; after
    :data:`TRIES` times in all it is given up, and its outcome says so. Work is therefore to be
    such that it can be begun again. With one worker all is done in this process, which has
    nobody to begin it again.

    Args:
        function: Called with one item; a module's function, so that it can be sent.
        items: The items.
        workers: Number of processes.
    """
    progress = _Progress(waiting=dict(enumerate(items)), died={})
    with tempfile.TemporaryDirectory(prefix="attar-") as marks:
        begin = partial(_attempt, function, marks)
        idle = 0
        while progress.waiting:
            before = len(progress.waiting)
            if workers == 1:
                yield from _here(begin, progress)
            else:
                yield from _together(begin, progress, workers)
                begun = [place for place in progress.waiting if (Path(marks) / str(place)).exists()]
                for place in begun:
                    yield from _alone(begin, progress, place)
            # Workers that die before they begin anything would otherwise be started for ever.
            idle = idle + 1 if len(progress.waiting) == before else 0
            if idle >= TRIES:
                raise UsageError("worker processes are killed as soon as they start; lower --workers")


def _here(begin: Callable[[Any], Outcome[R]], progress: _Progress) -> Iterator[tuple[int, Outcome[R]]]:
    entries = list(progress.waiting.items())
    for index, outcome in in_processes(begin, entries, 1):
        if progress.settle(entries[index][0], outcome):
            yield entries[index][0], outcome


def _together(
    begin: Callable[[Any], Outcome[R]], progress: _Progress, workers: int
) -> Iterator[tuple[int, Outcome[R]]]:
    """Work in all processes until all is done or one of them dies."""
    entries: list[Any] = [entry for entry in progress.waiting.items() if entry[0] not in progress.died]
    try:
        # A single piece of work would be done in this process, so it gets an empty companion.
        for index, outcome in in_processes(begin, [*entries, None] if entries else [], workers):
            if index < len(entries) and progress.settle(entries[index][0], outcome):
                yield entries[index][0], outcome
    except UsageError as error:
        if not killed(error):
            raise
        logger.warning("a worker process was killed; what it was doing is done again")


def _alone(
    begin: Callable[[Any], Outcome[R]], progress: _Progress, place: int
) -> Iterator[tuple[int, Outcome[R]]]:
    """Do again what was being done when a process died, with no other work beside it."""
    progress.died.setdefault(place, 1)
    while place in progress.waiting:
        try:
            for index, outcome in in_processes(begin, [(place, progress.waiting[place]), None], 2):
                if index == 0 and progress.settle(place, outcome):
                    yield place, outcome
        except UsageError as error:
            if not killed(error):
                raise
            progress.died[place] += 1
            if progress.died[place] >= TRIES:
                del progress.waiting[place]
                yield place, _death(TRIES)


def retried(work: Callable[[], R]) -> R:
    """Return what a function returns that keeps what it has done, and begin it again if a worker dies.

    Raises:
        UsageError: If a worker dies each time, or for a reason of its own.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except UsageError as error:
            if not killed(error):
                raise
    return work()
