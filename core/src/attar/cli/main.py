"""The command line: parsing, exit codes, and nothing that knows how anything is done."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from attar.cli import options as o
from attar.errors import UsageError

__all__ = ["app", "main"]

DONE, BUG, MISTAKE, STOPPED = 0, 1, 2, 130
_STOPPED = "stopped; a run that had begun continues with --resume"

app = typer.Typer(
    name="attar",
    help="Distill a large training set into a tiny one on which a model trains almost as well.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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


def _modality(argument: str | None, option: str | None) -> str:
    name = argument or option
    if name is None:
        raise UsageError("name a modality, as in 'attar distill image'; 'attar plugins' lists them")
    return name


@app.command()
def demo(
    modality: o.ModalityArgument = None,
    out: o.Out = None,
    force: o.Force = False,
    workers: o.Workers = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look in seconds: fewer steps and runs.")] = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Distill scikit-learn's handwritten digits and compare with baselines (minutes)."""
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


@app.command()
def distill(
    modality: o.ModalityArgument = None,
    modality_option: o.ModalityOption = None,
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    method: Annotated[
        str | None, typer.Option("--method", "--objective", help="Method or selector [default: dm].")
    ] = None,
    ipc: Annotated[int | None, typer.Option("--ipc", help="Samples per class.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Samples in all.")] = None,
    ratio: Annotated[float | None, typer.Option("--ratio", help="Samples per training sample.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Bytes, such as 100KB.")] = None,
    ipc_policy: Annotated[
        str | None, typer.Option("--ipc-policy", help="For small classes: error, cap or repeat.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the method.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Architecture, such as convnet,width=64.")
    ] = None,
    out: o.Out = None,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
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

    sizes = o.given(ipc=ipc, total=size, ratio=ratio, policy=ipc_policy)
    if budget is not None:
        sizes["bytes"] = o.parse_bytes(budget)
    recipe = work.make_recipe(
        modality=_modality(modality, modality_option),
        data=data,
        method=method or "dm",
        size=sizes,
        objective=o.given(steps=steps, model=model),
        seed=seed,
        precision=precision,
        changes=o.parse_changes(changes),
    )
    work.distill(
        recipe,
        data=data,
        root=root,
        download=download,
        out=out,
        device=device,
        threads=threads,
        resume=resume,
        force=force,
        allow_inexact=allow_inexact,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or the folder of a run.")],
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    out: o.Out = None,
    changes: o.Changes = None,
    device: o.Device = "auto",
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
        threads=threads,
        resume=resume,
        force=force,
        allow_inexact=allow_inexact,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command()
def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(metavar="[MODALITY] RUN…", help="Runs or artifacts that differ in their seeds."),
    ],
    data: o.Data = None,
    root: o.Root = None,
    download: o.Download = False,
    protocol: Annotated[str, typer.Option("--protocol", help="cpu-1 or published.")] = "cpu-1",
    baselines: Annotated[str, typer.Option("--baselines", help="Names with commas, all or none.")] = "all",
    model: Annotated[str | None, typer.Option("--model", help="Architecture to train.")] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option("--architecture", help="A further one, for the cross-architecture table."),
    ] = None,
    equal_bytes: Annotated[
        bool, typer.Option("--equal-bytes", help="Also random real samples of as many bytes.")
    ] = False,
    seed: o.Seed = 0,
    changes: o.Changes = None,
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Train fresh networks on a set and on its baselines, and test each once."""
    from attar.cli import work

    work.evaluate(
        what,
        data=data,
        root=root,
        download=download,
        protocol_name=protocol,
        baselines=baselines,
        model=model,
        architectures=architecture or [],
        equal_bytes=equal_bytes,
        seed=seed,
        changes=o.parse_changes(changes),
        workers=workers,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@app.command()
def show(
    run: Annotated[Path, typer.Argument(help="A run or an artifact.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the picture to this PNG file.")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Say what a set is, and draw it."""
    from attar.cli import work

    work.show(run, out=out, force=force, as_json=as_json)


@app.command()
def plugins(
    load: Annotated[bool, typer.Option(help="Load each plugin to see whether it works.")] = True,
    as_json: o.Json = False,
) -> None:
    """List what is installed, from which distribution, and what fails to load."""
    from attar.cli.listing import list_plugins

    list_plugins(load=load, as_json=as_json)


@app.command()
def doctor(as_json: o.Json = False) -> None:
    """Say what this machine has, what is slow here and why."""
    from attar.cli.doctor import print_diagnosis

    print_diagnosis(as_json=as_json)


@app.command()
def schema(
    command: Annotated[str, typer.Argument(help="A command that takes --json, recipe or artifact.")],
) -> None:
    """Print the JSON Schema of a command's output or of a file."""
    from attar.cli.listing import print_schema

    print_schema(command)


def _tell(sentence: str) -> None:
    # A terminal that went away takes nothing any more, and then nobody is there to tell.
    with contextlib.suppress(OSError):
        print(f"attar: {sentence}", file=sys.stderr)


def _report_bug(error: BaseException) -> None:
    with tempfile.NamedTemporaryFile(
        "w", prefix="attar-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    _tell(f"this is a bug in Attar ({type(error).__name__}: {error}); please report it with {file.name}")


def _parser_mistake(error: Exception) -> int | None:
    """Show what the option parser refused and return its exit code, or None if it is not the parser's.

    The parser's exceptions live in click or, in newer typer, inside typer, so they are known
    by what they offer.
    """
    told = getattr(error, "format_message", None)
    if not callable(told) or not isinstance(getattr(error, "exit_code", None), int):
        return None
    message = str(told()).strip().rstrip(".")
    if "\n" in message:
        # No command was given, and the whole help stands where a complaint would.
        error.show()  # type: ignore[attr-defined]
        return MISTAKE
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "attar")
    _tell(f"{message[:1].lower() + message[1:]}; see '{command} --help'")
    return MISTAKE


def _refused(error: OSError) -> int:
    """Say what the system refused and return the exit code."""
    # Windows calls a pipe that nobody reads any more an invalid argument.
    closed = sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None
    if closed or isinstance(error, BrokenPipeError):
        # The reader of our output went away; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    reason = error.strerror or error
    _tell(
        f"the system refused {error.filename or 'a file'!s}: {reason}; "
        "choose a place that can be read and written and has room"
    )
    return MISTAKE


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory was refused; PyTorch raises a plain RuntimeError on a CPU."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 our bug, 2 the user's mistake or the disk, 130 stopped and resumable.
    """
    # Threads that wait for work would otherwise spin, which on a busy machine costs several
    # times the work itself. It must be set before torch is imported, as must this: what Apple's
    # GPUs have no kernel for, such as the gradient of a rotation, is computed on the CPU.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode shows escapes rather than ending the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code: int | None = DONE
    try:
        result = app(args=arguments, prog_name="attar", standalone_mode=False)
        code = result if isinstance(result, int) else DONE
        if code == STOPPED:
            _tell(_STOPPED)
        sys.stdout.flush()
    except typer.Abort:
        _tell(_STOPPED)
        code = STOPPED
    except UsageError as error:
        _tell(str(error))
        code = MISTAKE
    except KeyboardInterrupt:
        _tell(_STOPPED)
        code = STOPPED
    except OSError as error:
        code = _refused(error)
    except Exception as error:
        code = _parser_mistake(error)
        if code is None and _out_of_memory(error):
            _tell("there is not enough memory; ask for a smaller set, fewer real samples or a narrower model")
            code = MISTAKE
        elif code is None:
            _report_bug(error)
            code = BUG
    sys.exit(code)
