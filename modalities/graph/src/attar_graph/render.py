"""Pictures of graphs, drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from attar.batch import Batch
from attar.plugins import DataInfo
from attar.settings import parse
from numpy.typing import NDArray
from torch import Tensor

from attar_graph.adjacency import Adjacency
from attar_graph.facts import GraphFacts, degree_bins
from attar_graph.graph import Nodes

__all__ = ["graph_picture"]

_MOST_NODES = 300
_MOST_EDGES = 4000
_MOST_NAMED = 20
_FEWEST_BINS = 6
_OWN, _ORIGINAL = "#0072B2", "#999999"

# Told apart without seeing red and green: Okabe and Ito, "Color Universal Design", 2008. With the
# markers, which come again at another length, 40 classes differ.
_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#444444")
_MARKERS = "osD^v<>PX*"


@dataclass(frozen=True)
class _Drawn:
    """A graph as it is drawn.

    Attributes:
        labels: Class of each node that is drawn, in ascending order, ``(n,)``.
        weights: Weights of the edges among them, ``(n, n)``.
        classes: Names of the classes.
        facts: What is said of the whole graph.
        original: What is said of the graph that it stands for, or None if nothing is known.
    """

    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    classes: Sequence[str]
    facts: GraphFacts
    original: GraphFacts | None

    @cached_property
    def present(self) -> list[int]:
        """The classes that have nodes."""
        return sorted(set(self.labels.tolist()))

    @cached_property
    def blocks(self) -> list[tuple[int, int, int]]:
        """Each class with its first node and the one after its last."""
        starts = np.searchsorted(self.labels, self.present, side="left").tolist()
        ends = np.searchsorted(self.labels, self.present, side="right").tolist()
        return list(zip(self.present, starts, ends, strict=True))


def graph_picture(batch: Batch, info: DataInfo) -> bytes:
    """Draw nodes in their classes with the edges among them, and what is said of the graph.

    Below stand its weighted degrees and its homophily beside those of the original, as far as
    `info` says them.

    Args:
        batch: Nodes; of very many, some of each class are drawn.
        info: What is known of the data.

    Returns:
        A PNG file.

    Raises:
        UsageError: If what is said of the original is damaged.
    """
    # A figure of its own, not through pyplot, needs no display and keeps no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = _drawn(batch, info)
    figure = Figure(figsize=(8.0, 7.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    # An adjacency of nothing is no picture.
    layout: Any = [["nodes", "adjacency" if drawn.facts.edges else "nodes"], ["degrees", "facts"]]
    axes = figure.subplot_mosaic(layout, height_ratios=(2.3, 1.0))
    _draw_nodes(axes["nodes"], drawn)
    _draw_legend(figure, drawn)
    if drawn.facts.edges:
        _draw_adjacency(figure, axes["adjacency"], drawn)
    _draw_degrees(axes["degrees"], drawn)
    _draw_facts(axes["facts"], drawn)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _drawn(batch: Batch, info: DataInfo) -> _Drawn:
    nodes: Nodes = batch.inputs
    adjacency, labels = nodes.graph.adjacency.induced(nodes.index), batch.labels
    order = labels.argsort(stable=True).cpu()
    if len(order) > _MOST_NODES:
        # Evenly spaced in this order, so that each class keeps its share.
        order = order[np.linspace(0, len(order) - 1, _MOST_NODES).round().astype(np.int64)]
    return _Drawn(
        labels=labels.cpu().numpy()[order.numpy()],
        weights=_matrix(adjacency, order.to(labels.device)),
        classes=info.classes,
        facts=GraphFacts.of(adjacency, labels.new_tensor(range(adjacency.n)), labels),
        original=parse(GraphFacts, info.about, "about") if info.about else None,
    )


def _matrix(adjacency: Adjacency, order: Tensor) -> NDArray[np.float32]:
    """Return the weights of the edges among some nodes, ``(n, n)``."""
    where, values = adjacency.induced(order).edges()
    weights = np.zeros((len(order), len(order)), dtype=np.float32)
    rows, columns = where.cpu().numpy()
    weights[rows, columns] = values.detach().cpu().numpy()
    return weights


def _style(label: int) -> tuple[str, str]:
    """Return the color and the marker of a class."""
    return _COLORS[label % len(_COLORS)], _MARKERS[label % len(_MARKERS)]


def _draw_nodes(axes: Any, drawn: _Drawn) -> None:
    """Draw a circle of nodes by class, so that a picture does not depend on a layout's luck."""
    from matplotlib.collections import LineCollection

    n = len(drawn.labels)
    # A gap of a node between classes.
    slots = np.arange(n) + np.searchsorted(drawn.present, drawn.labels)
    angles = np.pi / 2 - 2 * np.pi * slots / max(n + len(drawn.present), 1)
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ends, shares = _strongest(drawn.weights)
    # Of very many edges, each is drawn fainter, or nothing is seen of any.
    crowd = min(1.0, (100 / max(len(ends), 1)) ** 0.5)
    colors = [(0.2, 0.2, 0.2, (0.08 + 0.92 * share) * (0.15 + 0.75 * crowd)) for share in shares]
    widths = (0.3 + 2.7 * shares) * (0.25 + 0.75 * crowd)
    axes.add_collection(LineCollection(list(places[ends]), colors=colors, linewidths=widths, zorder=1))
    size = float(np.clip(2400 / max(n, 1), 14, 110))
    for label, start, end in drawn.blocks:
        color, marker = _style(label)
        axes.scatter(
            *places[start:end].T, color=color, marker=marker, s=size, zorder=2, edgecolors="black", lw=0.5
        )
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.12, 1.12)
    axes.set_ylim(-1.12, 1.12)
    axes.set_title(_size(drawn), fontsize=10)
    if not drawn.facts.edges:
        axes.text(0, 0, "no edges:\neach node stands alone", ha="center", va="center", fontsize=10)


