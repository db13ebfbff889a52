"""The commands: parsing, and nothing that knows how anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attar.cli import comparing, preparing, reporting, scaffolding, sharing
from attar.cli import options as o

__all__ = ["app"]


app = typer.Typer(
    name="attar",
    help="Distill a large training set into a tiny one on which a model trains almost as well.",
    epilog="Start with: attar demo. 'attar plugins' lists kinds of data, methods and selectors.",
    no_args_is_help=True,
    **o.LOOK,
)


def _version(value: bool) -> None:
    if value:
        from attar.doctor import distributions

        for name, number in distributions().items():
            print(f"{name} {number}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the versions.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=o.START, epilog="Example: attar demo tensor --quick")
def demo(
    modality: o.ModalityArgument = None,
    out: o.Out = None,
    force: o.Force = False,
    workers: o.Processes = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A look in seconds: fewer steps and runs.", rich_help_panel=o.METHOD),
    ] = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Distill small data that need no download, and compare with baselines."""
    from attar.cli.demo import run_demo

    run_demo(
        modality or "tensor",
        out or Path("attar-demo"),
        force=force,
        workers=workers,
        quick=quick,
        show=not quiet and not as_json,
        as_json=as_json,
    )


@app.command(
    rich_help_panel=o.MAKE,
    epilog="Example: attar distill image --data photos --ipc 10. 'attar plugins' lists the methods",
)
def distill(
    modality: o.ModalityArgument = None,
    modality_option: o.ModalityOption = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "--objective",
            help="Method or selector; by default what suits the data. 'attar plugins' lists all.",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    ipc: Annotated[
        int | None,
        typer.Option("--ipc", help="Samples per class; 10 without any size.", rich_help_panel=o.SIZE),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Samples in all.", rich_help_panel=o.SIZE)
    ] = None,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Samples per training sample.", rich_help_panel=o.SIZE)
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Bytes, such as 100KB.", rich_help_panel=o.SIZE)
    ] = None,
    ipc_policy: Annotated[
        str,
        typer.Option("--ipc-policy", help="For small classes: error, cap or repeat.", rich_help_panel=o.SIZE),
    ] = "error",
    balance: Annotated[
        str,
        typer.Option(
            "--balance", help="Samples of each class: balanced or proportional.", rich_help_panel=o.SIZE
        ),
    ] = "balanced",
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the method.", rich_help_panel=o.METHOD)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Architecture, such as convnet,width=64.", rich_help_panel=o.METHOD),
    ] = None,
    out: o.Out = None,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    cache: o.Cache = "auto",
    group_pattern: o.GroupPattern = None,
    experts: o.ExpertsFolder = None,
    frames: o.Frames = 0,
    log: o.Log = None,
    threads: o.Threads = None,
    resume: o.Resume = False,
    force: o.Force = False,
    allow_inexact: o.Inexact = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Distill a data set into a few samples per class."""
    from attar.cli import work

    sizes = o.given(ipc=ipc, total=size, ratio=ratio, policy=ipc_policy, balance=balance)
    if budget is not None:
        from attar.quantities import parse_bytes

        sizes["bytes"] = parse_bytes(budget)
    recipe = work.make_recipe(
        modality=o.modality_of("distill", modality or modality_option),
        data=data,
        method=method,
        size=sizes,
        objective=o.given(steps=steps, model=model),
        seed=seed,
        precision=precision,
        changes=o.parse_changes(changes, group_pattern),
    )
    work.distill(
        recipe,
        data=data,
        root=root,
        download=download,
        out=out,
        device=device,
        cache=cache,
        experts=experts,
        frames=frames,
        log=log or [],
        threads=threads,
        resume=resume,
        force=force,
        allow_inexact=allow_inexact,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command(rich_help_panel=o.MAKE, epilog="Example: attar run runs/photos/recipe.toml --data photos")
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or the folder of a run.")],
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    out: o.Out = None,
    changes: o.Changes = None,
    device: o.Device = "auto",
    cache: o.Cache = "auto",
    experts: o.ExpertsFolder = None,
    frames: o.Frames = 0,
    log: o.Log = None,
    threads: o.Threads = None,
    resume: o.Resume = False,
    force: o.Force = False,
    allow_inexact: o.Inexact = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Repeat a recipe."""
    from attar.cli import work
    from attar.recipe import read_recipe

    path = recipe / "recipe.toml" if recipe.is_dir() else recipe
    work.distill(
        read_recipe(path, o.parse_changes(changes)),
        data=data,
        root=root,
        download=download,
        out=out,
        device=device,
        cache=cache,
        experts=experts,
        frames=frames,
        log=log or [],
        threads=threads,
        resume=resume,
        force=force,
        allow_inexact=allow_inexact,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command(
    rich_help_panel=o.USE, epilog="Example: attar evaluate runs/photos --data photos --baselines random"
)
def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODALITY] RUN…",
            help="Runs or artifacts that differ in their seeds; or MODALITY and .npz files with --data.",
        ),
    ],
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    cache: o.Cache = "auto",
    protocol: o.Protocol = None,
    baselines: Annotated[
        str, typer.Option("--baselines", help="Names with commas, all or none.", rich_help_panel=o.METHOD)
    ] = "all",
    model: Annotated[
        str | None, typer.Option("--model", help="Architecture to train.", rich_help_panel=o.METHOD)
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            "--architecture",
            help="A further one, for the cross-architecture table.",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="Also show the accuracy of each class.", rich_help_panel=o.OUTPUT),
    ] = False,
    equal_bytes: Annotated[
        bool,
        typer.Option(
            "--equal-bytes", help="Also random real samples of as many bytes.", rich_help_panel=o.METHOD
        ),
    ] = False,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    workers: o.Workers = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Train fresh networks on a set and on its baselines, and test each once."""
    from attar.cli import evaluating, work

    evaluating.evaluate(
        what,
        source=work.Source(data=data, root=root, download=download, cache=cache),
        training=evaluating.Training(
            protocol=protocol or "",
            baselines=baselines,
            model=model,
            architectures=architecture or [],
            equal_bytes=equal_bytes,
            seed=seed,
            workers=workers,
        ),
        per_class=per_class,
        changes=o.parse_changes(changes),
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command(rich_help_panel=o.USE, epilog="Example: attar train runs/photos --out network.safetensors")
def train(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or an artifact.")],
    out: Annotated[
        Path, typer.Option("--out", help="File of the network, .safetensors.", rich_help_panel=o.OUTPUT)
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Architecture.",
            show_default="what the set was distilled on",
            rich_help_panel=o.METHOD,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", help="cpu-1 or published.", show_default="the artifact's", rich_help_panel=o.METHOD
        ),
    ] = None,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Train a network on a set, without the real data."""
    from attar.cli import use

    use.train(
        run,
        out=out,
        model=model,
        protocol_name=protocol,
        seed=seed,
        changes=o.parse_changes(changes),
        device=device,
        threads=threads,
        force=force,
        as_json=as_json,
    )


