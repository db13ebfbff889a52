"""Machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pickle import PicklingError
from typing import Any, TypeVar

from pydantic import Field

from attar.errors import UsageError
from attar.jobs.crew import TRIES, Outcome, Surroundings, alone, attempt, death, unsendable
from attar.settings import Settings

__all__ = ["RayCluster"]

R = TypeVar("R")

logger = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds until a cluster has to answer."""


class RayCluster(Settings):
    """Machines of a Ray cluster that runs already; each piece of work takes one processor.

    All nodes have the same packages, and see the folders of runs, of the cache and of data that are
    read as they are needed under the same paths, as on a file system that they share. Ray gives work
    to whichever node is free; where the process or the node of one dies, it is given out again.

    Attributes:
        address: Of the cluster, as ``ray start`` tells it; ``auto`` finds one that this machine
            belongs to, or that ``RAY_ADDRESS`` names.
        gpus: GPUs, or the share of one, that each piece of work takes.
    """

    address: str = Field(default="auto", min_length=1)
    gpus: float = Field(default=0.0, ge=0)

    def elsewhere(self, count: int) -> bool:
        """Return whether that many pieces are done in other processes than this one."""
        return count > 0

    def persist(self, function: Callable[[Any], R], items: Sequence[Any]) -> Iterator[tuple[int, Outcome[R]]]:
        """Yield the place and the outcome of each item, as they are finished; see :class:`Crew`."""
        if not items:
            return
        ray = self._connected()
        from ray import exceptions

        gone = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        )
        # Counted here, so that all workers give up after as many tries.
        begin = ray.remote(_piece).options(num_cpus=1, num_gpus=self.gpus, max_retries=0)
        around = Surroundings.here()
        try:
            # Together, so that data which all items hold are sent once.
            sent = ray.put((function, list(items)))
        except (PicklingError, TypeError) as error:
            raise unsendable(error) from error
        waiting = {begin.remote(sent, place, around): place for place in range(len(items))}
        begun = dict.fromkeys(range(len(items)), 1)
        try:
            while waiting:
                [first], _ = ray.wait(list(waiting), num_returns=1)
                place = waiting.pop(first)
                try:
                    outcome = ray.get(first)
                except exceptions.RayTaskError as error:
                    raise _cause(error) from None
                except gone:
                    outcome = death(begun[place])
                    again = True
                else:
                    again = outcome.memory
                if again and begun[place] < TRIES:
                    logger.warning("a worker of the cluster was lost; what it was doing is done again")
                    begun[place] += 1
                    waiting[begin.remote(sent, place, around)] = place
                else:
                    yield place, outcome
        finally:
            for left in waiting:
                ray.cancel(left, force=True)

    def _connected(self) -> Any:
        """Return Ray, connected to the cluster.

        Raises:
            UsageError: If Ray is not installed, or no cluster answers.
        """
        # Work that asks for no GPU sees those of its node, as processes of one machine do.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "work on a cluster needs Ray, which is not installed; install attar-core[ray]"
            ) from error
        if not ray.is_initialized():
            try:
                _knock(self.address)
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.WARNING)
            except (OSError, RuntimeError, ValueError) as error:
                raise UsageError(
                    f"no Ray cluster answers at {self.address!r}; start one with 'ray start --head', or give "
                    f"its address as in --workers ray,address=10.0.0.1:6379"
                ) from error
        return ray


def _knock(address: str) -> None:
    """See whether anybody listens at the address of a cluster: Ray itself asks for minutes.

    Raises:
        OSError: If nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _piece(sent: tuple[Callable[[Any], R], list[Any]], place: int, around: Surroundings) -> Outcome[R]:
    function, items = sent
    return alone(_attempted, (function, items[place]), around)


def _attempted(work: tuple[Callable[[Any], R], Any]) -> Outcome[R]:
    function, item = work
    return attempt(function, item)


def _cause(error: Any) -> BaseException:
    """Return what a piece of work raised, without the report that Ray makes of it."""
    cause: BaseException = error.cause
    if isinstance(cause, ModuleNotFoundError):
        return UsageError(
            f"a node of the cluster lacks the module {cause.name!r}; install the same packages on all nodes"
        )
    return cause
