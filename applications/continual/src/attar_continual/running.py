"""One method on one stream, from the first experience to the last."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.contracts import Task
from attar.errors import InternalError
from attar.optim import OptimSpec
from attar.owned import recording
from attar.rng import derive, scoped
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import CSVLogger, TensorboardLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from torch import nn

from attar_continual.budget import Budget
from attar_continual.items import InContext, placed
from attar_continual.methods import KNOWN, Parts, Setup
from attar_continual.results import JobResult
from attar_continual.settings import ContinualRecipe
from attar_continual.stopping import Interrupted, never
from attar_continual.streams import Stream, class_order, class_stream, group_stream

__all__ = ["Job", "carried_out", "stream_of"]

_ROWS = 512


@dataclass(frozen=True)
class Job:
    """One method on one stream.

    Attributes:
        method: The method.
        seed: Seed of the stream and of the network.
        budget: How large the memory may be.
        logs: Which of :data:`attar_continual.names.LOGS` are written.
        folder: Where they, and memories, are written; None for nowhere.
        keep: Whether the memory is saved after each experience.
    """

    method: str
    seed: int
    budget: Budget
    logs: tuple[str, ...] = ()
    folder: Path | None = None
    keep: bool = False


def stream_of(task: Task, recipe: ContinualRecipe, seed: int) -> Stream:
    """Return the stream of a seed.

    Raises:
        UsageError: If the data cannot be told over experiences so.
    """
    if recipe.stream == "groups":
        return group_stream(task, recipe.pattern, seed)
    return class_stream(task, recipe.sizes(), class_order(task, seed))


def carried_out(task: Task, recipe: ContinualRecipe, job: Job, stop: Callable[[], bool] = never) -> JobResult:
    """Learn a stream, and test after each experience.

    Args:
        task: All data.
        recipe: The run.
        job: Which method, on which stream.
        stop: Asked after each experience; True ends the run.

    Raises:
        Interrupted: If it was stopped.
        UsageError: If something does not fit.
    """
    stream = stream_of(task, recipe, job.seed)
    parts = KNOWN[job.method](Setup(recipe, task, job.budget, job.seed))
    with _quiet(), _loggers(job) as loggers:
        strategy = _strategy(task, recipe, parts, job, loggers)
        return _learned(stream, strategy, parts, job, stop)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from users what Avalanche says of itself: that there is no logger."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No loggers specified", category=UserWarning)
        yield


_LOGGED = {
    "csv": ("training_results.csv", "eval_results.csv"),
    "tensorboard": ("events.out.tfevents.*",),
}
"""Names that Avalanche's loggers give to what they write."""


@contextmanager
def _loggers(job: Job) -> Iterator[list[Any]]:
    """Yield loggers of Avalanche, whose files are closed in the end."""
    with ExitStack() as stack:
        made: list[Any] = []
        folder = job.folder
        if folder is not None:
            for name in job.logs:
                stack.enter_context(recording(folder / name, *_LOGGED[name]))
        if folder is not None and "csv" in job.logs:
            made.append(CSVLogger(str(folder / "csv")))
            stack.callback(made[-1].close)
        if folder is not None and "tensorboard" in job.logs:
            made.append(TensorboardLogger(str(folder / "tensorboard")))
            stack.callback(made[-1].writer.close)
        yield made


def _strategy(task: Task, recipe: ContinualRecipe, parts: Parts, job: Job, loggers: list[Any]) -> Any:
    model = task.build(recipe.model, derive(job.seed, "network"))
    network: nn.Module = InContext(model, task) if placed(task) else model
    learn = parts.learn
    spec = OptimSpec(
        name=learn.optimizer, lr=learn.lr, momentum=learn.momentum, weight_decay=learn.weight_decay
    )
    evaluator = EvaluationPlugin(accuracy_metrics(experience=True, stream=True), loggers=loggers)
    return Naive(
        model=network,
        optimizer=spec.build(network.parameters()),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=learn.batch,
        train_epochs=learn.epochs,
        eval_mb_size=_ROWS,
        plugins=list(parts.plugins),
        evaluator=evaluator,
    )


def _learned(stream: Stream, strategy: Any, parts: Parts, job: Job, stop: Callable[[], bool]) -> JobResult:
    benchmark = stream.benchmark()
    test: list[tuple[float, ...]] = []
    held: list[tuple[float, ...]] = []
    sizes: list[tuple[int, int]] = []
    cpu = 0.0
    for number, experience in enumerate(benchmark.train_stream):
        if stop():
            raise Interrupted
        begun = time.process_time()
        with scoped(derive(job.seed, "learn", number)):
            strategy.train(experience, eval_streams=[], num_workers=0)
        cpu += time.process_time() - begun
        test.append(_tested(strategy, benchmark, "test"))
        if stream.validation:
            held.append(_tested(strategy, benchmark, "validation"))
        if parts.held is not None:
            sizes.append(parts.held.size())
        if job.keep and job.folder is not None and parts.learner is not None:
            parts.learner.save(job.folder / "memory" / str(number))
    return JobResult(
        method=job.method,
        seed=job.seed,
        test=tuple(test),
        validation=tuple(held),
        counts=tuple(len(rows) for rows in stream.test),
        held=tuple(len(rows) for rows in stream.validation),
        memory=tuple(n for n, _ in sizes),
        bytes=tuple(size for _, size in sizes),
        cpu=round(cpu, 2),
        distilling=0.0 if parts.learner is None else round(sum(each.cpu for each in parts.learner.costs), 2),
    )


def _tested(strategy: Any, benchmark: Any, split: str) -> tuple[float, ...]:
    """Return the accuracy on each test of a stream, in percent."""
    stream = getattr(benchmark, f"{split}_stream")
    with scoped(derive(0, "test")):
        said = strategy.eval(stream, num_workers=0)
    return accuracies(said, f"{split}_stream", len(stream))


def accuracies(said: dict[str, Any], stream: str, tests: int) -> tuple[float, ...]:
    """Return the accuracy on each test from what Avalanche says, in percent.

    Args:
        said: Values by name; a name holds a task label where experiences have one.
        stream: Name of the stream.
        tests: Number of tests.

    Raises:
        InternalError: If one of them is missing.
    """
    found: dict[int, float] = {}
    for name, value in said.items():
        metric, *rest = name.split("/")
        if metric == "Top1_Acc_Exp" and stream in rest and rest[-1].startswith("Exp"):
            found[int(rest[-1].removeprefix("Exp"))] = 100 * float(value)
    if sorted(found) != list(range(tests)):
        raise InternalError(f"Avalanche gave no accuracy for some of the {tests} tests of the {stream}")
    return tuple(round(found[test], 4) for test in range(tests))