app.command(
    rich_help_panel=o.MAKE,
    epilog="Example: attar compare text --data reviews.csv --methods dm,means --ipc 1,10",
)(comparing.compare)
app.command(rich_help_panel=o.MAKE, epilog="Example: attar experts image --data photos --count 20")(
    preparing.experts
)
app.command(rich_help_panel=o.USE, epilog="Example: attar export runs/photos --format parquet")(
    sharing.export
)
app.command(rich_help_panel=o.USE, epilog="Example: attar push runs/photos me/photos-10")(sharing.push)
app.command(rich_help_panel=o.START, epilog="Example: attar new objective my-loss")(scaffolding.new)
app.command(rich_help_panel=o.USE, epilog="Example: attar report runs/photos --out photos.html")(
    reporting.report
)


@app.command(rich_help_panel=o.USE, epilog="Example: attar show runs/photos --out picture.png")
def show(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="A run or an artifact.")],
    plot: Annotated[
        str | None,
        typer.Option("--plot", help="Draw evaluations: confusion, ipc or cpu.", rich_help_panel=o.OUTPUT),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the picture (.png), the animation (.gif), or a folder of all, sounds too.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Real data, by name or path: say which samples are nearest to each.",
            rich_help_panel=o.DATA,
        ),
    ] = None,
    root: o.Root = None,
    nearest: Annotated[
        int, typer.Option("--nearest", min=1, help="How many of them.", rich_help_panel=o.DATA)
    ] = 3,
    changes: o.Changes = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Say what a set and its samples are, and draw it, how it came about, or its evaluations."""
    from attar.artifact.store import fetched
    from attar.cli import seeing, work

    source = work.Source(data=data, root=root, download=False, cache="auto")
    beside = seeing.Beside(source=source, nearest=nearest, changes=o.parse_changes(changes))
    seeing.show(
        [fetched(run) for run in runs], plot=plot, out=out, beside=beside, force=force, as_json=as_json
    )


@app.command(rich_help_panel=o.START, epilog="Example: attar plugins image")
def plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="A group, such as objectives or selectors, or a word, such as image."
        ),
    ] = None,
    load: Annotated[bool, typer.Option(help="Load each plugin to see whether it works.")] = True,
    as_json: o.Json = False,
) -> None:
    """List what is installed, from which distribution, and what fails to load."""
    from attar.cli.listing import list_plugins

    list_plugins(kind, load=load, as_json=as_json)


@app.command(rich_help_panel=o.START, epilog="Example: attar doctor")
def doctor(as_json: o.Json = False) -> None:
    """Say what this machine has, what is slow here and why."""
    from attar.cli.doctor import print_diagnosis

    print_diagnosis(as_json=as_json)


@app.command(rich_help_panel=o.START, epilog="Example: attar schema evaluate")
def schema(
    command: Annotated[str, typer.Argument(help="A command that takes --json, recipe or artifact.")],
) -> None:
    """Print the JSON Schema of a command's output or of a file."""
    from attar.cli.listing import print_schema

    print_schema(command)


cache = typer.Typer(
    name="cache", help="Look at what is kept for later, or clear it.", no_args_is_help=True, **o.LOOK
)
app.add_typer(cache, rich_help_panel=o.START)


@cache.command("info", epilog="Example: attar cache info")
def cache_info(as_json: o.Json = False) -> None:
    """Say what the cache folder holds."""
    from attar.cli.caches import print_info

    print_info(as_json=as_json)


@cache.command("clear", epilog="Example: attar cache clear evaluations --older 30")
def cache_clear(
    section: Annotated[
        str | None, typer.Argument(help="evaluations, images or selections; all if left out.")
    ] = None,
    older: Annotated[
        float,
        typer.Option("--older", min=0, help="Only what is older than so many days.", rich_help_panel=o.RUN),
    ] = 0.0,
    as_json: o.Json = False,
) -> None:
    """Delete what can be made again; downloaded data stay."""
    from attar.cli.caches import clear

    clear(section, older, as_json=as_json)
