"""Refuses a built page that would fetch something from elsewhere when it is read.

Links may lead anywhere, since a reader decides to follow them. Scripts, styles, fonts and
pictures are loaded without asking.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx

_ELSEWHERE = r"""["']?\s*(?:https?:)?//"""
_PAGE = re.compile(
    rf"<(?:audio|embed|iframe|img|input|object|script|source|video)\b[^>]*\b(?:src|srcset|data)\s*=\s*{_ELSEWHERE}"
    rf"|<link\b[^>]*\bhref\s*=\s*{_ELSEWHERE}",
    re.IGNORECASE,
)
_STYLE = re.compile(rf"url\(\s*{_ELSEWHERE}|@import\s*{_ELSEWHERE}", re.IGNORECASE)


def requests(page: str) -> list[str]:
    """Return what a page or a style sheet would fetch from elsewhere."""
    return [
        page[found.start() : found.end() + 60] for rule in (_PAGE, _STYLE) for found in rule.finditer(page)
    ]


def _check(app: Sphinx, exception: Exception | None) -> None:
    from sphinx.errors import ExtensionError

    if exception is not None or app.builder.format != "html":
        return
    pages: Iterable[Path] = sorted(
        path for path in Path(app.outdir).rglob("*") if path.suffix in (".css", ".html", ".svg")
    )
    for page in pages:
        for found in requests(page.read_text("utf-8")):
            raise ExtensionError(f"{page.relative_to(app.outdir)} fetches from elsewhere: {found}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Check when everything is built."""
    app.connect("build-finished", _check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
