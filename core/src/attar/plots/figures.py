"""Figures drawn without a display, and the files that are made of them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

__all__ = ["Form", "new_figure", "png_of", "scale_by_powers", "svg_of"]

Form: TypeAlias = Callable[[Any], bytes]
"""What makes a file of a figure: :func:`png_of` or :func:`svg_of`."""

_INKS = """<style>
svg { color: #1b1b1b }
@media (prefers-color-scheme: dark) { svg { color: #e6e6e6 } }
text { fill: currentColor }
</style>"""


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of a size in inches.

    It is one of its own, not through pyplot, which needs no display and keeps no state.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """Return a figure as a PNG file."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def svg_of(figure: Any) -> bytes:
    """Return a figure as an SVG file that needs no background: its black is light for who reads on dark.

    Texts stay texts, in a font of the reader.
    """
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.patch.set_alpha(0)
        if axes.get_legend() is not None:
            axes.get_legend().get_frame().set_alpha(0)
    target = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "attar"}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue().replace("#000000", "currentColor")
    return text.replace("<defs>", f"{_INKS}\n <defs>", 1).encode()


def scale_by_powers(axes: Any, places: Sequence[float]) -> None:
    """Let values grow by factors along the horizontal axis, with enough of them named.

    Args:
        axes: Axes of a figure.
        places: The values that are drawn, all above 0.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    few = max(places) < 100 * min(places)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
