"""The commands that hand a set on: parsing only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attar.cli import options as o

__all__ = ["export", "push"]


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or an artifact.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="npz, parquet; for images also png, imagefolder; for graphs npz, pyg.",
            rich_help_panel=o.OUTPUT,
        ),
    ],
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            help="uint8, float16 or float32.",
            show_default="what suits the format",
            rich_help_panel=o.OUTPUT,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write.", show_default="RUN-FORMAT", rich_help_panel=o.OUTPUT),
    ] = None,
    force: o.Force = False,
    accuracy: Annotated[
        bool,
        typer.Option(
            "--accuracy",
            help="Also train on both and tell the loss; needs the real data.",
            rich_help_panel=o.METHOD,
        ),
    ] = False,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="Also write the real test samples, as test.parquet; needs the real data.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    protocol: o.Protocol = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Architecture that --accuracy trains.", rich_help_panel=o.METHOD),
    ] = None,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Write a set in natural units for use without Attar, and tell what rounding changes."""
    from attar.cli import export as work

    work.export(
        run,
        format=format,
        dtype=dtype,
        out=out,
        force=force,
        accuracy=accuracy,
        test=test,
        source=work.Source(data=data, root=root, download=download, cache=cache),
        protocol_name=protocol or "",
        model=model,
        seed=seed,
        changes=o.parse_changes(changes),
        workers=workers,
        quiet=quiet,
        as_json=as_json,
    )


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or an artifact.")],
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", help="Data set on the Hugging Face Hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Only you may see it.", rich_help_panel=o.OUTPUT)
    ] = False,
    license: Annotated[
        str,
        typer.Option(
            "--license",
            metavar="ID",
            help="License in the card.",
            show_default="the data's",
            rich_help_panel=o.OUTPUT,
        ),
    ] = "",
    message: Annotated[
        str, typer.Option("--message", help="What the commit is called.", rich_help_panel=o.OUTPUT)
    ] = "",
    as_json: o.Json = False,
) -> None:
    """Publish an artifact on the Hugging Face Hub, with its card."""
    from attar.cli.export import push as publish

    publish(run, repo, private=private, license=license, message=message, as_json=as_json)
