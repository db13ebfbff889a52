"""Plots of evaluations, drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attar.errors import UsageError
from attar.reports import Report, Score

__all__ = ["ComparedLine", "accuracy_plot", "comparison_plot", "confusion_plot", "new_figure", "png_of"]

_MOST_NAMED = 40
_TITLES = {"ipc": "samples per class", "cpu": "CPU seconds that making a set took"}


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


def confusion_plot(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Draw a confusion matrix: true classes down, answers across, in percent of each true class.

    Args:
        confusion: Counts ``(classes, classes)``.
        classes: Names of the classes.

    Returns:
        A PNG file.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    n = len(classes)
    side = float(np.clip(0.42 * n + 1.8, 3.2, 14))
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    if n <= _MOST_NAMED:
        named = [name if len(name) <= 18 else name[:17] + "…" for name in classes]
        axes.set_xticks(range(n), named, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(n), named, fontsize=8, parse_math=False)
    if n <= 20:
        for (true, answer), value in np.ndenumerate(share):
            color = "white" if value > 50 else "black"
            axes.text(answer, true, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
    return png_of(figure)


def _check_alike(reports: Sequence[Report]) -> None:
    first = reports[0]
    for other in reports[1:]:
        for what, mine, theirs in (
            ("protocol", first.protocol, other.protocol),
            ("data", first.data, other.data),
            ("architecture", first.architecture, other.architecture),
        ):
            if mine != theirs:
                raise UsageError(
                    f"the evaluations differ in their {what}, so their accuracies cannot be compared; "
                    f"evaluate all sets alike"
                )


def accuracy_plot(reports: Sequence[tuple[float, Report]], against: str) -> bytes:
    """Draw the accuracy of sets against their size or their cost, with the baselines.

    Args:
        reports: Samples per class or seconds, each with its evaluation.
        against: ``ipc`` or ``cpu``.

    Returns:
        A PNG file.

    Raises:
        UsageError: If there is no evaluation, or they differ in data, architecture or protocol.
    """
    if not reports:
        raise UsageError("there is nothing to plot; evaluate the runs first")
    _check_alike([report for _, report in reports])
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    lines: dict[str, list[tuple[float, Score]]] = {}
    for where, report in reports:
        lines.setdefault(report.method, []).append((where, report.accuracy))
        if against == "ipc":
            for name, score in report.baselines.items():
                lines.setdefault(name, []).append((where, score))
    _draw_lines(axes, lines, {report.method for _, report in reports})
    axes.set_xscale("log")
    ticks = sorted({where for where, _ in reports})
    if len(ticks) <= 8:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    first = reports[0][1]
    axes.set_xlabel(_TITLES[against])
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"{first.data}, {first.architecture}, {first.protocol.name}", fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png_of(figure)


def _draw_lines(axes: Any, lines: Mapping[str, Sequence[tuple[float, Score]]], methods: set[str]) -> None:
    for name, points in lines.items():
        found = sorted(points, key=lambda point: point[0])
        axes.errorbar(
            [where for where, _ in found],
            [score.mean for _, score in found],
            yerr=[score.std for _, score in found],
            label=name,
            marker="o",
            markersize=4,
            capsize=3,
            linewidth=2 if name in methods else 1,
            linestyle="-" if name in methods else "--",
        )


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


def comparison_plot(lines: Sequence[ComparedLine], about: str, title: str, whole: Score | None) -> bytes:
    """Draw the accuracy of many methods against bytes or cost, on a logarithmic axis.

    Args:
        lines: The methods and baselines.
        about: What stands along the axis.
        title: Title.
        whole: Accuracy of the whole data, drawn as a level, if known.

    Returns:
        A PNG file.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = new_figure(8.0, 4.8)
    axes = figure.add_subplot()
    for line in lines:
        _draw_compared(axes, line)
    if whole is not None:
        axes.axhline(whole.mean, color="black", linewidth=1, linestyle=":", label="whole data")
    axes.set_xscale("log")
    places = [where for line in lines for where, _ in line.points]
    few = max(places) < 100 * min(places)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(about)
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    for text in axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5)).get_texts():
        text.set_parse_math(False)
    return png_of(figure)


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
