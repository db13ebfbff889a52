"""Several sets beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from attar.pages.blocks import Block, Part, Picture, Section, Table, Told
from attar.pages.sets import ReadSet
from attar.plots import ComparedLine, comparison_plot, svg_of
from attar.reports import Report, Score

__all__ = ["overview_part"]


def _alike(reports: Sequence[Report]) -> bool:
    return len({(each.data, each.architecture, each.protocol.digest()) for each in reports}) == 1


def overview_part(sets: Sequence[ReadSet]) -> Part:
    """Return a table of sets and, where they were evaluated alike, plots of them.

    Args:
        sets: Two or more.
    """
    columns = ("set", "data", "made by", "samples", "bytes", "CPU s", "test accuracy, %", "evaluated by")
    rows = tuple(_cells(each) for each in sets)
    blocks: list[Block] = [Table("The sets", columns, rows)]
    known = [(each, each.reports[0]) for each in sets if each.reports]
    reports = [report for _, report in known]
    if len(known) < 2:
        blocks.append(Told("Fewer than two of them were evaluated, so that no figures can be compared."))
    elif not _alike(reports):
        blocks.append(
            Told(
                "They were evaluated on different data, networks or protocols, so that their accuracies "
                "cannot be compared.",
                True,
            )
        )
    else:
        blocks += _plots(known)
    return Part(
        "All sets", "overview", f"{len(sets)} sets beside each other.", (Section("Overview", tuple(blocks)),)
    )


def _cells(each: ReadSet) -> tuple[str, ...]:
    manifest = each.artifact.manifest
    report = each.reports[0] if each.reports else None
    by = "not evaluated" if report is None else f"{report.architecture}, {report.protocol.name}"
    return (
        each.name,
        manifest.data.name,
        manifest.method.name,
        f"{manifest.size.decoded:,}",
        f"{manifest.size.bytes:,}",
        f"{manifest.cost.cpu:,.1f}",
        "" if report is None else str(report.accuracy),
        by,
    )


def _plots(known: Sequence[tuple[ReadSet, Report]]) -> list[Block]:
    first = known[0][1]
    title = f"{first.data}, {first.architecture}, {first.protocol.name}"
    bytes_of: dict[tuple[str, bool], dict[float, Score]] = {}
    cost_of: dict[str, dict[float, Score]] = {}
    for read, report in known:
        bytes_of.setdefault((report.method, True), {})[report.bytes] = report.accuracy
        cost_of.setdefault(report.method, {})[max(read.artifact.manifest.cost.cpu, 1e-2)] = report.accuracy
        if report.equal_bytes is not None:
            equal = report.equal_bytes
            bytes_of.setdefault(("random, equal bytes", False), {})[equal.bytes] = equal.accuracy
    by_bytes = tuple(
        ComparedLine(name, tuple(sorted(points.items())), made, style=number)
        for number, ((name, made), points) in enumerate(bytes_of.items())
    )
    by_cost = tuple(
        ComparedLine(name, tuple(sorted(points.items())), style=number)
        for number, (name, points) in enumerate(cost_of.items())
    )
    whole = first.baselines.get("whole")
    return [
        Picture(
            comparison_plot(lines, about, title, whole, svg_of),
            alt=f"Accuracy against {about}; the table has the same figures",
        )
        for lines, about in ((by_bytes, "bytes of a set"), (by_cost, "CPU seconds of making a set"))
    ]
