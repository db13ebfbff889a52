"""Tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from attar.plain import plain

if TYPE_CHECKING:
    from attar.artifact import Manifest
    from attar.cli.work import DistillResult
    from attar.evaluation_cost import EvaluationCost
    from attar.neighbors import SampleInfo
    from attar.reports import Report

__all__ = [
    "console",
    "print_commands",
    "print_cost",
    "print_json",
    "print_made",
    "print_manifest",
    "print_pairs",
    "print_report",
    "print_samples",
    "text",
]

_UNEVEN = 0.1


def print_json(record: BaseModel) -> None:
    """Print a record as one JSON object, in ASCII so that every terminal and pipe takes it."""
    print(json.dumps(record.model_dump(mode="json")))


def text(value: object) -> Text:
    """Return a stranger's text on one line, without what would move the cursor or color the terminal."""
    return Text(" ".join(plain(str(value)).split("\n")))


class _Pipe(Console):
    """A console whose texts pass the escape, whoever made them, and on which a reader may hang up."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is printed; the codes of rich itself are apart from the texts."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(plain(part.text), part.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich itself would end the process as if we had failed."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console that shows text as it is."""
    return _Pipe(highlight=False, markup=False, emoji=False)


def print_pairs(values: Mapping[str, Any], title: str = "") -> None:
    """Print names and values."""
    table = Table(title=text(title) if title else None, show_header=False, box=None, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(text(name.replace("_", " ")), text(str(value)))
    console().print(table)


def print_made(result: DistillResult, decided: Mapping[str, str]) -> None:
    """Say what a run made, and what was decided on the way."""
    each = f" ({result.ipc} per class)" if result.ipc else ""
    print_pairs(
        {
            "method": result.method,
            "samples": f"{result.samples}{each}",
            "bytes": f"{result.bytes:,} ({result.bytes_on_disk:,} on disk)",
            **decided,
            "cost": f"{result.seconds.cpu:.0f} CPU seconds, {result.seconds.wall:.0f} s, "
            f"{result.peak_bytes / 2**20:.0f} MiB",
            "artifact": str(Path(result.run) / "artifact"),
        }
    )


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(text(cell) for cell in cells))


def print_report(report: Report, *, per_class: bool = False) -> None:
    """Print an evaluation, with the accuracy of each class if asked."""
    table = Table(title=text(f"{report.data}, {report.architecture}, protocol {report.protocol.name}"))
    table.add_column("trained on")
    table.add_column("samples", justify="right")
    table.add_column("test accuracy, %", justify="right")
    own, equal_classes = report.accuracy, report.balanced_accuracy
    # Where the classes of the test data are of one size, both accuracies are one.
    uneven = equal_classes is not None and abs(equal_classes.mean - own.mean) >= _UNEVEN
    if uneven:
        table.add_column("balanced, %", justify="right")
    table.add_column("n", justify="right")
    table.add_column("features")
    for name, score in report.baselines.items():
        detail = report.details[name]
        more = [str(detail.balanced)] if uneven else []
        _row(table, name, f"{detail.samples:,}", str(score), *more, str(score.n), detail.space or "")
    more = [str(equal_classes)] if uneven else []
    _row(table, report.method, f"{report.samples:,}", str(own), *more, str(own.n), "")
    screen = console()
    screen.print(table)
    if per_class:
        print_pairs({name: f"{score} %" for name, score in report.per_class.items()}, title="each class")
    if report.equal_bytes is not None:
        equal = report.equal_bytes
        print_pairs(
            {
                "equal bytes": f"{equal.samples:,} random real samples of {equal.bytes:,} bytes reach "
                f"{equal.accuracy} %; the set has {report.bytes:,} bytes"
            }
        )
    if report.architectures:
        other = Table(title="other architectures")
        other.add_column("architecture")
        other.add_column("test accuracy, %", justify="right")
        for name, score in report.architectures.items():
            _row(other, name, str(score))
        screen.print(other)
    if report.data_changed:
        print_pairs({"note": "the data are not those that the set was made of: the fingerprints differ"})
    best = {}
    if report.against:
        name = min(report.against, key=lambda name: report.against[name].mean)
        best = {f"over {name}": f"{report.against[name]} points, with 95 % confidence"}
    print_pairs(
        {
            **best,
            "made in": f"{report.seconds.cpu:.0f} CPU seconds ({report.n_sets} "
            f"set{'s' * (report.n_sets != 1)})",
            "evaluated in": f"{report.evaluation_seconds.cpu:.0f} CPU seconds, "
            f"{report.evaluation_seconds.wall:.0f} s",
        }
    )


def print_commands(title: str, commands: Sequence[str]) -> None:
    """Print commands to copy, a line each, however long."""
    screen = console()
    screen.print(f"\n {title}")
    for command in commands:
        screen.print(Text("   ").append(plain(command)), soft_wrap=True)


def print_cost(cost: EvaluationCost) -> None:
    """Say what an evaluation would take."""
    print_pairs(
        {
            "data": cost.data,
            "architecture": cost.architecture,
            "protocol": cost.protocol,
            **{f"networks {name}": n for name, n in cost.networks.items()},
            "known already": cost.known,
            "takes": str(cost).partition(": ")[2] or "nothing, all is known already",
        },
        title="would evaluate",
    )


def print_samples(samples: Sequence[SampleInfo]) -> None:
    """Print what each sample is like, and the real ones nearest to it."""
    worded = any(sample.described is not None for sample in samples)
    placed = any(sample.nearest for sample in samples)
    table = Table("class", title="samples")
    if worded:
        table.add_column("in words")
    if placed:
        table.add_column("distance", justify="right")
        table.add_column("nearest real samples")
    for sample in samples:
        words = [text(sample.described or "")] if worded else []
        near = [(f"{each.distance:.2f}", text(f"{each.caption} ({each.label})")) for each in sample.nearest]
        table.add_row(text(sample.label), *words, *(near[0] if near else ()))
        for told in near[1:]:
            table.add_row("", *[""] * len(words), *told)
    console().print(table)


def print_manifest(manifest: Manifest, run: Path, picture: Path | None) -> None:
    """Say what an artifact is."""
    from attar.artifact.decisions import decisions

    data, size, cost = manifest.data, manifest.size, manifest.cost
    made = "given as arrays" if manifest.kind == "given" else f"{manifest.kind} by {manifest.method.name}"
    rows = {
        "kind": made,
        "reference": manifest.method.reference,
        "data": f"{data.name} ({data.modality}), {data.training_samples}",
        "classes": ", ".join(data.classes),
        "samples": f"{size.stored} stored, {size.decoded} decoded"
        + (f", {size.ipc} per class" if size.ipc else ""),
        "bytes": f"{size.bytes:,} ({size.bytes_on_disk:,} on disk)",
        **decisions(manifest),
        "seed": manifest.seed,
        "cost": f"{cost.cpu:.0f} CPU seconds, {cost.wall:.0f} s",
        "made with": f"attar-core {manifest.environment.attar}, torch {manifest.environment.torch}",
    }
    if manifest.method.choice:
        rows["chosen"] = manifest.method.choice
    if picture is not None:
        rows["picture"] = str(picture)
    elif (run / "artifact" / "preview.png").is_file():
        rows["picture"] = str(run / "artifact" / "preview.png")
    elif (run / "preview.png").is_file():
        rows["picture"] = str(run / "preview.png")
    print_pairs(rows)
