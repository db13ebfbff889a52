"""Running a command: what goes wrong becomes one sentence and an exit code."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from attar.cli.applications import command_of, with_applications
from attar.cli.main import app
from attar.cli.telling import plain_warnings, tell
from attar.errors import UsageError
from attar.registry import Registry

__all__ = ["main"]

DONE, BUG, MISTAKE, STOPPED = 0, 1, 2, 130
_STOPPED = "stopped; a run that had begun continues with --resume"


def _report_bug(error: BaseException) -> None:
    with tempfile.NamedTemporaryFile(
        "w", prefix="attar-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    tell(f"this is a bug in Attar ({type(error).__name__}: {error}); please report it with {file.name}")


def _parser_mistake(error: Exception) -> int | None:
    """Show what the option parser refused and return its exit code, or None if it is not the parser's.

    The parser's exceptions live in click or, in newer typer, inside typer, so they are known
    by what they offer.
    """
    told = getattr(error, "format_message", None)
    if not callable(told) or not isinstance(getattr(error, "exit_code", None), int):
        return None
    # Newer versions of the parser and of typer both say what may be meant.
    message = " ".join(dict.fromkeys(re.split(r"(?<=[.?]) ", str(told()).strip()))).rstrip(".")
    if not message:
        # No command was given, and the whole help was shown.
        return MISTAKE
    if "\n" in message:
        # No command was given, and the whole help stands where a complaint would.
        error.show()  # type: ignore[attr-defined]
        return MISTAKE
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "attar")
    tell(f"{message[:1].lower() + message[1:]}; see '{command} --help'")
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
    tell(
        f"the system refused {error.filename or 'a file'!s}: {reason}; "
        "choose a place that can be read and written and has room"
    )
    return MISTAKE


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory was refused; PyTorch raises a plain RuntimeError on a CPU."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)


@contextmanager
def _ended_gently() -> Iterator[None]:
    """Let what asks a process to end do what Ctrl-C does: workers are ended too, and what is done is told."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Windows has no SIGHUP; what ``nohup`` told to ignore stays ignored.
    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asked = [kind for kind in kinds if signal.getsignal(kind) != signal.SIG_IGN]
    before = {kind: signal.signal(kind, interrupt) for kind in asked}
    try:
        yield
    finally:
        for kind, handler in before.items():
            # None: a handler that was not set from Python, which Python cannot set again.
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


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
    plain_warnings()
    code: int | None = DONE
    try:
        given = sys.argv[1:] if arguments is None else arguments
        called = [word for word in given if not word.startswith("-")][:1]
        whole = command_of(with_applications(app, called, Registry()))
        with _ended_gently():
            result = whole(args=arguments, prog_name="attar", standalone_mode=False)

        code = result if isinstance(result, int) else DONE
        if code == STOPPED:
            tell(_STOPPED)
        sys.stdout.flush()
    except typer.Abort:
        tell(_STOPPED)
        code = STOPPED
    except UsageError as error:
        tell(str(error))
        code = MISTAKE
    except KeyboardInterrupt:
        tell(_STOPPED)
        code = STOPPED
    except OSError as error:
        code = _refused(error)
    except Exception as error:
        code = _parser_mistake(error)
        if code is None and _out_of_memory(error):
            tell("there is not enough memory; ask for a smaller set, fewer real samples or a narrower model")
            code = MISTAKE
        elif code is None:
            _report_bug(error)
            code = BUG
    sys.exit(code)
