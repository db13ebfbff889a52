"""Progress of long work: a bar on a terminal or in a notebook, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape

from attar.plain import plain

__all__ = ["Advance", "progress", "say", "silent"]


Advance = Callable[[int, str], None]
"""Called with the amount done and a note, such as the loss."""

_QUIET_SECONDS = 30.0
_NOTEBOOK_SECONDS = 0.2


def say(line: str) -> None:
    """Show a line on standard error, above a bar if there is one, without what would move the cursor."""
    print(plain(line), file=sys.stderr, flush=True)


@contextmanager
def silent(total: int, doing: str) -> Iterator[Advance]:
    """Yield a progress that shows nothing."""
    yield lambda done, note: None


@contextmanager
def progress(total: int, doing: str) -> Iterator[Advance]:
    """Yield a function that shows how far the work is and how long it will take.

    On a terminal and in a notebook it is a bar, elsewhere a line on standard error every half
    minute.

    Args:
        total: Amount of work.
        doing: What is being done, for people.
    """
    shown = _notebook if _in_notebook() else _bar if sys.stderr.isatty() else _lines
    with shown(total, plain(doing)) as advance:
        yield lambda done, note: advance(done, plain(note))


def _in_notebook() -> bool:
    """Return whether the code runs in a notebook's kernel, which shows HTML."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


@contextmanager
def _notebook(total: int, doing: str) -> Iterator[Advance]:
    from IPython.display import HTML, display

    start = time.monotonic()
    last = 0.0

    def page(done: int, note: str) -> HTML:
        left = (time.monotonic() - start) / done * (total - done) if done else 0.0
        text = escape(f"{doing}: {done}/{total} {note}" + (f", about {left:.0f} s left" if done else ""))
        return HTML(f'<progress value="{done}" max="{total}"></progress> {text}')

    handle = display(page(0, ""), display_id=True)

    def advance(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _NOTEBOOK_SECONDS or done >= total:
            last = now
            handle.update(page(done, note))

    yield advance


@contextmanager
def _bar(total: int, doing: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(Text(doing).plain, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


@contextmanager
def _lines(total: int, doing: str) -> Iterator[Advance]:
    start = last = time.monotonic()

    def advance(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _QUIET_SECONDS:
            return
        last = now
        left = (now - start) / max(done, 1) * (total - done)
        print(f"{doing}: {done}/{total} {note} about {left:.0f} s left", file=sys.stderr, flush=True)

    yield advance
