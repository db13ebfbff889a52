"""How a set shows itself in a notebook."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attar.notebook import pairs_html

if TYPE_CHECKING:
    from attar.artifact.manifest import Manifest

__all__ = ["summary_html"]


def summary_html(manifest: Manifest, preview: bytes) -> str:
    """Return a table of what a set is, with its picture, as HTML.

    Names come from people's folders, so everything is escaped.

    Args:
        manifest: What the set is.
        preview: Its picture as PNG, or empty.
    """
    size, cost = manifest.size, manifest.cost
    rows = {
        "data": f"{manifest.data.name} ({manifest.data.modality}, {len(manifest.data.classes)} classes)",
        "method": manifest.method.name,
        "samples": f"{size.decoded:,}",
        "bytes": f"{size.bytes:,}",
        "cost": f"{cost.cpu:,.0f} CPU seconds",
        "seed": str(manifest.seed),
    }
    picture = ""
    if preview:
        data = base64.b64encode(preview).decode("ascii")
        picture = f'<img alt="the samples by class" src="data:image/png;base64,{data}">'
    return f"<div>{pairs_html(rows)}{picture}</div>"
