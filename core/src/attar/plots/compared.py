"""Plots of many methods beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attar.plots.figures import Form, new_figure, png_of, scale_by_powers
from attar.reports import Score

__all__ = ["ComparedLine", "comparison_plot"]


@dataclass(frozen=True)
class ComparedLine:
    """A method in a plot of many.

    Attributes:
        name: What it is called.
        points: Where each of its sets stands, and the accuracy there; joined in this order.
        notes: A word beside each point, or none.
        made: Whether the samples are made; those of baselines are real.
        style: Number of its color and marker, so that it looks alike in every plot.
    """

    name: str
    points: tuple[tuple[float, Score], ...]
    made: bool = True
    notes: tuple[str, ...] = ()
    style: int = 0


def comparison_plot(
    lines: Sequence[ComparedLine], about: str, title: str, whole: Score | None, form: Form = png_of
) -> bytes:
    """Draw the accuracy of many methods against bytes or cost, on a logarithmic axis.

    Args:
        lines: The methods and baselines.
        about: What stands along the axis.
        title: Title.
        whole: Accuracy of the whole data, drawn as a level, if known.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    figure = new_figure(8.0, 4.8)
    axes = figure.add_subplot()
    for line in lines:
        _draw_compared(axes, line)
    if whole is not None:
        axes.axhline(whole.mean, color="black", linewidth=1, linestyle=":", label="whole data")
    scale_by_powers(axes, [where for line in lines for where, _ in line.points])
    axes.set_xlabel(about)
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    for text in axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5)).get_texts():
        text.set_parse_math(False)
    return form(figure)


def _draw_compared(axes: Any, line: ComparedLine) -> None:
    from matplotlib import colormaps

    # Markers and dashes tell lines apart where colors come again, or are not seen.
    markers, number = "osD^v<>PX*", line.style
    axes.errorbar(
        [where for where, _ in line.points],
        [score.mean for _, score in line.points],
        yerr=[score.std for _, score in line.points],
        label=line.name,
        color=colormaps["tab20"]((2 * number + number // 10) % 20),
        marker=markers[number % len(markers)],
        markersize=5,
        capsize=3,
        elinewidth=1,
        linewidth=1.8 if line.made else 1,
        linestyle="-" if line.made else "--",
    )
    for (where, score), note in zip(line.points, line.notes, strict=False):
        place = (where, score.mean)
        axes.annotate(note, place, xytext=(5, 4), textcoords="offset points", fontsize=7, parse_math=False)
