"""``attar compare``: from parsed options to the library and back to people or JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rich.box import SIMPLE_HEAD
from rich.table import Table

from attar.allocator import keep_memory
from attar.api import load_task
from attar.cli import tables
from attar.cli.telling import log_lines, tell
from attar.cli.work import below, cache_mode, make_recipe
from attar.comparison import CompareSettings, Comparison, Row, compare_methods, expect, make_plan
from attar.comparison.settings import Policy
from attar.comparison.sheets import Sheet, equal_count, notes, settings_text
from attar.contracts import Task
from attar.devices import find_device
from attar.errors import UsageError
from attar.files import portable_names
from attar.jobs import parse_workers
from attar.protocols import protocol
from attar.recipe import resolve
from attar.registry import Registry
from attar.runner import Stopped
from attar.settings import unknown

__all__ = ["compare", "print_comparison"]

_OURS = ("data.", "protocol.", "run.")


def _task(
    modality: str,
    data: str | None,
    root: Path | None,
    download: bool,
    cache: str,
    precision: str,
    changes: Mapping[str, str],
    show: bool,
) -> tuple[Task, Any]:
    """Return the task, and the run's settings with their types."""
    recipe = make_recipe(
        modality=modality,
        data=data,
        method="random",
        size={"ipc": 1},
        objective={},
        seed=0,
        precision=precision,
        changes={key: value for key, value in changes.items() if key.startswith(("data.", "run."))},
    )
    resolved = resolve(recipe, Registry())
    kept = cache_mode(cache)
    task = load_task(resolved, data or recipe.data.name, root, download, cache=kept, show=show)
    return task, resolved.recipe.run


