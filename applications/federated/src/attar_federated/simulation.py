"""Federated runs on one machine: clients are shares of one data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from attar.contracts import Task
from attar.errors import UsageError
from attar.folders import OutputFolder, check_free
from attar.registry import Registry

from attar_federated.flower import client_app, server_app
from attar_federated.grid import InProcessGrid
from attar_federated.partitions import histogram, partition
from attar_federated.server import KIND, Outcome, ServerOptions, serve
from attar_federated.settings import FederatedRecipe

__all__ = ["Engine", "shares_of", "simulate"]

Engine: TypeAlias = Literal["ray", "inline"]
"""Where clients work: in processes of Ray, by Flower's simulation engine, or one after another here."""

Source: TypeAlias = Callable[[], Task]


@lru_cache(maxsize=4)
def shares_of(source: Source, text: str, clients: int, seed: int) -> tuple[Task, ...]:
    """Return the clients' data; a process that plays several clients loads them once."""
    return tuple(partition(source(), text, clients, seed))


def _locate(source: Source, recipe: FederatedRecipe) -> Any:
    text, clients, seed = recipe.partition, recipe.clients, recipe.run.seed

    def locate(node: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[Task, int]:
        number = int(node["partition-id"])
        return shares_of(source, text, clients, seed)[number], number

    return locate


def simulate(
    task: Task | Source,
    recipe: FederatedRecipe,
    *,
    engine: Engine = "ray",
    options: ServerOptions | None = None,
    workers: int | None = None,
    force: bool = False,
    registry: Registry | None = None,
) -> Outcome:
    """Carry out a federated run on one machine.

    Args:
        task: The real data, or a function that loads them: a value that each process can be sent.
        recipe: The run.
        engine: ``ray`` for Flower's simulation engine, ``inline`` for this process alone.
        options: How the server works.
        workers: Clients side by side, for ``ray``; by default one per processor.
        force: Whether a run in the output folder is replaced, once the new one is complete.
        registry: The plugins known.

    Raises:
        Interrupted: If the run was stopped; it can be resumed.
        UsageError: If something does not fit.
    """
    options = options or ServerOptions()
    with ExitStack() as stack:
        folder = None
        if options.out is not None:
            if not options.resume:
                check_free(options.out, force, KIND)
            folder = stack.enter_context(OutputFolder(options.out, KIND, force=force))
            folder.start(resume=options.resume)
            options = replace(options, out=folder.path)
        stack.enter_context(_quiet_flower())
        outcome = _carried_out(task, recipe, engine, options, workers, registry)
        if folder is not None:
            folder.take_place()
    return outcome


@contextmanager
def _quiet_flower() -> Iterator[None]:
    """Let Flower report errors only: what else it says at length, we say in a line."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _carried_out(
    task: Task | Source,
    recipe: FederatedRecipe,
    engine: Engine,
    options: ServerOptions,
    workers: int | None,
    registry: Registry | None,
) -> Outcome:
    source: Source = task if callable(task) else _Known(task)
    shares = shares_of(source, recipe.partition, recipe.clients, recipe.run.seed)
    counts = tuple(tuple(row) for row in histogram(shares).tolist())
    options = replace(options, counts=counts)
    whole = source()
    # Whoever starts a simulation named its networks.
    app = client_app(_locate(source, recipe), models=[recipe.model, str(recipe.objective.get("model", ""))])
    if engine == "inline":
        return serve(InProcessGrid(app, recipe.clients), recipe, whole, options, registry)
    return _on_ray(app, recipe, whole, options, workers, registry)


class _Known:
    """A source of data that are in memory.

    Args:
        task: The data.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self) -> Task:
        return self._task

    def __hash__(self) -> int:
        return hash(self._task.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other._task.fingerprint == self._task.fingerprint


def _on_ray(
    app: Any,
    recipe: FederatedRecipe,
    task: Task,
    options: ServerOptions,
    workers: int | None,
    registry: Registry | None,
) -> Outcome:
    """Carry out a run on Flower's simulation engine."""
    from flwr.simulation import run_simulation

    found: list[Outcome] = []

    def work(grid: Any, config: Mapping[str, Any]) -> None:
        found.append(serve(grid, recipe, task, options, registry))

    run_simulation(
        server_app=server_app(work),
        client_app=app,
        num_supernodes=recipe.clients,
        backend_config={
            "init_args": {
                "num_cpus": workers or os.cpu_count() or 1,
                "num_gpus": 0,
                "include_dashboard": False,
                "log_to_driver": False,
                "logging_level": logging.ERROR,
            },
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    if not found:
        raise UsageError("the simulation ended without a result; look at what it said with --verbose")
    return found[0]
