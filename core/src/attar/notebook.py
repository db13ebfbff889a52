"""HTML of what a user holds, for notebooks; everything is escaped, since names come from people's folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["pairs_html", "table_html"]


def pairs_html(rows: Mapping[str, str]) -> str:
    """Return names and values as a table."""
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def table_html(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table under a title."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