def _strongest(weights: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ends of the strongest edges, weak ones first, and their share of the largest weight."""
    rows, columns = np.nonzero(np.triu(weights, 1))
    values = weights[rows, columns]
    order = np.argsort(-values, kind="stable")[:_MOST_EDGES][::-1]
    most = max(float(values.max(initial=0.0)), 1e-12)
    return np.stack([rows, columns], axis=1)[order], values[order] / most


def _draw_legend(figure: Any, drawn: _Drawn) -> None:
    from matplotlib.lines import Line2D

    named = [_short(drawn.classes[label]) or " " for label in drawn.present[:_MOST_NAMED]]
    keys = []
    for label, name in zip(drawn.present, named, strict=False):
        color, marker = _style(label)
        keys.append(
            Line2D([], [], linestyle="", marker=marker, color=color, mec="black", mew=0.5, label=f" {name}")
        )
    if len(drawn.present) > _MOST_NAMED:
        keys.append(Line2D([], [], linestyle="", label=f"and {len(drawn.present) - _MOST_NAMED} more"))
    longest = max(map(len, named), default=1)
    columns = int(np.clip(90 // (longest + 6), 1, max(len(keys), 1)))
    legend = figure.legend(
        handles=keys, fontsize=9, loc="outside upper center", ncols=columns, frameon=False, handletextpad=0.1
    )
    for text in legend.get_texts():
        # A class name is shown, not read: a "$" in it is no formula.
        text.set_parse_math(False)


def _draw_adjacency(figure: Any, axes: Any, drawn: _Drawn) -> None:
    from matplotlib.patches import Rectangle

    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("adjacency, nodes by class", fontsize=10)
    n = len(drawn.labels)
    # Those that are drawn may have no edge, though others have.
    most = float(drawn.weights.max()) or 1.0
    shown: Any = axes.imshow(drawn.weights, cmap="Blues", vmin=0, vmax=most, interpolation="nearest")
    # Beside rows and columns stands the color of their class.
    strip = 0.035 * n
    for label, start, end in drawn.blocks:
        color, _ = _style(label)
        for corner, width, height in (
            ((-0.5 - strip, start - 0.5), strip, end - start),
            ((start - 0.5, n - 0.5), end - start, strip),
        ):
            axes.add_patch(Rectangle(corner, width, height, color=color, linewidth=0))
        if start:
            axes.plot([start - 0.5, start - 0.5], [-0.5, n - 0.5], color="0.75", linewidth=0.5)
            axes.plot([-0.5, n - 0.5], [start - 0.5, start - 0.5], color="0.75", linewidth=0.5)
    axes.set_xlim(-0.5 - strip, n - 0.5)
    axes.set_ylim(n - 0.5 + strip, -0.5)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("weight of the edge", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _draw_degrees(axes: Any, drawn: _Drawn) -> None:
    both = [("this set", drawn.facts, _OWN, "")]
    if drawn.original is not None:
        both.append(("original", drawn.original, _ORIGINAL, "//"))
    bins = max(_FEWEST_BINS, *(len(facts.degrees) for _, facts, _, _ in both))
    width = 0.8 / len(both)
    for number, (name, facts, color, hatch) in enumerate(both):
        counts = np.zeros(bins)
        counts[: len(facts.degrees)] = facts.degrees
        where = np.arange(bins) + width * (number - (len(both) - 1) / 2)
        share = 100 * counts / max(facts.nodes, 1)
        axes.bar(where, share, width, label=name, color=color, hatch=hatch, edgecolor="white", linewidth=0.5)
    every = 1 + (bins - 1) // 10
    axes.set_xticks(range(0, bins, every), degree_bins(bins)[::every], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("weighted degree, from", fontsize=9)
    axes.set_ylabel("nodes, %", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0, 118)
    axes.set_yticks([0, 50, 100])
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper right", borderaxespad=0)


def _draw_facts(axes: Any, drawn: _Drawn) -> None:
    """Write the facts as a table, whose columns are the set and the original."""
    axes.set_axis_off()
    columns = [("this set", drawn.facts)]
    if drawn.original is not None:
        columns.append(("original", drawn.original))
    rows = [
        ("", [name for name, _ in columns]),
        ("nodes", [f"{facts.nodes:,}" for _, facts in columns]),
        ("edges", [f"{facts.edges:,}" for _, facts in columns]),
        ("mean weighted degree", [f"{facts.mean_degree:,.2f}" for _, facts in columns]),
        ("homophily", [_percent(facts.homophily) for _, facts in columns]),
    ]
    for number, (name, cells) in enumerate(rows):
        height = 0.97 - 0.16 * number
        axes.text(0.02, height, name, fontsize=9, va="top", transform=axes.transAxes)
        for column, cell in enumerate(cells):
            axes.text(
                0.76 + 0.24 * column,
                height,
                cell,
                fontsize=9,
                va="top",
                ha="right",
                weight="bold" if not name else "normal",
                color=(_OWN, "#666666")[column] if not name else "black",
                transform=axes.transAxes,
            )
    note = "homophily: share of the weight of the edges within a class"
    if drawn.original is not None:
        known = drawn.original.known
        note += (
            f";\nof the original, over its {known:,} edges between training nodes"
            if known
            else ";\nof the original unknown: no edge joins two training nodes"
        )
    axes.text(0.02, 0.1, note, fontsize=8, va="top", color="#444444", transform=axes.transAxes)


def _size(drawn: _Drawn) -> str:
    """Return how many nodes and edges there are, and how many are drawn."""
    facts, n = drawn.facts, len(drawn.labels)
    nodes, edges = ("s" if count != 1 else "" for count in (facts.nodes, facts.edges))
    some = f"{n:,} of " if n < facts.nodes else ""
    drawn_edges = int((np.triu(drawn.weights, 1) > 0).sum())
    strongest = f" (the strongest {_MOST_EDGES:,} drawn)" if drawn_edges > _MOST_EDGES else ""
    return f"{some}{facts.nodes:,} node{nodes}, {facts.edges:,} edge{edges}{strongest}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _short(name: str, most: int = 24) -> str:
    name = " ".join(name.split())
    return name if len(name) <= most else name[: most - 1] + "…"
