"""What the commands do: from parsed options to the library and back to people or JSON."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from attar.allocator import keep_memory
from attar.api import load_task, name_of
from attar.artifact import Artifact
from attar.artifact.decisions import decisions
from attar.cli import tables
from attar.cli.telling import log_lines, tell
from attar.contracts import Task
from attar.devices import find_device
from attar.errors import UsageError
from attar.files import portable_names
from attar.plugins import CacheMode, default_method
from attar.precision_choice import decided
from attar.ranks import first, joined, own_device
from attar.recipe import DataRecipe, Recipe, Resolved, RunRecipe, SizeRecipe, resolve, size_of, with_settings
from attar.registry import Registry
from attar.reports import Seconds
from attar.runner import Stopped
from attar.runs import RunSettings, check_recipe, distill_recipe, interruptible
from attar.settings import Record, parse, unknown
from attar.sizing import start
from attar.trials import Estimate, estimate

__all__ = [
    "DistillResult",
    "Source",
    "begin",
    "below",
    "cache_mode",
    "data_of",
    "distill",
    "make_recipe",
    "options_of",
]


class DistillResult(Record):
    """What ``attar distill --json`` prints."""

    method: str
    run: str
    seed: int
    ipc: int | None
    samples: int
    bytes: int
    bytes_on_disk: int
    sha256: str
    seconds: Seconds
    peak_bytes: int
    splits: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    device: str = ""
    precision: str = ""


class Plan(Record):
    """What ``attar distill --dry-run --json`` prints."""

    method: str
    run: str
    data: str
    classes: int
    training_samples: int
    per_class: tuple[int, ...]
    bytes: int
    steps: int
    model: str
    precision: str
    expected: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the real data are, for what needs them.

    Attributes:
        data: Name of known data, or the path of the user's own; None as the artifact says.
        root: Folder of known data.
        download: Whether they may be downloaded.
        cache: Whether what is decoded is kept.
    """

    data: str | None
    root: Path | None
    download: bool
    cache: str

    def load(self, resolved: Resolved, show: bool) -> Task:
        """Return the data that a resolved recipe names, from where they are.

        Raises:
            UsageError: If they are missing or do not fit.
        """
        name = self.data or resolved.recipe.data.name
        return load_task(resolved, name, self.root, self.download, cache=cache_mode(self.cache), show=show)


def begin(verbose: bool) -> None:
    """Prepare the process for the work of a command."""
    log_lines(logging.INFO if verbose else logging.WARNING)
    keep_memory()


def make_recipe(
    *,
    modality: str,
    data: str | None,
    method: str | None,
    size: Mapping[str, Any],
    objective: Mapping[str, Any],
    seed: int,
    precision: str,
    changes: Mapping[str, str],
) -> Recipe:
    """Return the recipe that options describe.

    Raises:
        UsageError: If something is missing, unknown or does not fit.
    """
    plugin = Registry().get("modalities", modality)
    if data is None:
        known = ", ".join(sorted(plugin.datasets()))
        raise UsageError(f"name the data with --data: {known}, or the path of your own")
    recipe = Recipe(
        data=parse(DataRecipe, {"modality": modality, "name": name_of(data, plugin.datasets())}, "data"),
        size=size_of(size, "--ipc, --size, --ratio and --budget"),
        method=default_method(plugin) if method is None else method,
        objective=dict(objective),
        run=parse(RunRecipe, {"seed": seed, "precision": precision}, "run"),
    )
    return with_settings(recipe, changes) if changes else recipe


def cache_mode(name: str) -> CacheMode:
    """Return the mode of a name.

    Raises:
        UsageError: If there is none.
    """
    modes: dict[str, CacheMode] = {"auto": "auto", "disk": "disk", "none": "none"}
    if name not in modes:
        raise UsageError(unknown("cache", name, modes))
    return modes[name]


def _place(recipe: Recipe, out: Path | None) -> Path:
    if out is not None:
        return out
    size = recipe.size
    named = (("ipc", size.ipc), ("size", size.total), ("ratio", size.ratio), ("bytes", size.bytes))
    text = next(f"{name}{value}" for name, value in named if value is not None)
    name = f"{recipe.data.name}-{recipe.method}-{text}-seed{recipe.run.seed}"
    return Path("runs") / portable_names([name])[0]


