"""What ``attar federated`` does: from parsed options to the library and back to people or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attar.api import name_of
from attar.cli import tables
from attar.cli.telling import tell
from attar.cli.work import begin, cache_mode
from attar.errors import UsageError
from attar.files import portable_names, to_json, write_file
from attar.folders import staged_folder
from attar.progress import progress, silent
from attar.registry import Registry
from attar.runs import interruptible
from attar.settings import Record, unknown

from attar_federated.appdir import write_folder
from attar_federated.configure import KEYS, Located, read_run, recipe_of
from attar_federated.grid import Interrupted
from attar_federated.partitions import histogram
from attar_federated.plots import clients_plot, rounds_plot
from attar_federated.reporting import FederatedReport, read_result, rows_of, shown, to_markdown
from attar_federated.results import FederatedResult, Round
from attar_federated.server import ServerOptions
from attar_federated.setting import Setting
from attar_federated.settings import FederatedRecipe
from attar_federated.simulation import Engine, shares_of
from attar_federated.simulation import simulate as carry_out

__all__ = ["How", "repeat", "report", "simulate", "write_app"]


class FederatedPlan(Record):
    """What ``attar federated simulate --dry-run --json`` prints."""

    protocol: str
    run: str
    data: str
    rounds: int
    model: str
    counts: tuple[tuple[int, ...], ...]


class AppWritten(Record):
    """What ``attar federated app --json`` prints."""

    app: str


def _recipe(said: Mapping[str, Any], changes: Mapping[str, str]) -> FederatedRecipe:
    if not said.get("modality"):
        raise UsageError(
            "name a modality, as in 'attar federated simulate image'; 'attar plugins' lists them"
        )
    known = Registry().get("modalities", said["modality"]).datasets()
    if said.get("data") is None:
        raise UsageError(f"name the data with --data: {', '.join(sorted(known))}, or the path of your own")
    asked = [f"--{key}" for key in ("ipc", "size", "ratio", "budget") if key in said]
    if len(asked) > 1:
        raise UsageError(f"give one of --ipc, --size, --ratio and --budget, not {' and '.join(asked)}")
    return recipe_of(said, name_of(said["data"], known), changes)


def _engine(name: str) -> Engine:
    known: dict[str, Engine] = {"inline": "inline", "ray": "ray"}
    if name not in known:
        raise UsageError(unknown("engine", name, known))
    return known[name]


@dataclass(frozen=True, kw_only=True)
class How:
    """How a run is carried out and told of; none of it changes what comes of it.

    Attributes:
        data: Name of known data, or the path of the user's own.
        root: Folder of known data.
        download: Whether known data may be downloaded.
        cache: Whether what is decoded is kept.
        engine: Where clients work.
        timeout: Seconds that clients have for a round.
        out: Folder of the run; None for one that is named by the run.
        workers: Clients side by side.
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
    engine: str
    timeout: float
    out: Path | None
    workers: int | None
    resume: bool
    force: bool
    dry_run: bool
    quiet: bool
    verbose: bool
    as_json: bool


def simulate(said: Mapping[str, Any], changes: Mapping[str, str], how: How) -> None:
    """Carry out the run that options describe, and say what came of it."""
    _carry_out(_recipe({**said, "data": how.data}, changes), how)


def repeat(recipe: Path, changes: Mapping[str, str], how: How) -> None:
    """Carry out the run of a recipe, and say what came of it."""
    _carry_out(read_run(recipe, changes), how)


def _carry_out(recipe: FederatedRecipe, how: How) -> None:
    begin(how.verbose)
    chosen = _engine(how.engine)
    name = f"{recipe.data.name}-{recipe.protocol}-seed{recipe.run.seed}"
    place = how.out or Path("runs") / portable_names([name])[0]
    show = not how.quiet and not how.as_json
    source = Located(
        recipe,
        how.data or recipe.data.name,
        None if how.root is None else str(how.root),
        cache_mode(how.cache),
        download=how.download,
        show=show,
    )
    task = source()
    if how.dry_run:
        Setting(recipe, task).check()
        _plan(recipe, place, source, how.as_json)
        return
    doing = f"{recipe.protocol} with {recipe.clients} clients on {task.name}"
    with (progress if show else silent)(recipe.last, doing) as advance:

        def note(each: Round) -> None:
            advance(each.round, f"test {each.accuracy:.1f} %")

        options = ServerOptions(out=place, resume=how.resume, timeout=how.timeout, note=note)
        try:
            with interruptible() as stop:
                outcome = carry_out(
                    source,
                    recipe,
                    engine=chosen,
                    options=replace(options, stop=stop),
                    workers=how.workers,
                    force=how.force,
                )
        except Interrupted:
            raise SystemExit(_stopped(place)) from None
    if outcome.result.counts:
        write_file(place / "clients.png", clients_plot(outcome.result.counts, task.classes, doing))
    own = [(recipe.protocol, outcome.result)]
    write_file(place / "accuracy-bytes.png", rounds_plot(own, "bytes"))
    write_file(place / "accuracy-rounds.png", rounds_plot(own, "rounds"))
    if how.as_json:
        tables.print_json(outcome.result)
    else:
        _say(outcome.result, place)


def _stopped(place: Path) -> int:
    tell(f"stopped; continue with the same command and --resume ({place})")
    return 130


