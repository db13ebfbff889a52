"""Tables of continual runs, as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from attar.plain import cell
from attar.reports import Score

from attar_continual.results import ContinualResult, MethodResult

__all__ = ["to_csv", "to_markdown"]


def _lines(methods: Mapping[str, MethodResult]) -> list[str]:
    head = ["", "final, %", "average, %", "forgetting", "memory", "bytes", "CPU s", "of them distilling"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, each in methods.items():
        cells = [name, str(each.final), str(each.average), str(each.forgetting)]
        cells += [f"{each.memory:,}" if each.memory else "", f"{each.bytes:,}" if each.bytes else ""]
        cells += [f"{each.cpu:.0f}", f"{100 * each.distilling:.0f} %" if each.distilling else ""]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return lines


def to_markdown(result: ContinualResult) -> str:
    """Return the tables of a run in Markdown."""
    about = (
        f"{result.data}, {result.stream}, memory {result.memory}, {result.architecture}, "
        f"{len(result.seeds)} streams, distilled by {result.distiller}"
    )
    lines = [cell(about), "", *_lines(result.methods)]
    if result.equal_bytes:
        lines += ["", "Real samples of as many bytes as the distilled ones", "", *_lines(result.equal_bytes)]
    return "\n".join(lines) + "\n"


def to_csv(result: ContinualResult) -> str:
    """Return one line per method, with its accuracy after each experience, as CSV."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    length = max(len(each.curve) for each in result.methods.values())
    head = ["method", "compared_at"]
    for name in ("final", "average", "forgetting", "validation"):
        head += [f"{name}_mean", f"{name}_std"]
    head += ["n", "memory", "bytes", "cpu_seconds", "distilling_share"]
    writer.writerow([*head, *(f"after_{place + 1}" for place in range(length))])
    for compared, methods in (("equal count", result.methods), ("equal bytes", result.equal_bytes)):
        for name, each in methods.items():
            row: list[object] = [name, compared]
            for score in (each.final, each.average, each.forgetting, each.validation):
                row += ["", ""] if score is None else _pair(score)
            row += [each.final.n, each.memory, each.bytes, each.cpu, each.distilling]
            writer.writerow([*row, *(score.mean for score in each.curve)])
    return target.getvalue()


def _pair(score: Score) -> list[float]:
    return [score.mean, score.std]