def distill(
    recipe: Recipe,
    *,
    data: str | None,
    root: Path | None,
    download: bool,
    out: Path | None,
    device: str,
    cache: str,
    experts: Path | None,
    frames: int,
    log: Sequence[str],
    threads: int | None,
    resume: bool,
    force: bool,
    allow_inexact: bool,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Carry out a recipe and say what came of it; return the exit code."""
    begin(verbose)
    if threads is not None:
        torch.set_num_threads(threads)
    registry = Registry()
    resolved = resolve(recipe, registry)
    place = _place(recipe, out)
    settings = RunSettings(
        out=place,
        force=force,
        resume=resume,
        allow_inexact=allow_inexact,
        device=own_device(find_device(device)),
        experts=experts,
        frames=frames,
        trackers=tuple(log),
        show=not quiet and not as_json and first(),
    )
    if first():
        settings.check()
    kept, shown = cache_mode(cache), settings.show
    task = load_task(resolved, data or recipe.data.name, root, download, cache=kept, show=shown)
    if int((task.counts > 0).sum()) < 2:
        raise UsageError(
            f"{task.name!r} has a single class, and a classifier needs at least two; add another class"
        )
    if dry_run:
        check_recipe(task, resolved, registry)
        resolved = decided(task, resolved, settings, registry)
        return _plan(task, resolved, settings, registry, place, as_json) if first() else 0
    try:
        with interruptible() as stop, joined(settings.device) as ranks:
            how = replace(settings, stop=stop, ranks=ranks)
            artifact = distill_recipe(task, resolved, how, registry)
    except Stopped as stopped:
        raise SystemExit(_stopped(stopped, place)) from None
    if first():
        _say_made(artifact, place, _where(resolved, data, root), as_json)
    return 0


def _stopped(stopped: Stopped, place: Path) -> int:
    tell(f"{stopped}; continue with the same command and --resume ({place})")
    return 130


def _plan(
    task: Any,
    resolved: Resolved,
    settings: RunSettings,
    registry: Registry,
    place: Path,
    as_json: bool,
) -> int:
    syn, per_class = start(task, resolved, registry)
    chosen = resolved.settings
    plan = Plan(
        method=resolved.recipe.method,
        run=str(place),
        data=task.name,
        classes=len(task.classes),
        training_samples=task.size("train"),
        per_class=tuple(per_class),
        bytes=syn.nbytes(),
        steps=0 if chosen is None else chosen.steps,
        model="" if chosen is None else chosen.model or task.architecture,
        precision=resolved.recipe.run.precision,
        expected=estimate(task, resolved, settings, registry),
    )
    if as_json:
        tables.print_json(plan)
        return 0
    shown = plan.model_dump(exclude={"expected"})
    if plan.expected is not None:
        shown |= _expected(plan.expected)
    elif chosen is not None:
        shown["expected"] = "not known before its experts are trained"
    tables.print_pairs(shown, title="would distill")
    return 0


def _expected(found: Estimate) -> dict[str, str]:
    return {
        "expected time": f"{timedelta(seconds=round(found.wall_seconds))} (h:mm:ss), "
        f"{found.cpu_seconds:,g} CPU s, by {found.tried} steps",
        "peak memory": f"{found.peak_bytes / 2**20:,.0f} MiB",
    }


def _where(resolved: Resolved, data: str | None, root: Path | None) -> str:
    """Return the options that name the data again; known data are found by what the set says of them."""
    own = data is not None and data not in resolved.modality.datasets()
    return (f" --data {shlex.quote(str(data))}" if own else "") + (
        "" if root is None else f" --root {shlex.quote(str(root))}"
    )


def _next(place: Path, given: str) -> list[str]:
    """Return the commands that go on from a run."""
    run = shlex.quote(str(place))
    return [
        f"attar show {run}",
        f"attar evaluate {run}{given} --dry-run",
        f"attar evaluate {run}{given}",
        f"attar report {run}",
        f"attar train {run} --out {shlex.quote(str(place / 'network.safetensors'))}",
        f"attar export {run} --format npz",
    ]


def _say_made(artifact: Artifact, place: Path, given: str, as_json: bool) -> None:
    manifest = artifact.manifest
    result = DistillResult(
        method=manifest.method.name,
        run=str(place),
        seed=manifest.seed,
        ipc=manifest.size.ipc,
        samples=manifest.size.decoded,
        bytes=manifest.size.bytes,
        bytes_on_disk=manifest.size.bytes_on_disk,
        sha256=manifest.sha256,
        seconds=Seconds.of(manifest.cost),
        peak_bytes=manifest.cost.peak_bytes,
        splits=manifest.data.splits,
        shape=manifest.data.feature,
        device=manifest.environment.device,
        precision=manifest.environment.precision,
    )
    if as_json:
        tables.print_json(result)
        return
    tables.print_made(result, decisions(manifest))
    tables.print_commands("next", _next(place, given))


def below(prefix: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Return the changes whose keys start with a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in changes.items() if key.startswith(prefix)}


def options_of(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the changes to how data are loaded, ``data.KEY`` or ``data.options.KEY``, by KEY."""
    return {key.removeprefix("options."): value for key, value in below("data.", changes).items()}


def data_of(artifact: Artifact, registry: Registry, changes: Mapping[str, str]) -> Resolved:
    """Return a resolved recipe that names the data an artifact was made of."""
    record = artifact.manifest.data
    options = {**record.options, **changes}
    recipe = Recipe(
        data=DataRecipe(modality=record.modality, name=record.name, options=options),
        size=SizeRecipe(ipc=1),
        method="random",
    )
    return resolve(recipe, registry)
