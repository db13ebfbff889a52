"""The folder of a comparison: plan, runs, choices, and in the end the results."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from attar.comparison.results import Comparison, PlanRecord
from attar.comparison.sheets import apart, equal_count, equal_size, latex, markdown, notes, rows_csv
from attar.errors import UsageError
from attar.files import read_json, to_json, write_file
from attar.folders import OutputFolder
from attar.owned import remove
from attar.plots import ComparedLine, comparison_plot
from attar.reports import Score

__all__ = ["KIND", "begin", "write_results"]

KIND = "comparison"
"""Kind of the folder, in the list of its files."""

PLAN = "plan.json"
"""What is compared; a comparison that goes on must be of the same data."""


def begin(folder: OutputFolder, plan: PlanRecord) -> None:
    """Prepare the folder, or go on in one of the same data.

    Raises:
        UsageError: If it holds anything else.
    """
    out = folder.path
    if (out / PLAN).is_file():
        folder.resume()
        try:
            before = PlanRecord.model_validate(read_json(out / PLAN))
        except ValidationError as error:
            raise UsageError(
                f"{str(out / PLAN)!r} is damaged; replace the comparison with --force, or choose another "
                f"--out"
            ) from error
        if (before.modality, before.fingerprint) != (plan.modality, plan.fingerprint):
            raise UsageError(
                f"the folder {str(out)!r} holds a comparison of other data ({before.data!r}, fingerprint "
                f"{before.fingerprint}); choose another --out, or replace it with --force"
            )
    else:
        folder.begin()
    write_file(out / PLAN, to_json(plan.model_dump(mode="json")))


def write_results(out: Path, result: Comparison) -> None:
    """Write the result in every form: JSON, Markdown, LaTeX, CSV and two plots."""
    sheets = [equal_count(result)]
    if any(row.against for row in result.rows):
        sheets.append(apart(result))
    if result.equal_bytes:
        sheets.append(equal_size(result))
    said = notes(result)
    if any(row.against for row in result.rows):
        said.append("over the best: difference from the best for which nothing is learned, 95 % interval")
    write_file(out / "table.md", markdown(sheets, said).encode())
    write_file(out / "table.tex", latex(sheets, said).encode())
    write_file(out / "table.csv", rows_csv(result).encode())
    title = f"{result.data}, {result.architecture}, {result.protocol.name}"
    whole = next((row.accuracy for row in result.rows if row.ipc is None), None)
    against_cpu = by_cpu(result)
    numbers = " (numbers: samples per class)" if any(line.notes for line in against_cpu) else ""
    for name, lines, about in (
        ("accuracy-bytes.png", by_bytes(result), "bytes of a set, in the cheapest lossless form"),
        ("accuracy-cpu.png", against_cpu, f"CPU seconds of making a set{numbers}"),
    ):
        if lines:
            write_file(out / name, comparison_plot(lines, about, title, whole))
        else:
            # One of an earlier call would not belong to this table.
            remove(out / name)
    # Last: where it stands, all stands.
    write_file(out / "comparison.json", to_json(result.model_dump(mode="json")))


def _name(method: str, labels: str) -> str:
    return method if labels == "hard" else f"{method} (learned labels)"


def _styles(result: Comparison) -> dict[str, int]:
    # By name, so that a method looks alike in both plots and after another ranking.
    return {name: number for number, name in enumerate(sorted({row.method for row in result.rows}))}


def by_bytes(result: Comparison) -> list[ComparedLine]:
    """Return each method's accuracy against its bytes; random samples also at the methods' bytes."""
    points: dict[tuple[str, str, bool], dict[float, Score]] = {}
    for row in result.rows:
        if row.accuracy is not None and row.bytes and row.ipc is not None:
            key = (row.method, row.labels, row.kind != "baseline")
            points.setdefault(key, {})[row.bytes] = row.accuracy
    for equal in result.equal_bytes:
        points.setdefault(("random", "hard", False), {})[equal.random_bytes] = equal.random
    styles = _styles(result)
    return [
        ComparedLine(
            _name(method, labels), tuple(sorted(found.items())), made, style=styles.get(method, len(styles))
        )
        for (method, labels, made), found in points.items()
    ]


def by_cpu(result: Comparison) -> list[ComparedLine]:
    """Return each method's accuracy against the CPU seconds of a set, from small sets to large ones."""
    points: dict[tuple[str, str], list[tuple[float, Score, str]]] = {}
    for row in result.rows:
        if row.accuracy is not None and row.seconds is not None and row.seconds.cpu > 0:
            found = points.setdefault((row.method, row.labels), [])
            found.append((row.seconds.cpu, row.accuracy, str(row.ipc)))
    styles = _styles(result)
    # Where all sets are of one size, the same number beside every point would say nothing.
    several = len({note for found in points.values() for _, _, note in found}) > 1
    return [
        ComparedLine(
            _name(method, labels),
            tuple((where, score) for where, score, _ in found),
            notes=tuple(ipc for _, _, ipc in found) if several else (),
            style=styles[method],
        )
        for (method, labels), found in points.items()
    ]
