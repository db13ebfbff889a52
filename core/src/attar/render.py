"""Pictures of sets, drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["grid_picture"]

_MOST_ROWS = 60


def grid_picture(
    samples: Sequence[Any],
    labels: Sequence[int],
    classes: Sequence[str],
    *,
    columns: int = 10,
    cell: float = 0.9,
    limits: tuple[float, float] | None = None,
) -> bytes:
    """Draw samples in rows by class, with the class names at the left.

    Args:
        samples: Arrays ``(h, w)``, ``(h, w, 3)`` with colors in [0, 1], or ``(d,)`` drawn as a line.
        labels: Class of each sample.
        classes: Names of the classes.
        columns: Most samples drawn of each class; of very many classes, only the first are drawn.
        cell: Side of a sample in inches.
        limits: Values drawn black and white; each sample's own extremes where None.

    Returns:
        A PNG file.
    """
    # Drawing on a figure of its own, not through pyplot, needs no display and keeps no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    present = sorted(set(labels))[:_MOST_ROWS]
    rows = {label: [i for i, owner in enumerate(labels) if owner == label][:columns] for label in present}
    most = max((len(row) for row in rows.values()), default=1)
    titles = {label: _short(classes[label]) for label in present}
    margin = 0.25 + 0.085 * max((len(title) for title in titles.values()), default=1)
    figure = Figure(figsize=(margin + most * cell, max(len(present), 1) * cell), dpi=110)
    FigureCanvasAgg(figure)
    lines = any(np.ndim(sample) == 1 for sample in samples)
    grid = figure.add_gridspec(
        max(len(present), 1),
        most,
        left=margin / (margin + most * cell),
        right=0.995,
        bottom=0.005,
        top=0.995,
        wspace=0.06,
        hspace=0.06,
    )
    for down, label in enumerate(present):
        for across, index in enumerate(rows[label]):
            axes = figure.add_subplot(grid[down, across])
            axes.set_xticks([])
            axes.set_yticks([])
            if lines:
                axes.plot(np.ravel(samples[index]), linewidth=0.8)
            else:
                low, high = limits if limits is not None else (None, None)
                axes.imshow(samples[index], cmap="gray", interpolation="nearest", vmin=low, vmax=high)
            if across == 0:
                # A class name is shown, not read: a "$" in it is no formula.
                axes.set_ylabel(
                    titles[label], rotation=0, ha="right", va="center", fontsize=9, parse_math=False
                )
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
