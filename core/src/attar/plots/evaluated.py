"""Plots of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attar.errors import UsageError
from attar.plots.figures import Form, new_figure, png_of
from attar.reports import Report, Score

__all__ = ["accuracy_plot", "confusion_plot", "scores_plot"]

_MOST_NAMED = 40
_TITLES = {"ipc": "samples per class", "cpu": "CPU seconds that making a set took"}


def confusion_plot(confusion: Sequence[Sequence[int]], classes: Sequence[str], form: Form = png_of) -> bytes:
    """Draw a confusion matrix: true classes down, answers across, in percent of each true class.

    Args:
        confusion: Counts ``(classes, classes)``.
        classes: Names of the classes.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
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
            # Not plain black, which may turn with what a page is read on: the cells do not.
            color = "white" if value > 50 else "#101010"
            axes.text(answer, true, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
    return form(figure)


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


def accuracy_plot(reports: Sequence[tuple[float, Report]], against: str, form: Form = png_of) -> bytes:
    """Draw the accuracy of sets against their size or their cost, with the baselines.

    Args:
        reports: Samples per class or seconds, each with its evaluation.
        against: ``ipc`` or ``cpu``.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.

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
    return form(figure)


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


def scores_plot(scores: Mapping[str, Score], made: str, form: Form = png_of) -> bytes:
    """Draw accuracies from the best to the worst, each with its standard deviation.

    Args:
        scores: Accuracies by name.
        made: Name of the one that stands out.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    names = sorted(scores, key=lambda name: -scores[name].mean)
    figure = new_figure(6.4, 0.34 * len(names) + 0.8)
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        score, own = scores[name], name == made
        axes.errorbar(
            score.mean,
            place,
            xerr=score.std,
            marker="D" if own else "o",
            markersize=8 if own else 6,
            capsize=4,
            linewidth=1.6,
            color="#d55e00" if own else "#3b8ec2",
        )
        axes.annotate(
            str(score),
            (score.mean, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.set_xlabel("test accuracy, %")
    axes.grid(alpha=0.3, axis="x")
    return form(figure)
