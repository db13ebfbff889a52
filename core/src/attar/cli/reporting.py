"""The command that writes a page about runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attar.cli import options as o

__all__ = ["report"]


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Runs, artifacts, comparisons, or runs of applications."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.", rich_help_panel=o.OUTPUT)] = Path(
        "report.html"
    ),
    title: Annotated[
        str,
        typer.Option("--title", help="Its title.", show_default="what it is about", rich_help_panel=o.OUTPUT),
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Real data, by name or path: name the samples nearest to each.",
            rich_help_panel=o.DATA,
        ),
    ] = None,
    root: o.Root = None,
    nearest: Annotated[
        int, typer.Option("--nearest", min=1, help="How many of them.", rich_help_panel=o.DATA)
    ] = 3,
    changes: o.Changes = None,
    force: o.Force = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Write a page about runs, in one file: figures, samples, cost, origin and how to repeat it."""
    from attar.cli import pages

    pages.write(
        runs,
        out=out,
        title=title,
        real=pages.RealData(data=data, root=root, nearest=nearest, changes=o.parse_changes(changes)),
        force=force,
        show=not quiet and not as_json,
        as_json=as_json,
    )
