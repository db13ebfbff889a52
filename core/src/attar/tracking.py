"""Sending a run's figures to an experiment tracker that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from attar.errors import UsageError
from attar.owned import recording
from attar.runner import StepRecord
from attar.settings import unknown

__all__ = ["TRACKERS", "check_trackers", "tracked"]

Send: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Called with a step and its figures."""

_MOST_POINTS = 1000


def _missing(name: str, package: str, error: ImportError) -> UsageError:
    message = f"--log {name} needs the package {package}: pip install {package}"
    wrapped = UsageError(message)
    wrapped.__cause__ = error
    return wrapped


@contextmanager
def _tensorboard(run: Path, settings: Mapping[str, Any]) -> Iterator[Send]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard", "tensorboard", error) from error
    with recording(run / "tensorboard", "events.out.tfevents.*"):
        yield from _events(SummaryWriter(str(run / "tensorboard")), settings)


def _events(writer: Any, settings: Mapping[str, Any]) -> Iterator[Send]:
    try:
        writer.add_text("recipe", f"```toml\n{settings['recipe']}\n```")

        def send(step: int, figures: Mapping[str, float]) -> None:
            for name, value in figures.items():
                writer.add_scalar(name, value, step)

        yield send
    finally:
        writer.close()


@contextmanager
def _wandb(run: Path, settings: Mapping[str, Any]) -> Iterator[Send]:
    try:
        import wandb
    except ImportError as error:
        raise _missing("wandb", "wandb", error) from error
    # Account, project and whether it works offline come from its own settings and environment.
    with recording(run / "wandb", "run-*", "offline-run-*", "debug*.log", "settings"):
        session = wandb.init(name=run.name, dir=str(run), config=dict(settings))
        try:
            yield lambda step, figures: session.log(dict(figures), step=step)
        finally:
            session.finish()


@contextmanager
def _mlflow(run: Path, settings: Mapping[str, Any]) -> Iterator[Send]:
    try:
        import mlflow
    except ImportError as error:
        raise _missing("mlflow", "mlflow", error) from error
    with mlflow.start_run(run_name=run.name):
        mlflow.log_text(str(settings["recipe"]), "recipe.toml")
        yield lambda step, figures: mlflow.log_metrics(dict(figures), step=step)


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Any]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
"""The trackers known; each is a package of its own, installed by whoever uses it."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse an unknown tracker.

    Raises:
        UsageError: Listing the known ones.
    """
    for name in names:
        if name not in TRACKERS:
            raise UsageError(unknown("tracker", name, TRACKERS))


@contextmanager
def tracked(names: Sequence[str], run: Path, recipe: str) -> Iterator[Callable[[StepRecord], None]]:
    """Yield a callback that sends loss and cost of steps to trackers.

    Args:
        names: Out of :data:`TRACKERS`.
        run: Folder of the run.
        recipe: Its recipe, as TOML.

    Raises:
        UsageError: If a tracker is unknown or not installed.
    """
    check_trackers(names)
    with ExitStack() as stack:
        senders: list[Send] = [stack.enter_context(TRACKERS[name](run, {"recipe": recipe})) for name in names]

        def tell(record: StepRecord) -> None:
            every = max(1, record.steps // _MOST_POINTS)
            if record.step % every and record.step != record.steps:
                return
            figures = {
                "loss": record.loss,
                "cpu_seconds": record.cost.cpu,
                "wall_seconds": record.cost.wall,
                "peak_bytes": float(record.cost.peak_bytes),
            }
            for send in senders:
                send(record.step, figures)

        yield tell
