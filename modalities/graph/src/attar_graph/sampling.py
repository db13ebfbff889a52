"""Neighbor sampling: what some nodes of a large graph hear, without computing all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from attar.errors import UsageError
from torch import Generator, Tensor

from attar_graph.adjacency import Sparse
from attar_graph.graph import Graph, Nodes
from attar_graph.raw import undirected

__all__ = ["Sample", "check_seeds", "neighborhood", "sample"]


@dataclass(frozen=True)
class Sample:
    """Nodes, and the edges over which they hear one another: entry e is an edge of the graph.

    Attributes:
        nodes: Nodes of the graph, each once, the seeds first and in their order, int64 ``(k,)``.
        rows: Place among `nodes` of the node that hears, int64 ``(E,)``.
        columns: Place among `nodes` of the one that is heard, int64 ``(E,)``.
        edges: Place of each edge in the graph's list, int64 ``(E,)``.
        reached: Nodes that each hop reaches first, the seeds at the front.
        heard: Edges of each hop.
    """

    nodes: Tensor
    rows: Tensor
    columns: Tensor
    edges: Tensor
    reached: tuple[int, ...]
    heard: tuple[int, ...]


def sample(adjacency: Sparse, seeds: Tensor, fanout: Sequence[int], gen: Generator) -> Sample:
    """Return what `seeds` hear, each node drawing some of its neighbors when it is first reached.

    Neighbors are drawn without replacement, each as likely as any other whatever its edge weighs.
    The nodes of the last hop hear nobody. Time and memory grow with what is drawn and not with the
    degrees, beside one integer per node of the graph.

    Args:
        adjacency: The graph, on the CPU.
        seeds: Nodes that are asked about, each once, int64 ``(n,)``.
        fanout: Neighbors of a node that are heard, at most, for each hop; -1 for all.
        gen: Source of the draws.

    Raises:
        UsageError: If a seed stands twice.

    References:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017,
        algorithm 2.
    """
    check_seeds(seeds)
    place = seeds.new_full((adjacency.n,), -1)
    place[seeds] = torch.arange(len(seeds))
    fresh, nodes = seeds, [seeds]
    rows, edges = [], []
    for most in fanout:
        who, where = _heard(adjacency.starts, fresh, most, gen)
        rows.append(place[fresh[who]])
        edges.append(where)
        others = adjacency.columns[where]
        fresh = others[place[others] < 0].unique()
        known = sum(map(len, nodes))
        place[fresh] = torch.arange(known, known + len(fresh))
        nodes.append(fresh)
    chosen = torch.cat(edges) if edges else seeds[:0]
    return Sample(
        nodes=torch.cat(nodes),
        rows=torch.cat(rows) if rows else seeds[:0],
        columns=place[adjacency.columns[chosen]],
        edges=chosen,
        reached=tuple(map(len, nodes)),
        heard=tuple(map(len, edges)),
    )


def neighborhood(graph: Graph, seeds: Tensor, fanout: Sequence[int], gen: Generator) -> Nodes:
    """Return nodes in the part of a constant graph that a sample finds around them.

    An edge that is drawn counts in both directions, as all edges of a task's graph do, so a node
    may hear more than `fanout` others: those that drew it too. Edges weigh what they do in the
    graph, and what models normalize by are degrees in this part, which are lower: sums over
    neighbors are of fewer, means are of a sample, and what a symmetric normalization makes of the
    neighbors counts for more than in the whole graph. With all neighbors of as many hops as a
    network has layers, means (GraphSAGE) are the whole graph's.

    Args:
        graph: The graph, on the CPU.
        seeds: Nodes that are asked about, each once, int64 ``(n,)``.
        fanout: Neighbors of a node that are drawn, at most, for each hop; -1 for all.
        gen: Source of the draws.

    Raises:
        UsageError: If a seed stands twice.
    """
    adjacency = graph.adjacency
    if not isinstance(adjacency, Sparse):
        where, weights = adjacency.edges()
        adjacency = Sparse.of(where[0], where[1], weights, adjacency.n)
    found = sample(adjacency, seeds, fanout, gen)
    joined = torch.stack([found.rows, found.columns])
    part = undirected(joined, adjacency.weights[found.edges], len(found.nodes))
    return Nodes(graph.with_values(graph.features[found.nodes], part), torch.arange(len(seeds)))


def check_seeds(seeds: Tensor) -> None:
    """Check that the nodes to sample from are distinct.

    Raises:
        UsageError: If one stands twice.
    """
    if len(seeds.unique()) < len(seeds):
        raise UsageError("a node stands twice among those to sample from; give each once")


def _heard(starts: Tensor, nodes: Tensor, most: int, gen: Generator) -> tuple[Tensor, Tensor]:
    """Return which of `nodes` hears, and the edge over which, for all edges that are drawn."""
    first = starts[nodes]
    counts = starts[nodes + 1] - first
    many = counts > most if most >= 0 else torch.zeros_like(counts, dtype=torch.bool)
    few, lots = (~many).nonzero()[:, 0], many.nonzero()[:, 0]
    who = few.repeat_interleave(counts[few])
    begins = counts[few].cumsum(0) - counts[few]
    every = first[who] + torch.arange(len(who)) - begins.repeat_interleave(counts[few])
    if not len(lots):
        return who, every
    drawn = first[lots, None] + _distinct(counts[lots], most, gen)
    return torch.cat([who, lots.repeat_interleave(most)]), torch.cat([every, drawn.flatten()])


def _distinct(counts: Tensor, k: int, gen: Generator) -> Tensor:
    """Return `k` distinct numbers below each count, every such set as likely, int64 ``(n, k)``.

    References:
        Bentley and Floyd, "A Sample of Brilliance", Communications of the ACM, 1987, algorithm F2.
    """
    chosen = counts.new_empty(len(counts), k)
    for number in range(k):
        last = counts - k + number
        drawn = (torch.rand(len(counts), generator=gen, dtype=torch.float64) * (last + 1)).long()
        taken = (chosen[:, :number] == drawn[:, None]).any(1)
        chosen[:, number] = torch.where(taken, last, drawn)
    return chosen
