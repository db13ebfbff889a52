"""Lines on a terminal: everything that the command line prints for people passes one escape."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings

from attar.plain import plain

__all__ = ["log_lines", "plain_warnings", "tell"]

_LONGEST = 3000


def tell(sentence: str) -> None:
    """Print a line on standard error; of a very long one its beginning and its end."""
    text = plain(sentence)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} […] {text[-_LONGEST // 2 :]}"
    # A terminal that went away takes nothing any more, and then nobody is there to tell.
    with contextlib.suppress(OSError):
        print(f"attar: {text}", file=sys.stderr)


class _Plain(logging.Formatter):
    """Log lines, whoever wrote them."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def log_lines(level: int) -> None:
    """Show log lines from a level on, as lines of the command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("attar: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def plain_warnings() -> None:
    """Show warnings of libraries, which may quote a file, as lines of the command."""

    def formatted(message: Warning | str, *_: object, **__: object) -> str:
        return f"attar: warning: {plain(' '.join(str(message).split()))}\n"

    warnings.formatwarning = formatted
