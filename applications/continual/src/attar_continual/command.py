"""What ``attar continual`` does: from parsed options to the library and back to people or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attar.api import load_task, name_of
from attar.cli import tables
from attar.cli.nested import check_code, put, read_values
from attar.cli.telling import tell
from attar.cli.work import begin, cache_mode
from attar.contracts import Task
from attar.errors import UsageError
from attar.files import portable_names, write_file
from attar.jobs import in_others, parse_workers
from attar.progress import progress, silent
from attar.recipe import Recipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.runs import interruptible
from attar.settings import Record, parse, unknown

from attar_continual.comparing import RunOptions, compare
from attar_continual.names import LOGS
from attar_continual.plots import curves_plot, forgetting_plot
from attar_continual.results import ContinualResult, JobResult, MethodResult
from attar_continual.settings import ContinualRecipe
from attar_continual.stopping import Interrupted, never
from attar_continual.tables import to_csv, to_markdown

__all__ = ["How", "run"]

_TABLES = ("data", "objective", "parameterization", "learn", "gdumb", "run")


class ContinualPlan(Record):
    """What ``attar continual run --dry-run --json`` prints."""

    run: str
    data: str
    model: str
    memory: str
    distiller: str
    methods: tuple[str, ...]
    experiences: tuple[str, ...]
    samples: tuple[int, ...]
    networks: int


@dataclass(frozen=True, kw_only=True)
class How:
    """How a run is carried out and told of.

    Attributes:
        data: Name of known data, or the path of the user's own.
        root: Folder of known data.
        download: Whether known data may be downloaded.
        cache: Whether what is decoded is kept.
        recipe: A recipe, or the folder of a run, that is repeated.
        seed: Seed of the first stream.
        equal_bytes: Whether real samples of equal bytes are compared too.
        logs: Loggers of Avalanche.
        keep: Whether memories are saved.
        out: Folder of the run; None for one that is named by the run.
        workers: Processes, or a cluster, as a user writes it.
        resume: Whether to go on with what stands there.
        force: Whether to replace it.
        dry_run: Whether only to say what would be done.
        quiet: Whether no progress is shown.
        verbose: Whether more is said.
        as_json: Whether to print JSON.
    """

    data: str | None
    root: Path | None
    download: bool
    cache: str
    recipe: Path | None
    seed: int
    equal_bytes: bool
    logs: tuple[str, ...]
    keep: bool
    out: Path | None
    workers: str | None
    resume: bool
    force: bool
    dry_run: bool
    quiet: bool
    verbose: bool
    as_json: bool


def _recipe(said: Mapping[str, Any], changes: Mapping[str, str], how: How) -> ContinualRecipe:
    """Return the run that options describe, or that a recipe does with what they change.

    Raises:
        UsageError: If something is missing, unknown or does not fit.
    """
    file, values = Path(), dict[str, Any]()
    if how.recipe is not None:
        file, values = read_values(how.recipe)
    else:
        values = {"data": _data(said, how), "run": {"seed": how.seed}, "equal_bytes": how.equal_bytes}
    for key, value in said.items():
        if key not in ("modality", "steps"):
            values[key] = value
    if "pattern" in said:
        values["stream"] = "groups"
    if "steps" in said:
        values.setdefault("objective", {})["steps"] = said["steps"]
    for key, value in changes.items():
        put(values, key, value, fields=ContinualRecipe.model_fields, tables=_TABLES)
    recipe = parse(ContinualRecipe, values, "")
    if how.recipe is not None:
        check_code(file, recipe.model, recipe.objective, changes)
    return recipe


def _data(said: Mapping[str, Any], how: How) -> dict[str, Any]:
    modality = said.get("modality")
    if not modality:
        raise UsageError("name a modality, as in 'attar continual run image'; 'attar plugins' lists them")
    known = Registry().get("modalities", modality).datasets()
    if how.data is None:
        raise UsageError(f"name the data with --data: {', '.join(sorted(known))}, or the path of your own")
    return {"modality": modality, "name": name_of(how.data, known)}


def _load(recipe: ContinualRecipe, how: How) -> Task:
    wanted = Recipe(data=recipe.data, size=SizeRecipe(ipc=1), method="random")
    return load_task(
        resolve(wanted, Registry()),
        how.data or recipe.data.name,
        how.root,
        how.download,
        cache=cache_mode(how.cache),
        show=not how.quiet and not how.as_json,
    )


def run(said: Mapping[str, Any], changes: Mapping[str, str], how: How) -> None:
    """Compare what options or a recipe describe, and say what came of it."""
    begin(how.verbose)
    for name in how.logs:
        if name not in LOGS:
            raise UsageError(unknown("logger", name, LOGS))
    recipe = _recipe(said, changes, how)
    size = portable_names([recipe.memory.replace("/", "-per-")])[0]
    place = how.out or Path("runs") / portable_names([f"{recipe.data.name}-continual-{size}"])[0]
    task = _load(recipe, how)
    if how.dry_run:
        _plan(task, recipe, place, how.as_json)
        return
    show = not how.quiet and not how.as_json
    doing = f"{len(recipe.methods)} methods on {recipe.seeds} streams of {task.name}"
    with (progress if show else silent)(100, doing) as advance:

        def note(done: int, of: int, job: JobResult) -> None:
            advance(100 * done // of, f"{job.method} {job.final:.1f} %")

        options = RunOptions(
            out=place,
            workers=parse_workers(how.workers),
            resume=how.resume,
            force=how.force,
            logs=how.logs,
            keep=how.keep,
            note=note,
        )
        try:
            # A signal that came as an exception could be lost in a callback of a library. Workers are
            # simply ended: what they are at is begun again.
            with nullcontext(never) if in_others(2, options.workers) else interruptible() as stop:
                result = compare(task, recipe, replace(options, stop=stop))
        except (Interrupted, KeyboardInterrupt):
            raise SystemExit(_stopped(place)) from None
    write_file(place / "table.md", to_markdown(result).encode())
    write_file(place / "table.csv", to_csv(result).encode())
    write_file(place / "accuracy.png", curves_plot(result))
    write_file(place / "forgetting.png", forgetting_plot(result))
    if how.as_json:
        tables.print_json(result)
    else:
        _say(result, place)


def _stopped(place: Path) -> int:
    tell(f"stopped; continue with the same command and --resume ({place})")
    return 130


def _plan(task: Task, recipe: ContinualRecipe, place: Path, as_json: bool) -> None:
    from attar_continual.comparing import check
    from attar_continual.running import stream_of

    check(task, recipe, Registry())
    stream = stream_of(task, recipe, recipe.run.seed)
    plan = ContinualPlan(
        run=str(place),
        data=task.name,
        model=recipe.model or task.architecture,
        memory=recipe.memory,
        distiller=recipe.distiller,
        methods=recipe.methods,
        experiences=stream.names,
        samples=tuple(len(rows) for rows in stream.train),
        networks=len(recipe.methods) * recipe.seeds,
    )
    if as_json:
        tables.print_json(plan)
        return
    said = plan.model_dump(exclude={"experiences", "samples", "methods"})
    each = zip(plan.experiences, plan.samples, strict=True)
    said["methods"] = ", ".join(plan.methods)
    tables.print_pairs(said, title="would compare")
    streamed = {str(place + 1): f"{name} ({n:,} samples)" for place, (name, n) in enumerate(each)}
    tables.print_pairs(streamed, title="the first stream")


def _say(result: ContinualResult, place: Path) -> None:
    for title, found in (
        (f"{result.data}, {result.stream}, memory {result.memory}", result.methods),
        ("real samples of as many bytes as the distilled", result.equal_bytes),
    ):
        if found:
            _say_table(title, found)
    held = {name: each.bytes for name, each in result.methods.items() if each.bytes}
    said = {
        "CPU s": "of a stream without tests; the share of them that distilling or selecting took",
        "bytes of memory": ", ".join(f"{name} {size:,}" for name, size in held.items()),
        "distilled by": result.distiller,
        "run": str(place),
    }
    tables.print_pairs({name: value for name, value in said.items() if value})


def _say_table(title: str, methods: Mapping[str, MethodResult]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    table.add_column("method", no_wrap=True)
    for name in ("final, %", "average, %", "forgetting", "memory", "CPU s"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, each in methods.items():
        table.add_row(
            Text(name),
            str(each.final),
            str(each.average),
            str(each.forgetting),
            f"{each.memory}" if each.memory else "",
            f"{each.cpu:.0f}" + (f", {100 * each.distilling:.0f} %" if each.distilling else ""),
        )
    tables.console().print(table)
