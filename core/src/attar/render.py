"""Pictures of sets, drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["grid_picture", "sample_picture"]

_MOST_ROWS = 60
_TITLE = 0.22


@dataclass(frozen=True)
class _Cell:
    """Where a sample is drawn.

    Attributes:
        down: Row.
        across: Column.
        sample: Number of the sample.
        left: Title at the left, or "".
        below: Title below, or "".
    """

    down: int
    across: int
    sample: int
    left: str = ""
    below: str = ""


def grid_picture(
    samples: Sequence[Any],
    labels: Sequence[int],
    classes: Sequence[str],
    *,
    columns: int = 10,
    cell: float = 0.9,
    limits: tuple[float, float] | None = None,
) -> bytes:
    """Draw samples in rows by class, or side by side where each class has one, with class names.

    Args:
        samples: Arrays ``(h, w)``, ``(h, w, 3)`` with colors in [0, 1], or ``(d,)`` drawn as a line.
        labels: Class of each sample.
        classes: Names of the classes.
        columns: Most samples in a row; of very many classes, only the first are drawn.
        cell: Side of a sample in inches.
        limits: Values drawn black and white; each sample's own extremes where None.

    Returns:
        A PNG file.
    """
    # Drawing on a figure of its own, not through pyplot, needs no display and keeps no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells = _cells(labels, classes, columns)
    rows = max((each.down for each in cells), default=0) + 1
    across = max((each.across for each in cells), default=0) + 1
    longest = max((len(each.left) for each in cells), default=0)
    below = any(each.below for each in cells)
    margin = 0.25 + 0.085 * longest if longest else 0.05
    width, height = margin + across * cell, rows * (cell + (_TITLE if below else 0))
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows,
        across,
        left=margin / width,
        right=0.995,
        bottom=_TITLE / height if below else 0.005,
        top=0.995,
        wspace=0.06,
        hspace=_TITLE / cell if below else 0.06,
    )
    lines = any(np.ndim(sample) == 1 for sample in samples)
    for each in cells:
        axes = figure.add_subplot(grid[each.down, each.across])
        axes.set_xticks([])
        axes.set_yticks([])
        if lines:
            axes.plot(np.ravel(samples[each.sample]), linewidth=0.8)
        else:
            low, high = limits if limits is not None else (None, None)
            axes.imshow(samples[each.sample], cmap="gray", interpolation="nearest", vmin=low, vmax=high)
        # A class name is shown, not read: a "$" in it is no formula.
        axes.set_ylabel(each.left, rotation=0, ha="right", va="center", fontsize=9, parse_math=False)
        axes.set_xlabel(each.below, fontsize=8, labelpad=2, parse_math=False)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def sample_picture(sample: Any, *, limits: tuple[float, float] | None = None, colors: str = "gray") -> bytes:
    """Return one sample as a picture of as many points as it has values, without a frame.

    Args:
        sample: An array ``(h, w)``, or ``(h, w, 3)`` with colors in [0, 1].
        limits: Values drawn darkest and lightest; its own extremes where None.
        colors: Matplotlib's name of the colors that values of one channel are drawn in.

    Returns:
        A PNG file.
    """
    from matplotlib.image import imsave

    low, high = limits if limits is not None else (None, None)
    target = io.BytesIO()
    imsave(target, sample, format="png", cmap=colors, vmin=low, vmax=high)
    return target.getvalue()


def _cells(labels: Sequence[int], classes: Sequence[str], columns: int) -> list[_Cell]:
    present = sorted(set(labels))[:_MOST_ROWS]
    rows = {label: [i for i, owner in enumerate(labels) if owner == label] for label in present}
    if len(present) > 1 and all(len(row) == 1 for row in rows.values()):
        places = (divmod(number, columns) for number in range(len(present)))
        return [
            _Cell(down, across, rows[label][0], below=_short(classes[label], 11))
            for (down, across), label in zip(places, present, strict=True)
        ]
    return [
        _Cell(down, across, index, left=_short(classes[label]) if across == 0 else "")
        for down, label in enumerate(present)
        for across, index in enumerate(rows[label][:columns])
    ]


def _short(name: str, most: int = 24) -> str:
    name = " ".join(name.split())
    return name if len(name) <= most else name[: most - 1] + "…"
