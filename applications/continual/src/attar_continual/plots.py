"""Pictures of continual runs."""

from __future__ import annotations

import numpy as np
from attar.plots import Form, new_figure, png_of

from attar_continual.names import METHODS
from attar_continual.results import ContinualResult

__all__ = ["curves_plot", "forgetting_plot"]


def _color(name: str) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    # By name, so that a method looks alike wherever it is drawn.
    place = METHODS.index(name) if name in METHODS else len(METHODS)
    found: tuple[float, float, float, float] = colormaps["tab10"](place % 10)
    return found


def curves_plot(result: ContinualResult, form: Form = png_of) -> bytes:
    """Draw the accuracy on what was learned so far after each experience.

    Args:
        result: The run.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    for name, each in result.methods.items():
        means = np.array([score.mean for score in each.curve])
        spread = np.array([score.std for score in each.curve])
        steps = np.arange(1, len(means) + 1)
        made = name.startswith("distilled")
        axes.plot(
            steps,
            means,
            marker="os^Dv<>P"[METHODS.index(name) % 8] if name in METHODS else "X",
            markersize=5,
            linewidth=2.2 if made else 1.3,
            linestyle="-" if made else "--",
            color=_color(name),
            label=name,
        )
        axes.fill_between(steps, means - spread, means + spread, color=_color(name), alpha=0.12, linewidth=0)
    axes.set_xlabel("experiences learned")
    axes.set_xticks(steps)
    axes.set_ylabel("test accuracy on these, %")
    axes.set_title(f"{result.data}, memory {result.memory}", fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return form(figure)


def forgetting_plot(result: ContinualResult, form: Form = png_of) -> bytes:
    """Draw the final accuracy, the average incremental accuracy and the forgetting of each method.

    Args:
        result: The run.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    figure = new_figure(7.2, 0.32 * len(result.methods) + 1.6)
    places = np.arange(len(result.methods))
    parts = figure.subplots(1, 3, sharey=True)
    for axes, title, what in zip(
        parts,
        ("final accuracy, %", "average incremental accuracy, %", "forgetting, points"),
        ("final", "average", "forgetting"),
        strict=True,
    ):
        scores = [getattr(each, what) for each in result.methods.values()]
        axes.barh(
            places,
            [score.mean for score in scores],
            xerr=[score.std for score in scores],
            color=[_color(name) for name in result.methods],
            error_kw={"linewidth": 1},
        )
        axes.set_title(title, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3, axis="x")
    parts[0].set_yticks(places, list(result.methods))
    parts[0].invert_yaxis()
    return form(figure)
