"""Independent pieces of work in processes of one thread each.

One thread per process makes a figure independent of the number of workers.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any, TypeVar

from attar.errors import UsageError

__all__ = ["default_workers", "in_others", "in_processes"]

T = TypeVar("T")
R = TypeVar("R")


_OURS = "ATTAR_"
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


@dataclass(frozen=True)
class _Surroundings:
    """What paths are relative to, and where things are found: workers outlive changes of these."""

    folder: str
    variables: Mapping[str, str]

    @classmethod
    def here(cls) -> _Surroundings:
        found = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
        return cls(os.getcwd(), found)

    def enter(self) -> None:
        os.chdir(self.folder)
        for name in [name for name in os.environ if name.startswith(_OURS)]:
            del os.environ[name]
        os.environ.update(self.variables)


def _one(function: Callable[[T], R], index: int, item: T, around: _Surroundings) -> tuple[int, R]:
    import torch

    from attar.allocator import keep_memory

    around.enter()
    keep_memory()
    torch.set_num_threads(1)
    return index, function(item)


def _here(function: Callable[[Any], R], items: Sequence[Any]) -> Iterator[tuple[int, R]]:
    """Work in this process, with one thread as a worker would, and give its threads back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for index, item in enumerate(items):
            yield index, function(item)
    finally:
        torch.set_num_threads(before)


def in_others(count: int, workers: int) -> bool:
    """Return whether that many items are worked on in other processes than this one."""
    return workers > 1 and count > 1


def in_processes(function: Callable[[Any], R], items: Sequence[Any], workers: int) -> Iterator[tuple[int, R]]:
    """Yield the place and the result of each item, as they are finished.

    Args:
        function: Called with one item; a module's function, so that it can be sent.
        items: The items.
        workers: Number of processes.

    Raises:
        UsageError: If a worker process was killed, as happens when memory runs out, or an item
            cannot be sent to one.
    """
    if not in_others(len(items), workers):
        yield from _here(function, items)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    around = _Surroundings.here()
    calls: Iterable[Any] = (delayed(_one)(function, i, item, around) for i, item in enumerate(items))
    workers = min(workers, len(items))
    try:
        with warnings.catch_warnings(), parallel_config(backend="loky", inner_max_num_threads=1):
            # A worker whose memory grew is replaced; that is the pool's affair, not the user's.
            warnings.filterwarnings(
                "ignore", message="A worker stopped while some jobs", category=UserWarning
            )
            # One job per dispatch: jobs are minutes long, and the last ones should not queue up.
            yield from Parallel(
                n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
            )(calls)
    except TerminatedWorkerError as error:
        raise UsageError(
            "a worker process was killed, most often for lack of memory; lower --workers"
        ) from error
    except PicklingError as error:
        why = str(error.__cause__ or error).strip().strip('"').strip().splitlines()[-1]
        raise UsageError(
            f"the work cannot be sent to worker processes ({why}), as with a model that holds a lock or an "
            f"open file; work in one process with workers=1"
        ) from error
