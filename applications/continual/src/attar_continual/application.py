"""The command ``attar continual``: parsing, and nothing that knows how anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from attar.cli import options as o

if TYPE_CHECKING:
    from attar.pages import Part
    from pydantic import BaseModel

__all__ = ["CONTINUAL", "Continual"]


def run(
    modality: o.ModalityArgument = None,
    modality_option: o.ModalityOption = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Repeat a run: its folder, or a recipe in TOML.")
    ] = None,
    experiences: Annotated[
        str | None,
        typer.Option(
            "--experiences", help="How many, as 5, or the classes of each, as 4,3,3.", show_default="5"
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups", help="Experiences are groups instead: expression with (?P<group>…) on file names."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="10/class, 100 (samples in all) or 78KB.", show_default="10/class"),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Some of naive, replay, herding, gdumb, herding-gdumb, distilled, distilled-gdumb and "
            "joint, with commas.",
        ),
    ] = None,
    distiller: Annotated[
        str | None,
        typer.Option("--distiller", "--method", help="Method that distills memories.", show_default="dm"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="What is kept as labels: hard, soft or learned.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the method.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The network, such as mlp or convnet,width=32.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Streams, each in another order.", show_default="3")
    ] = None,
    seed: o.Seed = 0,
    equal_bytes: Annotated[
        bool, typer.Option("--equal-bytes/--no-equal-bytes", help="Also compare real samples of equal bytes.")
    ] = True,
    log: Annotated[
        list[str] | None, typer.Option("--log", help="Loggers of Avalanche: csv, tensorboard.")
    ] = None,
    keep_memory: Annotated[
        bool, typer.Option("--keep-memory", help="Save the memory after each experience, as an artifact.")
    ] = False,
    changes: o.Changes = None,
    out: o.Out = None,
    workers: o.Workers = None,
    resume: o.Resume = False,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Compare distilled memory with real samples on streams of experiences."""
    from attar_continual import command

    command.run(
        o.given(
            modality=modality or modality_option,
            experiences=experiences,
            pattern=groups,
            memory=memory,
            methods=methods,
            distiller=distiller,
            labels=labels,
            steps=steps,
            model=model,
            seeds=seeds,
        ),
        o.parse_changes(changes),
        command.How(
            data=data,
            root=root,
            download=download,
            cache=cache,
            recipe=recipe,
            seed=seed,
            equal_bytes=equal_bytes,
            logs=tuple(log or ()),
            keep=keep_memory,
            out=out,
            workers=workers,
            resume=resume,
            force=force,
            dry_run=dry_run,
            quiet=quiet,
            verbose=verbose,
            as_json=as_json,
        ),
    )


def _alone() -> None:
    """Keep ``run`` a command of its own, though it is the only one."""


class Continual:
    """Adds the command."""

    api = 1
    summary = "continual learning with distilled memory, on Avalanche"

    def register(self, app: typer.Typer) -> None:
        """Add ``continual`` with its commands."""
        own = typer.Typer(
            name="continual",
            help="Continual learning with distilled memory, on Avalanche.",
            no_args_is_help=True,
        )
        own.callback()(_alone)
        own.command("run")(run)
        app.add_typer(own, help="Continual learning with distilled memory, on Avalanche.")

    def record(self) -> type[BaseModel]:
        """Return what ``attar continual run --json`` prints."""
        from attar_continual.results import ContinualResult

        return ContinualResult

    def part(self, run: Path) -> Part | None:
        """Return what a page of ``attar report`` says of a run; None for a folder that is none of ours."""
        from attar_continual.pages import continual_part

        return continual_part(run)


CONTINUAL = Continual()
