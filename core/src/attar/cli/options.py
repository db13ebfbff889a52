"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from attar.errors import UsageError

__all__ = ["given", "parse_changes"]

ModalityArgument: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="MODALITY", help="Kind of data; 'attar plugins' lists them.")
]
ModalityOption: TypeAlias = Annotated[str | None, typer.Option("--modality", hidden=True)]
Data: TypeAlias = Annotated[
    str | None, typer.Option("--data", help="Name of known data, or the path of your own.")
]
Root: TypeAlias = Annotated[
    Path | None, typer.Option("--root", help="Folder of known data [default: $ATTAR_DATA].")
]
Download: TypeAlias = Annotated[bool, typer.Option("--download", help="Fetch known data into --root.")]
Cache: TypeAlias = Annotated[
    str, typer.Option("--cache", help="Keep what is decoded from files: auto, disk or none.")
]
GroupPattern: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--group-pattern", help="Expression with (?P<group>…) on file names; groups stay on one side."
    ),
]
ExpertsFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option("--experts", help="Folder of the method's experts [default: made, and kept in the cache]."),
]
Frames: TypeAlias = Annotated[
    int, typer.Option("--frames", min=0, help="Draw the set so many times, for an animation.")
]
Log: TypeAlias = Annotated[
    list[str] | None, typer.Option("--log", help="Also log to tensorboard, wandb or mlflow.")
]
Out: TypeAlias = Annotated[Path | None, typer.Option("--out", help="Folder to write.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Seed of every draw.")]
Device: TypeAlias = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Precision: TypeAlias = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
Threads: TypeAlias = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads per process [default: PyTorch's].")
]
Protocol: TypeAlias = Annotated[
    str | None,
    typer.Option("--protocol", help="cpu-1, published or another that the data have [default: theirs]."),
]
Processes: TypeAlias = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes [default: one per processor].")
]
Workers: TypeAlias = Annotated[
    str | None,
    typer.Option("--workers", help="Processes, or ray for a Ray cluster [default: one per processor]."),
]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Replace what stands in --out, once the new is complete.")
]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Inexact: TypeAlias = Annotated[
    bool,
    typer.Option("--allow-inexact", help="Resume under other versions, device, threads or code."),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and say what would be done.")
]
Changes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as lr=0.1 or run.seed=1."),
]


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
