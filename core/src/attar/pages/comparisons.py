"""What a page says of a comparison of methods."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from attar.artifact import load
from attar.comparison import Comparison, Row
from attar.comparison.folder import by_bytes, by_cpu
from attar.comparison.sheets import Sheet, apart, equal_count, equal_size, notes
from attar.errors import UsageError
from attar.files import read_json
from attar.pages.blocks import Block, Facts, Part, Picture, Section, Table, Told
from attar.pages.evaluations import percent
from attar.pages.samples import samples_section
from attar.plots import comparison_plot, svg_of
from attar.registry import Registry

__all__ = ["RESULT", "comparison_part"]

RESULT = "comparison.json"
"""File that a comparison ends with."""


def _table(sheet: Sheet, made: tuple[str, ...], folded: bool = False) -> Table:
    return Table(sheet.title, sheet.columns, sheet.rows, made=made, folded=folded)


def _read(folder: Path) -> Comparison:
    try:
        return Comparison.model_validate(read_json(folder / RESULT))
    except ValidationError as error:
        raise UsageError(f"{str(folder / RESULT)!r} is damaged; compare again") from error


def _best(result: Comparison) -> list[Row]:
    """Return, of each size, the made set that does best on held-out data, whatever its labels."""
    best: dict[int, Row] = {}
    for row in result.rows:
        if row.ipc is None or row.validation is None or row.kind == "baseline" or not row.runs:
            continue
        before = best.get(row.ipc)
        if before is None or before.validation is None or row.validation.mean > before.validation.mean:
            best[row.ipc] = row
    return [best[ipc] for ipc in sorted(best)]


def comparison_part(folder: Path, registry: Registry) -> Part:
    """Return what a page says of a comparison.

    Args:
        folder: Its folder.
        registry: The plugins known.

    Raises:
        UsageError: If it is damaged, or one of its runs is.
    """
    result = _read(folder)
    best = _best(result)
    made = tuple({row.method for row in result.rows if row.kind == "distilled"})
    title = f"{result.data}, {result.architecture}, protocol {result.protocol.name}"
    whole = next((row.accuracy for row in result.rows if row.ipc is None), None)
    sections = [Section("At a glance", tuple(_glance(result, best)))]
    tables: list[Block] = [_table(equal_count(result), made)]
    if any(row.against for row in result.rows):
        tables.append(_table(apart(result), made))
    tables += [Told(f"{note[:1].upper()}{note[1:]}.") for note in notes(result)]
    sections.append(Section("Equal count", tuple(tables)))
    if result.equal_bytes:
        sections.append(Section("Equal bytes", (_table(equal_size(result), made),)))
    pictures = tuple(
        Picture(
            comparison_plot(lines, about, title, whole, svg_of),
            alt=f"Accuracy against {about}; the tables have the same figures",
        )
        for lines, about in (
            (by_bytes(result), "bytes of a set, in the cheapest lossless form"),
            (by_cpu(result), "CPU seconds of making a set"),
        )
        if lines
    )
    if pictures:
        sections.append(Section("Accuracy against bytes and cost", pictures))
    for row in best:
        place = folder / row.runs[0]
        if place.is_dir():
            shown = samples_section(load(place, registry=registry), registry)
            sections.append(Section(f"Samples: {row.method}, {row.ipc} per class", shown.blocks))
    lede = (
        f"{len({row.method for row in result.rows})} methods and baselines on {result.data} "
        f"({result.training_samples:,} training samples, {result.classes} classes), each with networks of "
        f"{result.architecture} that were trained alike."
    )
    return Part(f"{result.data}: comparison", f"{result.modality} comparison", lede, tuple(sections))


def _glance(result: Comparison, best: list[Row]) -> list[Block]:
    values = {
        f"{row.ipc} per class: {row.method}": percent(row.accuracy)
        for row in best
        if row.accuracy is not None
    }
    whole = next((row.accuracy for row in result.rows if row.ipc is None), None)
    if whole is not None:
        values["all real samples"] = percent(whole)
    said = "Of each size, the method that does best on held-out data, with its test accuracy."
    return [Told(said), Facts(values, large=True)] if best else [Told("No method made a set.", True)]
