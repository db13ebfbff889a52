"""Progress of long work on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "progress", "silent"]

Advance = Callable[[int, str], None]
"""Called with the amount done and a note, such as the loss."""

_QUIET_SECONDS = 30.0


@contextmanager
def silent(total: int, doing: str) -> Iterator[Advance]:
    """Yield a progress that shows nothing."""
    yield lambda done, note: None


@contextmanager
def progress(total: int, doing: str) -> Iterator[Advance]:
    """Yield a function that shows how far the work is and how long it will take.

    Args:
        total: Amount of work.
        doing: What is being done, for people.
    """
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(total, doing) as advance:
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
