"""``attar experts``: what a method needs to have trained before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from attar.api import load_task
from attar.cli import tables
from attar.cli.telling import tell
from attar.cli.work import begin, cache_mode, make_recipe
from attar.contracts import Clock, Context, PreparationStopped, Workplace
from attar.devices import find_device
from attar.errors import UsageError
from attar.experts import experts_folder
from attar.jobs import in_others, parse_workers
from attar.progress import progress, silent
from attar.recipe import resolve
from attar.registry import Registry
from attar.reports import Seconds
from attar.runner import check
from attar.runs import interruptible
from attar.settings import Record

__all__ = ["ExpertsResult", "make_experts"]


class ExpertsResult(Record):
    """What ``attar experts --json`` prints.

    Attributes:
        folder: Where the experts are.
        method: Method that they are for.
        data: Name of the data.
        architecture: What was trained.
        count: Number of experts.
        epochs: Epochs of each.
        files: Number of files in the folder, of these and other experts.
        bytes: Their size.
        seconds: What all of these experts took, whenever they were trained.
    """

    folder: str
    method: str
    data: str
    architecture: str
    count: int
    epochs: int
    files: int
    bytes: int
    seconds: Seconds


def make_experts(
    modality: str,
    *,
    data: str | None,
    root: Path | None,
    download: bool,
    method: str,
    objective: Mapping[str, Any],
    out: Path | None,
    changes: Mapping[str, str],
    device: str,
    cache: str,
    threads: int | None,
    workers: str | None,
    show: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Train the experts of a method and say where they are."""
    begin(verbose)
    # Unlike evaluation, training an expert gains from several threads.
    crew = parse_workers(workers or "1")
    if threads is not None:
        torch.set_num_threads(threads)
    registry = Registry()
    recipe = make_recipe(
        modality=modality,
        data=data,
        method=method,
        size={"ipc": 1},
        objective=objective,
        seed=0,
        precision="fp32",
        changes=changes,
    )
    resolved = resolve(recipe, registry)
    settings = resolved.settings
    count, epochs = getattr(settings, "count", None), getattr(settings, "epochs", None)
    if resolved.method is None or settings is None or count is None or epochs is None:
        raise UsageError(f"the method {method!r} has no experts; choose one that does, such as mtt")
    task = load_task(resolved, data or recipe.data.name, root, download, cache=cache_mode(cache), show=show)
    built = resolved.method.build(settings)
    check(task, built, settings.model, 0)
    folder = out or experts_folder()
    shown = progress if show else silent
    doing = f"training experts of {task.name} for {method}"
    beside = in_others(count, crew)
    total = count if beside else count * epochs
    # Several workers are simply ended by Ctrl-C, and continue from the last checkpoint.
    asking = nullcontext(None) if beside else interruptible()
    with asking as stop, shown(total, doing) as advance:
        done = [0]

        def note(text: str) -> None:
            done[0] += 1
            advance(min(done[0], total), text)

        workplace = Workplace(folder=folder, tell=note, workers=crew)
        if stop is not None:
            workplace = replace(workplace, stop=stop)
        context = Context(task, 0, Clock(0, settings.steps), find_device(device), workplace)
        try:
            cost = built.source.prepare(context)
        except (PreparationStopped, KeyboardInterrupt):
            tell("stopped; continue with the same command")
            raise SystemExit(130) from None
    files = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
    result = ExpertsResult(
        folder=str(folder),
        method=method,
        data=task.name,
        architecture=settings.model or task.architecture,
        count=count,
        epochs=epochs,
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        seconds=Seconds.of(cost),
    )
    if as_json:
        tables.print_json(result)
        return
    tables.print_pairs(
        {
            "folder": result.folder,
            "experts": f"{count} of {result.architecture} on {task.name}, {epochs} epochs each",
            "cost": f"{cost.cpu:,.0f} CPU seconds, {cost.wall:,.0f} s",
            "files": f"{result.files} ({result.bytes:,} bytes)",
        }
    )
