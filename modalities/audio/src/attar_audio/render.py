"""Pictures of spectrograms, with axes in seconds and Hz."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attar_audio.front_end import FrontEnd

__all__ = ["spectrogram_picture"]

_MOST_ROWS = 40
_MOST_ALONE = 5
_MOST_COLUMNS = 6
_WIDTH, _HEIGHT = 1.7, 1.25


def spectrogram_picture(
    values: NDArray[Any], labels: Sequence[int], classes: Sequence[str], form: FrontEnd
) -> bytes:
    """Draw spectrograms in rows by class, or side by side where each class has one.

    Of more than 6 of a class or 40 classes, the first are drawn.

    Args:
        values: Spectrograms ``(n, positions, frames)`` in decibels.
        labels: Class of each.
        classes: Names of the classes.
        form: The front end, which says what the axes are.

    Returns:
        A PNG file.
    """
    # Drawing on a figure of its own, not through pyplot, needs no display and keeps no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = _places(labels)
    rows = max((row for row, _, _ in places), default=0) + 1
    columns = max((column for _, column, _ in places), default=0) + 1
    figure = Figure(figsize=(0.9 + columns * _WIDTH, 0.5 + rows * _HEIGHT), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    # One scale of colors, so that loud and soft can be told apart.
    shown = [values[index] for _, _, index in places]
    low, high = (np.percentile(shown, 1), np.percentile(shown, 99.5)) if shown else (0.0, 1.0)
    scale = form.kind.scale()
    last = {column: row for row, column, _ in places}
    for row, column, index in places:
        axes = grid[row][column]
        axes.set_axis_on()
        axes.imshow(
            values[index],
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=low,
            vmax=high,
            # Frames stand at multiples of the hop.
            extent=(-form.times / 2, (values.shape[2] - 0.5) * form.times, -0.5, values.shape[1] - 0.5),
        )
        # A class name is shown, not read: a "$" in it is no formula.
        axes.set_title(_short(classes[labels[index]]), fontsize=8, pad=2, parse_math=False)
        axes.tick_params(labelsize=6, length=2, pad=1)
        axes.set_yticks(scale.places, scale.labels if column == 0 else [])
        if column == 0:
            axes.set_ylabel(scale.title, fontsize=7, labelpad=1)
        if row == last[column]:
            axes.set_xlabel("s", fontsize=7, labelpad=0)
        else:
            axes.set_xticklabels([])
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _places(labels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return row, column and number of each sample that is drawn."""
    present = sorted(set(labels))[:_MOST_ROWS]
    owned = {label: [index for index, owner in enumerate(labels) if owner == label] for label in present}
    if all(len(own) == 1 for own in owned.values()):
        return [(*divmod(number, _MOST_ALONE), owned[label][0]) for number, label in enumerate(present)]
    return [
        (row, column, index)
        for row, label in enumerate(present)
        for column, index in enumerate(owned[label][:_MOST_COLUMNS])
    ]


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 20 else name[:19] + "…"
