"""The command ``attar federated``: parsing, and nothing that knows how anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from attar.cli import options as o

if TYPE_CHECKING:
    from attar.pages import Part
    from pydantic import BaseModel

__all__ = ["FEDERATED", "Federated"]

Clients: TypeAlias = Annotated[int, typer.Option("--clients", min=1, help="Number of clients.")]
Partition: TypeAlias = Annotated[
    str,
    typer.Option(
        "--partition",
        help="iid, dirichlet,alpha=0.1, shards,each=2, pathological,classes=2, or groups,pattern=….",
    ),
]
ProtocolName: TypeAlias = Annotated[
    str, typer.Option("--protocol", "--method", help="one-shot, feddm, fedavg or fedprox.")
]
Distiller: TypeAlias = Annotated[str, typer.Option("--distiller", help="Method that clients distill with.")]
Ipc: TypeAlias = Annotated[
    int | None, typer.Option("--ipc", help="Samples per class and client.", show_default="10")
]
Size: TypeAlias = Annotated[int | None, typer.Option("--size", help="Samples of a client in all.")]
Ratio: TypeAlias = Annotated[
    float | None, typer.Option("--ratio", help="Samples per training sample of a client.")
]
Budget: TypeAlias = Annotated[str | None, typer.Option("--budget", help="Bytes of a client, such as 10KB.")]
Steps: TypeAlias = Annotated[int | None, typer.Option("--steps", help="Steps of the method.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="The global network, such as convnet,width=32.")
]
Rounds: TypeAlias = Annotated[
    int | None,
    typer.Option("--rounds", min=1, help="Rounds.", show_default="1, 5 for feddm, 50 for averaging"),
]
Target: TypeAlias = Annotated[
    float | None,
    typer.Option("--target", help="End once this accuracy on held-out data, in %, held for three rounds."),
]
Wire: TypeAlias = Annotated[str, typer.Option("--wire", help="Send values as float32, float16 or uint8.")]
Robust: TypeAlias = Annotated[
    bool, typer.Option("--robust", help="Leave out clients that the others disagree with.")
]
Private: TypeAlias = Annotated[
    bool, typer.Option("--privacy", help="Add noise at the clients; settings are privacy.noise and others.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds that clients have for a round.")
]
Engine: TypeAlias = Annotated[
    str, typer.Option("--engine", help="ray, Flower's simulation, or inline, one client after another.")
]


def simulate(
    modality: o.ModalityArgument = None,
    modality_option: o.ModalityOption = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    protocol: ProtocolName = "one-shot",
    clients: Clients = 10,
    partition: Partition = "iid",
    distiller: Distiller = "dm",
    ipc: Ipc = None,
    size: Size = None,
    ratio: Ratio = None,
    budget: Budget = None,
    steps: Steps = None,
    model: Model = None,
    rounds: Rounds = None,
    target: Target = None,
    wire: Wire = "float32",
    robust: Robust = False,
    privacy: Private = False,
    engine: Engine = "ray",
    timeout: Timeout = 3600.0,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    out: o.Out = None,
    workers: o.Processes = None,
    resume: o.Resume = False,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Share data among clients on this machine, and learn from what they send."""
    from attar_federated import command

    command.simulate(
        o.given(
            modality=modality or modality_option,
            protocol=protocol,
            clients=clients,
            partition=partition,
            distiller=distiller,
            ipc=ipc,
            size=size,
            ratio=ratio,
            budget=budget,
            steps=steps,
            model=model,
            rounds=rounds,
            target=target,
            wire=wire,
            robust=robust,
            privacy=privacy,
            seed=seed,
        ),
        o.parse_changes(changes),
        command.How(
            data=data,
            root=root,
            download=download,
            cache=cache,
            engine=engine,
            timeout=timeout,
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


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or the folder of a federated run.")],
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    engine: Engine = "ray",
    timeout: Timeout = 3600.0,
    changes: o.Changes = None,
    out: o.Out = None,
    workers: o.Processes = None,
    resume: o.Resume = False,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Repeat a federated run."""
    from attar_federated import command

    command.repeat(
        recipe,
        o.parse_changes(changes),
        command.How(
            data=data,
            root=root,
            download=download,
            cache=cache,
            engine=engine,
            timeout=timeout,
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


def app(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    modality: Annotated[str, typer.Argument(help="Kind of data; 'attar plugins' lists them.")],
    data: o.Data = None,
    root: o.Root = None,
    protocol: ProtocolName = "one-shot",
    clients: Clients = 2,
    partition: Partition = "iid",
    distiller: Distiller = "dm",
    ipc: Ipc = None,
    size: Size = None,
    ratio: Ratio = None,
    budget: Budget = None,
    steps: Steps = None,
    model: Model = None,
    rounds: Rounds = None,
    target: Target = None,
    wire: Wire = "float32",
    robust: Robust = False,
    privacy: Private = False,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Write a Flower app that 'flwr run' carries out on other machines."""
    from attar_federated import command

    command.write_app(
        folder,
        o.given(
            modality=modality,
            data=data,
            root=None if root is None else str(root),
            protocol=protocol,
            clients=clients,
            partition=partition,
            distiller=distiller,
            ipc=ipc,
            size=size,
            ratio=ratio,
            budget=budget,
            steps=steps,
            model=model,
            rounds=rounds,
            target=target,
            wire=wire,
            robust=robust,
            privacy=privacy,
            seed=seed,
        ),
        changes=o.parse_changes(changes),
        force=force,
        as_json=as_json,
    )


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of federated runs.")],
    accuracy: Annotated[
        float | None,
        typer.Option("--accuracy", help="Also say when this test accuracy, in %, was first held."),
    ] = None,
    hold: Annotated[int, typer.Option("--hold", min=1, help="Rounds for which it must hold.")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write the table and the plots to.")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Compare federated runs: accuracy, rounds and megabytes."""
    from attar_federated import command

    command.report(runs, accuracy=accuracy, hold=hold, out=out, force=force, as_json=as_json)


class Federated:
    """Adds the command."""

    api = 1
    summary = "federated learning with distilled sets, on Flower"

    def register(self, app_: typer.Typer) -> None:
        """Add ``federated`` with its commands."""
        own = typer.Typer(
            name="federated", help="Federated learning with distilled sets, on Flower.", no_args_is_help=True
        )
        own.command("simulate")(simulate)
        own.command("run")(run)
        own.command("app")(app)
        own.command("report")(report)
        app_.add_typer(own)

    def record(self) -> type[BaseModel]:
        """Return what ``attar federated simulate --json`` prints."""
        from attar_federated.results import FederatedResult

        return FederatedResult

    def part(self, run: Path) -> Part | None:
        """Return what a page of ``attar report`` says of a run; None for a folder that is none of ours."""
        from attar_federated.pages import federated_part

        return federated_part(run)


FEDERATED = Federated()
