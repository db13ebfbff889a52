"""Tables of a comparison as text: for people, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attar.comparison.results import Comparison, EqualBytesRow, Row
from attar.plain import cell
from attar.reports import Score

__all__ = [
    "Sheet",
    "apart",
    "equal_count",
    "equal_size",
    "latex",
    "markdown",
    "notes",
    "rows_csv",
    "settings_text",
]


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes:
        title: What it shows.
        columns: Titles of the columns.
        rows: Cells, as many per row as there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def only(self, names: Sequence[str]) -> Sheet:
        """Return those of some columns that the table has."""
        return self._with([name for name in names if name in self.columns])

    def filled(self) -> Sheet:
        """Return the columns that are not empty in every row."""
        kept = [name for place, name in enumerate(self.columns) if any(row[place] for row in self.rows)]
        return self._with(kept)

    def _with(self, names: Sequence[str]) -> Sheet:
        places = [self.columns.index(name) for name in names]
        return Sheet(self.title, tuple(names), tuple(tuple(row[i] for i in places) for row in self.rows))


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return settings as a user writes them."""
    return " ".join(f"{key}={value}" for key, value in settings.items())


def _number(value: float | None, form: str = ",") -> str:
    return "" if value is None else format(value, form)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _accuracy(score: Score | None) -> str:
    return "–" if score is None else str(score)


def _label(row: Row | EqualBytesRow) -> str:
    return row.labels if row.labels == "hard" else f"{row.labels} *"


def _cells(row: Row) -> dict[str, str]:
    seconds, rank = row.seconds, row.ranking
    return {
        "trained on": row.method,
        "per class": "all" if row.ipc is None else str(row.ipc),
        # Of a method that made nothing it is not known.
        "labels": _label(row) if row.accuracy is not None else "",
        "accuracy, %": _accuracy(row.accuracy),
        "± sets": _number(row.between_sets, ".1f"),
        "sets × nets": f"{row.n_sets} × {row.n_networks}" if row.n_sets else "",
        "validation, %": "" if row.validation is None else str(row.validation),
        "samples": _number(row.samples),
        "bytes": _number(row.bytes),
        "of labels": _number(row.label_bytes),
        "on disk": _number(row.bytes_on_disk),
        "CPU s": "" if seconds is None else _seconds(seconds.cpu),
        "wall s": "" if seconds is None else _seconds(seconds.wall),
        "MiB": "" if row.peak_bytes is None else _number(row.peak_bytes / 2**20, ",.0f"),
        "over the best, points": "" if row.least is None else str(row.least),
        "IOR": _number(rank.ior, "+.1f"),
        "HLR": _number(rank.hlr, "+.1f"),
        "LRS": _number(rank.lrs, ".3f"),
        "ARS": _number(rank.ars, ".3f"),
        "settings": settings_text(row.settings) or ("" if row.space is None else f"space={row.space}"),
    }


def equal_count(result: Comparison) -> Sheet:
    """Return the leaderboard: all sets of a size have as many stored samples."""
    cells = [_cells(row) for row in result.rows]
    columns = tuple(cells[0]) if cells else ("trained on",)
    title = f"{result.data}, {result.architecture}, protocol {result.protocol.name}: equal count"
    return Sheet(title, columns, tuple(tuple(row.values()) for row in cells)).filled()


def equal_size(result: Comparison) -> Sheet:
    """Return the sets beside random real samples of as many bytes."""
    columns = ("trained on", "per class", "labels", "bytes", "accuracy, %")
    rows = tuple(
        (
            row.method,
            str(row.ipc),
            _label(row),
            f"{row.bytes:,}",
            str(row.accuracy),
            f"{row.random_samples:,}",
            f"{row.random_bytes:,}",
            str(row.random),
            f"{row.accuracy.mean - row.random.mean:+.1f}",
        )
        for row in result.equal_bytes
    )
    more = ("random samples", "their bytes", "their accuracy, %", "difference")
    title = f"{result.data}, {result.architecture}, protocol {result.protocol.name}: equal bytes"
    return Sheet(title, (*columns, *more), rows)


def apart(result: Comparison) -> Sheet:
    """Return how much more accurate sets are than what nothing was learned for."""
    rows = [row for row in result.rows if row.against]
    others = list(dict.fromkeys(name for row in rows for name in row.against))
    cells = tuple(
        (row.method, str(row.ipc), *(str(row.against.get(name, "")) for name in others)) for row in rows
    )
    title = f"{result.data}: difference in accuracy, % (95 % interval, paired bootstrap)"
    return Sheet(title, ("trained on", "per class", *(f"over {name}" for name in others)), cells)


