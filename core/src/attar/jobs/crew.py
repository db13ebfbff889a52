"""Who does independent pieces of work, and what comes of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import PicklingError
from typing import Any, Generic, Protocol, TypeVar

from attar.errors import UsageError

__all__ = ["TRIES", "Crew", "Outcome", "Surroundings", "alone", "attempt", "death", "unsendable"]

TRIES = 3
"""How often a piece of work whose process died is begun, in all."""

T = TypeVar("T")
R = TypeVar("R")

_OURS = "ATTAR_"


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


class Crew(Protocol):
    """Does independent pieces of work."""

    def elsewhere(self, count: int) -> bool:
        """Return whether that many pieces are done in other processes than this one."""
        ...

    def persist(self, function: Callable[[Any], R], items: Sequence[Any]) -> Iterator[tuple[int, Outcome[R]]]:
        """Yield the place and the outcome of each item, as they are finished.

        Work whose process dies, as when memory runs out, is done again; after :data:`TRIES` times in
        all it is given up, and its outcome says so. Work is therefore to be such that it can be
        begun again.

        Args:
            function: Called with one item; a module's function, so that it can be sent. A
                :class:`~attar.errors.UsageError` of it becomes the outcome of its item; any other
                error is raised here.
            items: The items.

        Raises:
            UsageError: If nothing can be begun at all, or an item cannot be sent.
        """
        ...


@dataclass(frozen=True)
class Surroundings:
    """What paths are relative to, and where things are found: workers outlive changes of these."""

    folder: str
    variables: Mapping[str, str]

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of this process."""
        found = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
        return cls(os.getcwd(), found)

    def enter(self) -> None:
        """Make them those of this process.

        Raises:
            UsageError: If the folder is not there.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise UsageError(
                f"a worker does not see the folder {self.folder!r}; work in one that all nodes share"
            ) from error
        for name in [name for name in os.environ if name.startswith(_OURS)]:
            del os.environ[name]
        os.environ.update(self.variables)


def alone(function: Callable[[T], R], item: T, around: Surroundings) -> R:
    """Do a piece of work in a worker: with one thread, and where the others are."""
    import torch

    from attar.allocator import keep_memory

    around.enter()
    keep_memory()
    torch.set_num_threads(1)
    return function(item)


def attempt(function: Callable[[T], R], item: T) -> Outcome[R]:
    """Return what comes of a piece of work."""
    _fresh_peak()
    try:
        return Outcome(function(item))
    except UsageError as error:
        return Outcome(problem=str(error))
    except (MemoryError, RuntimeError) as error:
        if not _no_memory(error):
            raise
        return Outcome(problem="there was not enough memory for it; lower --workers", memory=True)


def death(times: int) -> Outcome[Any]:
    """Return the outcome of work whose process died that often."""
    return Outcome(
        problem=f"its process was killed {times} times, most often for lack of memory; lower --workers, or "
        f"ask for a smaller model or set"
    )


def unsendable(error: PicklingError | TypeError) -> UsageError:
    """Return the refusal of work that cannot be sent to another process."""
    said = str(error.__cause__ or error).strip().strip('"').strip().splitlines()
    return UsageError(
        f"the work cannot be sent to worker processes ({said[-1] if said else type(error).__name__}), as "
        f"with a model that holds a lock or an open file; work in one process with workers=1"
    )


def _no_memory(error: BaseException) -> bool:
    # PyTorch raises a plain RuntimeError where a CPU's memory is refused.
    said = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said


def _fresh_peak() -> None:
    """Let the process's peak memory count from now on, on Linux: a worker does many jobs."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
