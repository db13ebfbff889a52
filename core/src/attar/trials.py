"""What a run will take, from its first steps."""

from __future__ import annotations

import math
import time

from attar.contracts import Task
from attar.cost import Cost, peak_memory
from attar.errors import InternalError
from attar.experts import ExpertsMissingError, experts_folder
from attar.recipe import Resolved
from attar.registry import Registry
from attar.run_folder import RunSettings
from attar.runner import RunOptions, StepRecord, Stopped, run
from attar.settings import Record
from attar.sizing import start

__all__ = ["Estimate", "estimate"]

_SECONDS = 20.0
"""Wall seconds after which no more steps are tried, beyond the least number of them."""
_LEAST, _MOST = 3, 12
"""Many methods look at real data every tenth step: eleven behind the first tell what that costs."""


class Estimate(Record):
    """What a run is expected to take on this machine, without networks that judge runs or steps of it.

    Attributes:
        tried: Steps that were tried; the first one, which is slow, is left out of the mean.
        cpu_seconds: CPU seconds of all steps.
        wall_seconds: Wall seconds of all steps.
        peak_bytes: Peak memory of this process, data included.
    """

    tried: int
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def estimate(task: Task, resolved: Resolved, settings: RunSettings, registry: Registry) -> Estimate | None:
    """Take a few steps of a run, keep nothing of them, and return what all of it will take.

    Args:
        task: The real data.
        resolved: The recipe.
        settings: Where the run would be; nothing is written there.
        registry: The plugins known.

    Returns:
        The estimate; None where nothing is learned step by step, or where experts have to be trained
        before.

    Raises:
        UsageError: As the run would.
        DivergenceError: As the run would in its first steps.
    """
    method, chosen = resolved.method, resolved.settings
    if method is None or chosen is None:
        return None
    syn, _ = start(task, resolved, registry)
    seen: list[Cost] = []
    begun = time.perf_counter()

    def enough() -> bool:
        return len(seen) >= _MOST or (len(seen) >= _LEAST and time.perf_counter() - begun > _SECONDS)

    def record(step: StepRecord) -> None:
        seen.append(step.cost)

    # A folder that is named has to hold the experts: none are made for a trial.
    options = RunOptions(
        device=settings.device,
        bf16=resolved.recipe.run.precision == "bf16",
        callbacks=[record],
        save_every=chosen.steps + 1,
        stop=enough,
        experts=settings.experts or experts_folder(),
    )
    try:
        run(
            task,
            method.build(chosen),
            syn,
            steps=chosen.steps,
            optim=method.optimizers(chosen),
            seed=resolved.recipe.run.seed,
            subjects=chosen.subjects,
            classes_at_once=chosen.classes_at_once,
            options=options,
        )
    except Stopped:
        pass
    except ExpertsMissingError:
        if settings.experts is not None:
            raise
        return None
    if not seen:
        raise InternalError("a trial took no step")
    first, last, more = seen[0], seen[-1], max(1, len(seen) - 1)
    before = first if len(seen) > 1 else Cost()
    whole = chosen.steps * chosen.restarts
    return Estimate(
        tried=len(seen),
        cpu_seconds=_rounded((last.cpu - before.cpu) / more * whole),
        wall_seconds=_rounded((last.wall - before.wall) / more * whole),
        peak_bytes=peak_memory(),
    )


def _rounded(seconds: float) -> float:
    """Return seconds to two digits: more are not known."""
    if seconds <= 0:
        return 0.0
    return round(seconds, 1 - math.floor(math.log10(seconds)))
