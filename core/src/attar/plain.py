"""The one escape for texts of strangers: names of classes, keys of manifests, reasons of clients.

Whatever Attar shows passes here: every line on a terminal, and every cell of Markdown (HTML is escaped by
the template engine, or by :func:`html.escape`).
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["cell", "plain"]

_MARK = "\N{REPLACEMENT CHARACTER}"
_MARKDOWN = re.compile(r"([\\`*_<>|\[\]])")


def plain(text: str) -> str:
    """Return a text without what moves a cursor, colors a terminal, or turns the order of letters.

    Ends of lines and tabs stay; what cannot be shown becomes one mark, so that widths stay too.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _shown(c) for c in text)


def _shown(letter: str) -> str:
    return " " if unicodedata.category(letter) == "Zs" else _MARK


def cell(text: str) -> str:
    """Return a text as Markdown of one line that is nothing but this text."""
    return _MARKDOWN.sub(r"\\\1", " ".join(plain(text).split()))
