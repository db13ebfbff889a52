"""Several federated runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.errors import UsageError
from attar.files import read_json
from attar.plain import cell
from attar.reports import Score
from attar.settings import Record, parse

from attar_federated.grid import Bytes
from attar_federated.results import NO_GUARANTEE, FederatedResult, reached

__all__ = ["FederatedReport", "Held", "RunRow", "read_result", "rows_of", "shown", "to_markdown"]

RESULT = "result.json"


class Held(Record):
    """When an accuracy was first held.

    Attributes:
        round: The round.
        bytes: What was sent until its end.
    """

    round: int
    bytes: Bytes


class RunRow(Record):
    """A run in a table.

    Attributes:
        run: Name of its folder.
        protocol: How clients and server worked together.
        partition: Which client has which samples.
        wire: What real values were sent as.
        architecture: The global network.
        accuracy: Test accuracy at the end.
        rounds: Rounds.
        bytes: What was sent.
        seconds: Wall seconds.
        privacy: What is guaranteed, in words.
        held: When the accuracy asked about was first held; None where it never was or none was asked about.
    """

    run: str
    protocol: str
    partition: str
    wire: str
    architecture: str
    accuracy: Score
    rounds: int
    bytes: Bytes
    seconds: float
    privacy: str = NO_GUARANTEE
    held: Held | None = None


class FederatedReport(Record):
    """What ``attar federated report --json`` prints.

    Attributes:
        runs: The runs.
        accuracy: Test accuracy asked about, in percent.
        hold: Rounds for which it must hold.
    """

    runs: tuple[RunRow, ...]
    accuracy: float | None = None
    hold: int = 3


def read_result(run: Path) -> FederatedResult:
    """Return what a run said.

    Raises:
        UsageError: If the folder holds no finished federated run.
    """
    if not (run / RESULT).is_file():
        raise UsageError(f"{str(run)!r} holds no finished federated run; finish it with --resume")
    return parse(FederatedResult, read_json(run / RESULT), RESULT)


def rows_of(
    results: Sequence[tuple[str, FederatedResult]], accuracy: float | None, hold: int
) -> FederatedReport:
    """Return a table of runs.

    Args:
        results: Runs with what they are called.
        accuracy: Test accuracy to ask about, in percent, or None.
        hold: Rounds for which it must hold.
    """
    rows = []
    for name, each in results:
        found = None if accuracy is None else reached(each.rounds, accuracy, hold)
        rows.append(
            RunRow(
                run=name,
                protocol=each.protocol,
                partition=each.partition,
                wire=each.wire,
                architecture=each.architecture,
                accuracy=each.accuracy,
                rounds=len(each.rounds),
                bytes=each.bytes,
                seconds=each.seconds,
                privacy=each.privacy.guarantee,
                held=None if found is None else Held(round=found[0], bytes=found[1]),
            )
        )
    return FederatedReport(runs=tuple(rows), accuracy=accuracy, hold=hold)


def shown(score: Score) -> str:
    """Return a score for people: one network has no spread."""
    return str(score) if score.n > 1 else f"{score.mean:.1f}"


def to_markdown(report: FederatedReport) -> str:
    """Return a table of runs in Markdown."""
    head = ["run", "protocol", "network", "wire", "test, %", "rounds", "MB up", "MB down", "wall, s"]
    asked = report.accuracy is not None
    if asked:
        head += [f"round that holds {report.accuracy:g} %", "MB until then"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for row in report.runs:
        cells = [row.run, row.protocol, row.architecture, row.wire, shown(row.accuracy), str(row.rounds)]
        cells += [f"{row.bytes.up / 1e6:.3f}", f"{row.bytes.down / 1e6:.3f}", f"{row.seconds:.0f}"]
        if asked:
            held = row.held
            total = "" if held is None else f"{(held.bytes.up + held.bytes.down) / 1e6:.3f}"
            cells += ["never" if held is None else str(held.round), total]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    lines += ["", *(cell(f"{row.run}: {row.privacy}.") for row in report.runs)]
    return "\n".join(lines) + "\n"