def compare(
    modality: str,
    *,
    data: str | None,
    root: Path | None,
    download: bool,
    cache: str,
    methods: Sequence[str],
    ipc: Sequence[int],
    policy: str,
    seeds: int,
    seed: int,
    grid: Mapping[str, Sequence[str]],
    tune_seeds: int,
    changes: Mapping[str, str],
    model: str,
    protocol_name: str,
    baselines: str,
    equal_bytes: bool,
    ranking: bool,
    out: Path | None,
    device: str,
    precision: str,
    workers: str | None,
    force: bool,
    allow_inexact: bool,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Carry out a comparison and print its tables."""
    level = logging.INFO if verbose else logging.WARNING
    log_lines(level)
    keep_memory()
    show = not quiet and not as_json
    known: dict[str, Policy] = {name: name for name in get_args(Policy)}
    if policy not in known:
        raise UsageError(unknown("ipc policy", policy, known))
    odd = sorted(below("run.", changes).keys() - {"dtype", "checkpoint_every"})
    if odd:
        raise UsageError(unknown("setting", f"run.{odd[0]}", ["run.dtype", "run.checkpoint_every"]))
    own = {key: value for key, value in changes.items() if not key.startswith(_OURS)}
    task, run = _task(modality, data, root, download, cache, precision, changes, show)
    chosen = protocol(protocol_name, below("protocol.", changes), task.protocols)
    place = out or Path("comparisons") / portable_names([task.name])[0]
    settings = CompareSettings(
        out=place,
        methods=methods,
        ipc=ipc,
        seeds=seeds,
        seed=seed,
        tune_seeds=tune_seeds,
        grid=grid,
        settings=own,
        dtype=run.dtype,
        precision=run.precision,
        checkpoint_every=run.checkpoint_every,
        policy=known[policy],
        protocol=chosen,
        baselines=baselines,
        model=model,
        equal_bytes=equal_bytes,
        ranking=ranking,
        force=force,
        workers=parse_workers(workers),
        device=find_device(device),
        allow_inexact=allow_inexact,
        show=show,
    )
    if dry_run:
        _say_plan(task, settings, as_json)
        return
    try:
        result = compare_methods(task, settings)
    except (Stopped, KeyboardInterrupt):
        tell(f"stopped; the same command goes on from what is finished ({place})")
        raise SystemExit(130) from None
    if as_json:
        tables.print_json(result)
    else:
        print_comparison(result, place)


def _say_plan(task: Task, settings: CompareSettings, as_json: bool) -> None:
    registry = Registry()
    made = make_plan(task, settings, registry)
    plan = made.record(task).model_copy(update={"expected": expect(made, task, registry)})
    if as_json:
        tables.print_json(plan)
        return
    rows = plan.model_dump()
    refused = rows.pop("refused")
    rows["expected"] = str(plan.expected)
    for key, value in rows.items():
        if isinstance(value, tuple):
            rows[key] = ", ".join(map(str, value))
    # A list of one seed, 0, reads as if there were none.
    count = len(settings.all_seeds)
    rows["seeds"] = f"{count} per method and size, from {settings.seed}"
    tables.print_pairs(rows, title="would compare")
    if refused:
        tables.print_pairs(refused, title="do not fit these data")


def _marked(name: str, labels: str) -> str:
    return name if labels == "hard" else f"{name} *"


def _count_sheet(result: Comparison, rows: Sequence[Row]) -> Sheet:
    """Return the table of one size, with the columns that a terminal has room for."""
    part = result.model_copy(update={"rows": tuple(rows)})
    sheet = equal_count(part).only(
        ("accuracy, %", "sets × nets", "bytes", "CPU s", "IOR", "HLR", "LRS", "ARS")
    )
    # The mark says of labels what the files have a column for.
    names = tuple((_marked(row.method, row.labels),) for row in rows)
    joined = tuple((*name, *cells) for name, cells in zip(names, sheet.rows, strict=True))
    size = next((row.ipc for row in rows if row.ipc is not None), 0)
    title = f"{result.data}, {result.architecture}, protocol {result.protocol.name}: {size} per class"
    return Sheet(title, ("trained on", *sheet.columns), joined)


def _bytes_sheet(result: Comparison) -> Sheet:
    columns = ("trained on", "per class", "bytes", "accuracy, %", "real samples", "bytes", "accuracy, %")
    rows = tuple(
        (
            _marked(row.method, row.labels),
            str(row.ipc),
            f"{row.bytes:,}",
            str(row.accuracy),
            f"{row.random_samples:,}",
            f"{row.random_bytes:,}",
            str(row.random),
        )
        for row in result.equal_bytes
    )
    return Sheet(f"{result.data}: equal bytes, beside random real samples", columns, rows)


def print_comparison(result: Comparison, out: Path) -> None:
    """Print the tables of a comparison, and what a reader must know."""
    screen = tables.console()
    whole = [row for row in result.rows if row.ipc is None]
    for size in sorted({row.ipc for row in result.rows if row.ipc is not None}):
        _show(_count_sheet(result, [*whole, *(row for row in result.rows if row.ipc == size)]))
    if result.equal_bytes:
        _show(_bytes_sheet(result))
    chosen = {
        f"{row.method}, {row.ipc} per class": f"{settings_text(row.settings)} (of {row.trials})"
        for row in result.rows
        if row.settings
    }
    if chosen:
        screen.print("settings chosen on validation data")
        tables.print_pairs(chosen)
    for note in notes(result):
        # One line each, however long: a terminal folds it.
        screen.print(tables.text(note), soft_wrap=True)
    tables.print_pairs(
        {
            "evaluated in": f"{result.seconds.cpu:.0f} CPU seconds, {result.seconds.wall:.0f} s in all",
            "results": f"{out}: comparison.json, table.md (all columns), table.tex, table.csv, plots, runs",
        }
    )


def _show(sheet: Sheet) -> None:
    """Print a table under its title, which a narrow table would fold."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(sheet.columns):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=place == 0)
    for row in sheet.rows:
        table.add_row(*(tables.text(cell) for cell in row))
    screen = tables.console()
    screen.print(tables.text(sheet.title), soft_wrap=True)
    screen.print(table)
