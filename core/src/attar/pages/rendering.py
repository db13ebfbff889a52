"""Pages as one file each, which loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from attar.errors import InternalError
from attar.pages.blocks import Part

__all__ = ["data_address", "render_page"]

_KINDS = ((b"\x89PNG\r\n", "image/png"), (b"<?xml", "image/svg+xml"), (b"RIFF", "audio/wav"))


def data_address(content: bytes) -> str:
    """Return a picture or a sound as an address that holds it."""
    kind = next((name for start, name in _KINDS if content.startswith(start)), None)
    if kind is None:
        raise InternalError("what stands in a page is neither PNG, SVG nor WAV")
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def render_page(parts: Sequence[Part], title: str) -> str:
    """Return a page as HTML.

    It is one file, which a browser may open without a network: pictures and sounds stand in it,
    and its own policy forbids to run or to load anything else. Every text is escaped.

    Args:
        parts: What stands in it.
        title: Its title.
    """
    environment = Environment(
        loader=PackageLoader("attar.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = data_address
    style = (files("attar.pages") / "templates" / "page.css").read_text("utf-8")
    template = environment.get_template("page.html")
    return template.render(parts=parts, title=title, style=style, version=version("attar-core"))