def _plan(recipe: FederatedRecipe, place: Path, source: Located, as_json: bool) -> None:
    shares = shares_of(source, recipe.partition, recipe.clients, recipe.run.seed)
    counts = tuple(tuple(row) for row in histogram(shares).tolist())
    plan = FederatedPlan(
        protocol=recipe.protocol,
        run=str(place),
        data=recipe.data.name,
        rounds=recipe.last,
        model=recipe.model or source().architecture,
        counts=counts,
    )
    if as_json:
        tables.print_json(plan)
        return
    said = plan.model_dump(exclude={"counts"})
    tables.print_pairs(said, title="would simulate")
    _say_clients(counts, source().classes)


def _say_clients(counts: Sequence[Sequence[int]], classes: Sequence[str], most: int = 12) -> None:
    """Print who has how much, class by class where they fit on a screen."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    named = classes if len(classes) <= most else ()
    for name in ("client", "samples", "classes", *named):
        table.add_column(Text(name), justify="right")
    for number, row in enumerate(counts):
        have = sum(n > 0 for n in row)
        table.add_row(str(number), f"{sum(row):,}", str(have), *(f"{n:,}" for n in row[: len(named)]))
    tables.console().print(table)


def _megabytes(n: int) -> str:
    return f"{n / 1e6:.3f}"


def _say(result: FederatedResult, place: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{result.protocol} on {result.data}, {result.clients} clients, {result.partition}")
    )
    for name in ("round", "test, %", "MB up", "MB down", "clients", "s"):
        table.add_column(name, justify="right")
    for each in _some(result.rounds):
        sent = (_megabytes(each.bytes.up), _megabytes(each.bytes.down))
        table.add_row(
            str(each.round), f"{each.accuracy:.1f}", *sent, str(each.clients), f"{each.seconds:.0f}"
        )
    tables.console().print(table)
    dropped = "\n".join(f"round {one.round}, client {one.client}: {one.reason}" for one in result.dropped)
    rows = {
        "test accuracy": f"{shown(result.accuracy)} %"
        + (f" ({result.accuracy.n} networks)" if result.accuracy.n > 1 else ""),
        **({} if result.chance is None else {"always one class": f"{result.chance:.1f} %"}),
        "sent": f"{_megabytes(result.bytes.up)} MB up, {_megabytes(result.bytes.down)} MB down, "
        f"as {result.wire}",
        "privacy": result.privacy.guarantee,
        **({"left out": dropped} if dropped else {}),
        "run": str(place),
    }
    tables.print_pairs(rows)


def _some(rounds: Sequence[Round], most: int = 12) -> list[Round]:
    """Return all rounds, or as many as a screen shows, evenly spread, with the last."""
    if len(rounds) <= most:
        return list(rounds)
    places = sorted({round(place * (len(rounds) - 1) / (most - 1)) for place in range(most)})
    return [rounds[place] for place in places]


def write_app(
    folder: Path, said: Mapping[str, Any], *, changes: Mapping[str, str], force: bool, as_json: bool
) -> None:
    """Write a Flower app and say where."""
    _recipe(said, changes)
    if any(" " in value for value in changes.values()):
        raise UsageError("a setting of an app cannot hold a space; change it in its pyproject.toml")
    text = " ".join(f"{key}={value}" for key, value in changes.items())
    # 'flwr run --run-config' changes only what is there already.
    write_folder(folder, {**KEYS, **said, "set": text}, force=force)
    written = AppWritten(app=str(folder))
    if as_json:
        tables.print_json(written)
    else:
        tables.print_pairs(
            {"app": str(folder), "next": f"read {folder / 'README.md'}, then: flwr run {folder} NAME"}
        )


def report(
    runs: Sequence[Path],
    *,
    accuracy: float | None,
    hold: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare runs and say how they did."""
    results = [(run.name, read_result(run)) for run in runs]
    first = results[0][1]
    for name, each in results[1:]:
        if (each.data, each.modality, each.clients) != (first.data, first.modality, first.clients):
            raise UsageError(
                f"{name!r} has other data or another number of clients than {results[0][0]!r}; compare runs "
                f"on the same"
            )
    made = rows_of(results, accuracy, hold)
    if out is not None:
        with staged_folder(out, force=force, kind="federated report") as aside:
            write_file(aside / "report.json", to_json(made.model_dump(mode="json")))
            write_file(aside / "report.md", to_markdown(made).encode())
            write_file(aside / "accuracy-bytes.png", rounds_plot(results, "bytes"))
            write_file(aside / "accuracy-rounds.png", rounds_plot(results, "rounds"))
    if as_json:
        tables.print_json(made)
    else:
        _say_report(made)


def _say_report(made: FederatedReport) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("run", "test, %", "rounds", "MB up", "MB down", "s"):
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name == "test, %")
    if made.accuracy is not None:
        table.add_column(f"{made.accuracy:g} % held from", justify="right")
        table.add_column("MB until then", justify="right")
    for row in made.runs:
        cells = [shown(row.accuracy), str(row.rounds), _megabytes(row.bytes.up), _megabytes(row.bytes.down)]
        cells.append(f"{row.seconds:.0f}")
        if made.accuracy is not None and row.held is not None:
            cells += [f"round {row.held.round}", _megabytes(row.held.bytes.up + row.held.bytes.down)]
        elif made.accuracy is not None:
            cells += ["never", ""]
        table.add_row(Text(row.run), *cells)
    tables.console().print(table)
    tables.print_pairs({row.run: row.privacy for row in made.runs}, title="privacy")
