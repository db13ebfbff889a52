"""The options of ``attar compare``: parsing only."""

from __future__ import annotations

from typing import Annotated

import typer

from attar.cli import options as o
from attar.errors import UsageError

__all__ = ["compare"]


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError as error:
        raise UsageError(f"--ipc {text!r} is not understood; write it as --ipc 1,10") from error


def _grid(texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the values of each setting; semicolons part values that have commas of their own."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts or ():
        key, equals, values = text.partition("=")
        each = tuple(value.strip() for value in values.split(";" if ";" in values else ","))
        if not equals or not key.strip() or not all(each):
            raise UsageError(f"--grid {text!r} is not understood; write it as --grid lr=0.1,1")
        if key.strip() in found:
            raise UsageError(f"--grid {key.strip()!r} is given twice; give all its values at once")
        found[key.strip()] = each
    return found


def compare(
    modality: o.ModalityArgument = None,
    modality_option: o.ModalityOption = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    group_pattern: o.GroupPattern = None,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            "--method",
            help="Methods and selectors with commas, or all.",
            rich_help_panel=o.METHOD,
        ),
    ] = "all",
    ipc: Annotated[
        str, typer.Option("--ipc", help="Samples per class, with commas.", rich_help_panel=o.SIZE)
    ] = "1,10",
    ipc_policy: Annotated[
        str,
        typer.Option("--ipc-policy", help="For small classes: error, cap or repeat.", rich_help_panel=o.SIZE),
    ] = "error",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Sets per method and size.", rich_help_panel=o.SIZE)
    ] = 5,
    seed: o.Seed = 0,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=V1,V2",
            help="Values to choose from on validation data, such as lr=0.1,1 or dm.lr=0.1,1.",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    tune_seeds: Annotated[
        int, typer.Option("--tune-seeds", min=1, help="Sets per point of the grid.", rich_help_panel=o.METHOD)
    ] = 1,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of every method.", rich_help_panel=o.METHOD)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Architecture, such as convnet,width=64.", rich_help_panel=o.METHOD),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting, such as lr=0.1, dm.lr=1 or protocol.epochs=100.",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    protocol: o.Protocol = None,
    baselines: Annotated[
        str, typer.Option("--baselines", help="Names with commas, all or none.", rich_help_panel=o.METHOD)
    ] = "all",
    equal_bytes: Annotated[
        bool, typer.Option(help="Also random real samples of as many bytes as each set.")
    ] = True,
    ranking: Annotated[
        bool,
        typer.Option(
            "--ranking", help="Also the trainings that DD-Ranking's scores take.", rich_help_panel=o.METHOD
        ),
    ] = False,
    out: o.Out = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    workers: o.Workers = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with what stands in --out, as happens without it too.",
            rich_help_panel=o.RUN,
        ),
    ] = False,
    force: o.Force = False,
    allow_inexact: o.Inexact = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Compare methods under one protocol, beside the baselines: a leaderboard."""
    name = o.modality_of("compare", modality or modality_option)
    if resume and force:
        raise UsageError("--resume goes on with a comparison and --force replaces it; give one of them")
    asked = o.parse_changes(changes, group_pattern)
    numbers, values = _numbers(ipc), _grid(grid)
    from attar.cli.leaderboard import compare as carry_out

    carry_out(
        name,
        data=data,
        root=root,
        download=download,
        cache=cache,
        methods=tuple(each.strip() for each in methods.split(",") if each.strip()),
        ipc=numbers,
        policy=ipc_policy,
        seeds=seeds,
        seed=seed,
        grid=values,
        tune_seeds=tune_seeds,
        changes={**({} if steps is None else {"steps": str(steps)}), **asked},
        model=model or "",
        protocol_name=protocol or "",
        baselines=baselines,
        equal_bytes=equal_bytes,
        ranking=ranking,
        out=out,
        device=device,
        precision=precision,
        workers=workers,
        force=force,
        allow_inexact=allow_inexact,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )
