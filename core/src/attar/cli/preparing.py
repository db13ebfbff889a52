"""The command that prepares a method: parsing only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attar.cli import options as o

__all__ = ["experts"]


def experts(
    modality: o.ModalityArgument = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    method: Annotated[
        str,
        typer.Option(
            "--method", "--objective", help="Method that the experts are for.", rich_help_panel=o.METHOD
        ),
    ] = "mtt",
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Number of experts.", rich_help_panel=o.METHOD)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Epochs of each.", rich_help_panel=o.METHOD)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Architecture, such as convnet,width=64.", rich_help_panel=o.METHOD),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder to keep them in.", show_default="the cache", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    changes: o.Changes = None,
    device: o.Device = "auto",
    cache: o.Cache = "auto",
    group_pattern: o.GroupPattern = None,
    threads: o.Threads = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            help="Processes, one expert each, or ray for a Ray cluster.",
            show_default="1",
            rich_help_panel=o.RUN,
        ),
    ] = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Train the experts of a method, for 'attar distill --experts'. Goes on where it was stopped."""
    from attar.cli import experts as command

    command.make_experts(
        o.modality_of("experts", modality),
        data=data,
        root=root,
        download=download,
        method=method,
        objective=o.given(count=count, epochs=epochs, model=model),
        out=out,
        changes=o.parse_changes(changes, group_pattern),
        device=device,
        cache=cache,
        threads=threads,
        workers=workers,
        show=not quiet and not as_json,
        verbose=verbose,
        as_json=as_json,
    )