def notes(result: Comparison) -> list[str]:
    """Return what a reader of the tables must know, and what went wrong."""
    said = ["accuracy: mean and population standard deviation over all pairs of a set and a network"]
    if any(row.labels != "hard" for row in result.rows):
        said.append("*: labels are learned; they stand apart from hard ones, as the baselines' are")
    if any(row.space for row in result.rows):
        said.append("feature spaces of coresets are chosen on validation data")
    if any(row.trials > 1 and row.settings for row in result.rows):
        each = "1 set" if len(result.tune_seeds) == 1 else f"{len(result.tune_seeds)} sets"
        said.append(f"settings are chosen on validation data, by {each} of each point of the grid")
    problems: dict[tuple[str, str], list[str]] = {}
    for row in result.rows:
        if row.problem:
            problems.setdefault((row.method, row.problem), []).append(str(row.ipc or "all"))
    said += [f"{name}, {' and '.join(ipc)} per class: {why}" for (name, why), ipc in problems.items()]
    return said


def markdown(sheets: Sequence[Sheet], said: Sequence[str]) -> str:
    """Return tables and notes as Markdown."""
    parts = []
    for sheet in sheets:
        right = ["---" if place == 0 else "---:" for place in range(len(sheet.columns))]
        lines = [sheet.columns, right, *sheet.rows]
        table = [
            f"| {' | '.join(line if place == 1 else map(cell, line))} |" for place, line in enumerate(lines)
        ]
        parts.append(f"## {cell(sheet.title)}\n\n" + "\n".join(table))
    parts.append("\n".join(f"- {cell(note)}" for note in said))
    return "\n\n".join(parts) + "\n"


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
}


def latex(sheets: Sequence[Sheet], said: Sequence[str]) -> str:
    """Return tables as plain ``tabular`` environments, and notes as comments."""

    def cell(text: str) -> str:
        return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))

    parts = []
    for sheet in sheets:
        lines = [
            f"% {' '.join(sheet.title.split())}",
            f"\\begin{{tabular}}{{l{'r' * (len(sheet.columns) - 1)}}}",
        ]
        lines += ["\\hline", " & ".join(map(cell, sheet.columns)) + r" \\", "\\hline"]
        lines += [" & ".join(map(cell, row)) + r" \\" for row in sheet.rows]
        parts.append("\n".join([*lines, "\\hline", "\\end{tabular}"]))
    parts.append("\n".join(f"% {' '.join(note.split())}" for note in said))
    return "\n\n".join(parts) + "\n"


_FIELDS = (
    ("accuracy", "accuracy"),
    ("validation", "validation"),
    ("balanced", "balanced"),
)


def rows_csv(result: Comparison) -> str:
    """Return the leaderboard as CSV with plain numbers; equal bytes are columns of their own."""
    beside = {(row.method, row.ipc): row for row in result.equal_bytes}
    lines = [_record(row, beside.get((row.method, row.ipc or 0))) for row in result.rows]
    target = io.StringIO()
    writer = csv.DictWriter(target, list(lines[0]) if lines else ["method"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return target.getvalue()


def _record(row: Row, equal: EqualBytesRow | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "method": row.method,
        "kind": row.kind,
        "ipc": row.ipc,
        "labels": row.labels,
        "n_sets": row.n_sets,
        "n_networks": row.n_networks,
        "between_sets": row.between_sets,
        "samples": row.samples,
        "bytes": row.bytes,
        "label_bytes": row.label_bytes,
        "bytes_on_disk": row.bytes_on_disk,
        "cpu_seconds": None if row.seconds is None else row.seconds.cpu,
        "wall_seconds": None if row.seconds is None else row.seconds.wall,
        "peak_bytes": row.peak_bytes,
        **row.ranking.model_dump(),
        "trials": row.trials,
        "settings": settings_text(row.settings),
        "space": row.space,
        "problem": row.problem,
    }
    for name, field in _FIELDS:
        found: Score | None = getattr(row, field)
        values |= {
            name: None if found is None else found.mean,
            f"{name}_std": None if found is None else found.std,
        }
    least = row.least
    values |= {
        "over_best": None if least is None else least.mean,
        "over_best_low": None if least is None else least.low,
        "over_best_high": None if least is None else least.high,
        "equal_bytes_random": None if equal is None else equal.random.mean,
        "equal_bytes_random_std": None if equal is None else equal.random.std,
        "equal_bytes_random_samples": None if equal is None else equal.random_samples,
        "equal_bytes_random_bytes": None if equal is None else equal.random_bytes,
    }
    return values
