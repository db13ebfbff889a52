"""The command that writes packages of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attar.cli import options as o

__all__ = ["new"]


def new(
    kind: Annotated[str, typer.Argument(help="modality, objective or application.")],
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my-data.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder that its package is written below.", rich_help_panel=o.OUTPUT),
    ] = Path(),
    as_json: o.Json = False,
) -> None:
    """Write a package for a plugin of your own, which installs and passes its tests at once."""
    from attar.cli.packages import write

    write(kind, name, out, as_json=as_json)
