"""Options that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from attar.errors import UsageError
from attar.registry import Registry

__all__ = ["given", "modality_of", "parse_changes"]

DATA, SIZE, METHOD, RUN, OUTPUT = "Data", "Size", "Method", "Run", "Output"
"""Groups of options in the help of commands."""
START, MAKE, USE, APPLICATIONS = "Start and look around", "Make sets", "Judge and use sets", "Applications"
"""Groups of commands."""
LOOK: dict[str, Any] = {"pretty_exceptions_enable": False, "rich_markup_mode": "rich"}
"""What every part of the command line is made with."""

ModalityArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="MODALITY", help="Kind of data, such as image or text; 'attar plugins' lists all."
    ),
]
ModalityOption: TypeAlias = Annotated[str | None, typer.Option("--modality", hidden=True)]
Data: TypeAlias = Annotated[
    str | None,
    typer.Option("--data", help="Name of known data, or the path of your own.", rich_help_panel=DATA),
]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option("--root", help="Folder of known data.", show_default="$ATTAR_DATA", rich_help_panel=DATA),
]
Download: TypeAlias = Annotated[
    bool, typer.Option("--download", help="Fetch known data into --root.", rich_help_panel=DATA)
]
Cache: TypeAlias = Annotated[
    str,
    typer.Option(
        "--cache", help="Keep what is decoded from files: auto, disk or none.", rich_help_panel=DATA
    ),
]
GroupPattern: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--group-pattern",
        help="Expression with (?P<group>…) on file names; groups stay on one side.",
        rich_help_panel=DATA,
    ),
]
ExpertsFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--experts",
        help="Folder of the method's experts.",
        show_default="made, and kept in the cache",
        rich_help_panel=METHOD,
    ),
]
Frames: TypeAlias = Annotated[
    int,
    typer.Option(
        "--frames", min=0, help="Draw the set so many times, for an animation.", rich_help_panel=OUTPUT
    ),
]
Log: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--log", help="Also log to tensorboard, wandb or mlflow.", rich_help_panel=OUTPUT),
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", help="Folder to write.", rich_help_panel=OUTPUT)
]
Seed: TypeAlias = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of every draw.", rich_help_panel=RUN)
]
Device: TypeAlias = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=RUN)
]
Precision: TypeAlias = Annotated[
    str, typer.Option("--precision", help="auto, fp32 or bf16.", rich_help_panel=RUN)
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Threads per process.", show_default="PyTorch's", rich_help_panel=RUN
    ),
]
Protocol: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="cpu-1, published or another that the data have.",
        show_default="theirs",
        rich_help_panel=METHOD,
    ),
]
Processes: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes.", show_default="one per processor", rich_help_panel=RUN
    ),
]
Workers: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--workers",
        help="Processes, or ray for a Ray cluster.",
        show_default="one per processor",
        rich_help_panel=RUN,
    ),
]
Force: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace what stands in --out, once the new is complete.", rich_help_panel=OUTPUT
    ),
]
Resume: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel=RUN)
]
Inexact: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-inexact", help="Resume under other versions, device, threads or code.", rich_help_panel=RUN
    ),
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=OUTPUT)
]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more on standard error.", rich_help_panel=OUTPUT)
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=OUTPUT)
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and say what would be done.", rich_help_panel=RUN)
]
Changes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting, such as lr=0.1 or run.seed=1.",
        rich_help_panel=METHOD,
    ),
]


def modality_of(command: str, name: str | None) -> str:
    """Return the modality that a command was given.

    Raises:
        UsageError: If there is none, or data stand in its place.
    """
    if name is None:
        raise UsageError(f"name a modality, as in 'attar {command} image'; 'attar plugins' lists them")
    if name not in Registry().names("modalities") and Path(name).exists():
        raise UsageError(
            f"{name!r} is no kind of data; name the kind before it, as in 'attar {command} image --data "
            f"{shlex.quote(name)}'"
        )
    return name


def parse_changes(changes: Sequence[str] | None, group_pattern: str | None = None) -> dict[str, str]:
    """Return the settings given with ``--set KEY=VALUE``, and ``--group-pattern``.

    Raises:
        UsageError: If one of them has no ``=``.
    """
    parsed: dict[str, str] = {}
    for change in changes or ():
        key, equals, value = change.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {change!r} is not understood; write it as --set lr=0.1")
        parsed[key.strip()] = value.strip()
    if group_pattern is not None:
        parsed["data.group_pattern"] = group_pattern
    return parsed


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
