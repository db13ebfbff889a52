"""Pictures of graphs, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from attar.batch import Batch

from attar_graph.graph import Nodes

__all__ = ["graph_picture"]

_MOST_NODES = 300
_MOST_EDGES = 4000


def graph_picture(batch: Batch, classes: Sequence[str]) -> bytes:
    """Draw nodes colored by class with their edges, and beside them the adjacency.

    Args:
        batch: Nodes; of very many, the first are drawn.
        classes: Names of the classes.

    Returns:
        A PNG file.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    nodes: Nodes = batch.inputs
    labels = batch.labels.cpu().numpy()
    order = np.argsort(labels, kind="stable")[:_MOST_NODES]
    labels = labels[order]
    weights = _weights(nodes, nodes.index.cpu().numpy()[order])
    figure = Figure(figsize=(10.0, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    places, colors = _places(labels, weights), colormaps["tab20"]
    for one, other, weight in _strongest(weights):
        ends = places[[one, other]]
        left.plot(ends[:, 0], ends[:, 1], color="0.4", alpha=0.1 + 0.6 * weight, linewidth=0.7, zorder=1)
    shades = [_color(colors, int(label)) for label in labels]
    left.scatter(places[:, 0], places[:, 1], c=shades, s=28, zorder=2, edgecolors="white", linewidths=0.5)
    left.set_axis_off()
    left.set_aspect("equal")
    present = sorted(set(labels.tolist()))[:20]
    keys = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color=colors((2 * label + label // 10) % 20),
            label=_short(classes[label]),
        )
        for label in present
    ]
    legend = left.legend(handles=keys, fontsize=7, loc="lower center", ncols=4, bbox_to_anchor=(0.5, -0.12))
    for text in legend.get_texts():
        text.set_parse_math(False)
    shown: Any = right.imshow(weights, cmap="viridis", vmin=0, interpolation="nearest")
    right.set_title(
        f"{len(labels)} nodes by class, {int((np.triu(weights, 1) > 0).sum()):,} edges", fontsize=9
    )
    right.set_xticks([])
    right.set_yticks([])
    figure.colorbar(shown, ax=right, shrink=0.8, label="weight")
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _color(colors: Any, label: int) -> Any:
    return colors((2 * label + label // 10) % 20)


def _weights(nodes: Nodes, index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    where, values = nodes.graph.adjacency.edges()
    place = np.full(len(nodes.graph), -1)
    place[index] = np.arange(len(index))
    rows, columns = place[where.cpu().numpy()]
    inside = (rows >= 0) & (columns >= 0)
    weights = np.zeros((len(index), len(index)), dtype=np.float32)
    weights[rows[inside], columns[inside]] = values.detach().cpu().numpy()[inside]
    return weights


def _places(labels: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a circle of nodes by class, so that a picture does not depend on a layout's luck."""
    angles = 2 * np.pi * np.arange(len(labels)) / max(len(labels), 1)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _strongest(weights: np.ndarray[Any, Any]) -> list[tuple[int, int, float]]:
    rows, columns = np.nonzero(np.triu(weights, 1))
    values = weights[rows, columns]
    order = np.argsort(-values, kind="stable")[:_MOST_EDGES]
    most = max(float(values.max()), 1e-12) if len(values) else 1.0
    return [(int(rows[i]), int(columns[i]), float(values[i]) / most) for i in order]


def _short(name: str, most: int = 18) -> str:
    name = " ".join(name.split())
    return name if len(name) <= most else name[: most - 1] + "…"
