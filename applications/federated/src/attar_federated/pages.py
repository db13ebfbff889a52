"""What a page of ``attar report`` says of a federated run."""

from __future__ import annotations

from pathlib import Path

from attar.pages import (
    Block,
    Code,
    Facts,
    Part,
    Picture,
    ReadSet,
    Section,
    Table,
    Told,
    evaluation_blocks,
    read_set,
    recipe_keys,
    samples_section,
)
from attar.plots import svg_of
from attar.registry import Registry

from attar_federated.plots import clients_plot, rounds_plot
from attar_federated.reporting import read_result, shown
from attar_federated.results import FederatedResult, Round

__all__ = ["federated_part"]

_RECIPE = "recipe.toml"
_FEW_ROUNDS = 12
_MOST_NAMED = 30


def federated_part(run: Path) -> Part | None:
    """Return what a page says of a run; None for a folder that holds no federated run.

    Raises:
        UsageError: If it is not finished, or damaged.
    """
    if not {"clients", "protocol"} <= recipe_keys(run):
        return None
    result = read_result(run)
    sent = f"distilled sets ({result.distiller})" if result.distiller else "networks"
    rounds = "one round" if len(result.rounds) == 1 else f"{len(result.rounds)} rounds"
    lede = (
        f"{result.clients} clients share {result.data} ({result.partition}) and send {sent} in "
        f"{rounds} of {result.protocol}; the server's network is {result.architecture}."
    )
    sections = [
        Section("At a glance", tuple(_glance(result))),
        Section("Accuracy and bytes", tuple(_rounds(run, result))),
    ]
    registry = Registry()
    union = read_set(run, registry) if (run / "artifact").is_dir() else None
    if result.counts:
        sections.append(Section("Who has what", tuple(_clients(result, union))))
    if union is not None:
        sections.append(Section("What the clients sent", samples_section(union.artifact, registry).blocks))
        if union.reports:
            sections.append(Section("New networks trained on it", evaluation_blocks(union)))
    again = Code("attar federated run recipe.toml --out again", "Make it again, from the recipe below")
    recipe = Code((run / _RECIPE).read_text("utf-8"), _RECIPE, folded=True)
    sections.append(Section("Repeating it", (again, recipe)))
    kind = f"federated learning, {result.modality}"
    return Part(f"{result.data}: {run.resolve().name}", kind, lede, tuple(sections))


def _megabytes(n: int) -> str:
    return f"{n / 1e6:,.3f}"


def _glance(result: FederatedResult) -> list[Block]:
    values = {
        "test accuracy": f"{shown(result.accuracy)} %",
        **({} if result.chance is None else {"always one class": f"{result.chance:.1f} %"}),
        "megabytes up": _megabytes(result.bytes.up),
        "megabytes down": _megabytes(result.bytes.down),
        "rounds": f"{len(result.rounds)}",
        "wall seconds": f"{result.seconds:,.0f}",
    }
    blocks: list[Block] = [Facts(values, large=True)]
    private = result.privacy.epsilon is not None
    blocks.append(Told(f"Privacy: {result.privacy.guarantee}.", warning=not private))
    if result.dropped:
        rows = tuple((str(each.client), str(each.round), each.reason) for each in result.dropped)
        blocks.append(Table("Replies that were not used", ("client", "round", "reason"), rows))
    return blocks


def _row(each: Round) -> tuple[str, ...]:
    held = "" if each.validation is None else f"{each.validation:.1f}"
    sent = (_megabytes(each.bytes.up), _megabytes(each.bytes.down))
    return (str(each.round), f"{each.accuracy:.1f}", held, *sent, str(each.clients), f"{each.seconds:.0f}")


def _rounds(run: Path, result: FederatedResult) -> list[Block]:
    columns = ("round", "test, %", "held out, %", "MB up", "MB down", "clients", "wall s")
    rows = tuple(map(_row, result.rounds))
    table = Table("Round by round", columns, rows, folded=len(rows) > _FEW_ROUNDS)
    if len(rows) < 2:
        return [table]
    named = [(run.resolve().name, result)]
    return [
        Picture(
            rounds_plot(named, "bytes", svg_of),
            alt="Test accuracy against megabytes sent; the table has the same figures",
        ),
        table,
    ]


def _clients(result: FederatedResult, union: ReadSet | None) -> list[Block]:
    # Networks that were averaged do not say what their classes are called.
    names = tuple(f"class {number}" for number in range(len(result.counts[0])))
    if union is not None:
        names = union.artifact.manifest.data.classes
    rows = tuple(
        (str(number), f"{sum(row):,}", str(sum(n > 0 for n in row)), *(f"{n:,}" for n in row[:_MOST_NAMED]))
        for number, row in enumerate(result.counts)
    )
    columns = ("client", "samples", "classes", *names[:_MOST_NAMED])
    return [
        Picture(
            clients_plot(result.counts, names, form=svg_of),
            alt="Training samples of each class at each client; the table has the same figures",
        ),
        Table("Training samples of each client, by class", columns, rows, folded=True),
    ]
