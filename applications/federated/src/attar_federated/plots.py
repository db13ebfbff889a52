"""Pictures of federated runs: who has what, and accuracy against what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from attar.plots import Form, new_figure, png_of, scale_by_powers

from attar_federated.results import FederatedResult

__all__ = ["clients_plot", "rounds_plot"]

_MOST_NAMED = 20


def clients_plot(
    counts: Sequence[Sequence[int]], classes: Sequence[str], title: str = "", form: Form = png_of
) -> bytes:
    """Draw how many training samples of each class each client has.

    Args:
        counts: Samples ``(clients, classes)``.
        classes: Names of the classes.
        title: Title.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    from matplotlib import colormaps

    table = np.asarray(counts, dtype=np.int64)
    clients = len(table)
    figure = new_figure(7.2, float(np.clip(0.3 * clients + 1.4, 2.4, 14)))
    axes = figure.add_subplot()
    left = np.zeros(clients)
    colors = colormaps["tab20" if len(classes) > 10 else "tab10"]
    for label, name in enumerate(classes):
        shown = name if label < _MOST_NAMED else None
        axes.barh(range(clients), table[:, label], left=left, color=colors(label % colors.N), label=shown)
        left += table[:, label]
    axes.invert_yaxis()
    axes.set_yticks(range(clients), [str(number) for number in range(clients)], fontsize=8)
    axes.set_ylabel("client")
    axes.set_xlabel("training samples")
    axes.set_title(title, fontsize=9, parse_math=False)
    for text in axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5)).get_texts():
        text.set_parse_math(False)
    return form(figure)


def rounds_plot(
    results: Sequence[tuple[str, FederatedResult]],
    against: Literal["bytes", "rounds"],
    form: Form = png_of,
) -> bytes:
    """Draw test accuracy against megabytes sent, up and down together, or against rounds.

    Args:
        results: Runs with what they are called.
        against: What stands along the axis.
        form: What makes a file of the figure.

    Returns:
        A PNG file, or what `form` makes.
    """
    from matplotlib import colormaps

    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results):
        sent = np.cumsum([each.bytes.up + each.bytes.down for each in result.rounds]) / 1e6
        places = sent if against == "bytes" else [each.round for each in result.rounds]
        axes.plot(
            places,
            [each.accuracy for each in result.rounds],
            marker="os^Dv<>PX*"[number % 10],
            markersize=5,
            linewidth=1.5,
            color=colormaps["tab10"](number % 10),
            label=name,
        )
    axes.set_ylabel("test accuracy, %")
    axes.set_xlabel("megabytes sent, up and down" if against == "bytes" else "rounds")
    if against == "bytes":
        scale_by_powers(axes, [place for line in axes.lines for place in line.get_xdata()])
    first = results[0][1]
    axes.set_title(f"{first.data}, {first.clients} clients, {first.partition}", fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    for text in axes.legend(fontsize=8, loc="lower right").get_texts():
        text.set_parse_math(False)
    return form(figure)
