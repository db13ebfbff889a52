"""What is said of a graph in a few numbers: size, degrees, homophily."""

from __future__ import annotations

from typing import Annotated, Self, TypeAlias

import torch
from attar.settings import Record
from pydantic import Field
from torch import Tensor

from attar_graph.adjacency import Adjacency

__all__ = ["GraphFacts", "degree_bins"]

_MOST_BINS = 64

Count: TypeAlias = Annotated[int, Field(ge=0)]
Weight: TypeAlias = Annotated[float, Field(ge=0)]


class GraphFacts(Record):
    """A graph in numbers; edges count once for both directions.

    Attributes:
        nodes: Number of nodes.
        edges: Number of edges.
        weight: Sum of their weights; the number of edges where all weigh 1.
        degrees: Nodes by weighted degree: none, below 1, from 1, from 2, from 4, … on, each bin up to
            where the next begins; bins beyond the largest degree are left out.
        known: Number of edges that join two nodes whose classes may be known here.
        known_weight: Sum of their weights.
        alike: Sum of the weights of those that join nodes of one class.
    """

    nodes: Count
    edges: Count
    weight: Weight
    degrees: tuple[Count, ...] = Field(max_length=_MOST_BINS)
    known: Count
    known_weight: Weight
    alike: Weight

    @classmethod
    def of(cls, adjacency: Adjacency, index: Tensor, labels: Tensor) -> Self:
        """Return the facts of a graph.

        Args:
            adjacency: Weights of the edges, symmetric.
            index: Nodes whose classes are known, int64 ``(k,)``; of a real graph the training nodes
                alone.
            labels: Their classes, int64 ``(k,)``.
        """
        (rows, columns), weights = adjacency.edges()
        weights = weights.detach().to(torch.float64)
        degrees = weights.new_zeros(adjacency.n).index_add(0, rows, weights)
        once = rows < columns
        labeled = torch.zeros(adjacency.n, dtype=torch.bool, device=labels.device)
        labeled[index] = True
        # Of a large graph these are few, which spares looking at the classes of all.
        known = (once & labeled[rows] & labeled[columns]).nonzero()[:, 0]
        classes = labels.new_full((adjacency.n,), -1)
        classes[index] = labels
        alike = known[classes[rows[known]] == classes[columns[known]]]
        return cls(
            nodes=adjacency.n,
            edges=int(once.sum()),
            weight=float(weights[once].sum()),
            degrees=tuple(torch.bincount(_bins(degrees)).tolist()),
            known=len(known),
            known_weight=float(weights[known].sum()),
            alike=float(weights[alike].sum()),
        )

    @property
    def mean_degree(self) -> float:
        """Mean weighted degree of a node."""
        return 2 * self.weight / max(self.nodes, 1)

    @property
    def homophily(self) -> float | None:
        """Share of the known edges' weight that joins nodes of one class, or None if it is nothing.

        References:
            Zhu et al., "Beyond Homophily in Graph Neural Networks", NeurIPS 2020, definition 1.
        """
        return self.alike / self.known_weight if self.known_weight > 0 else None


def degree_bins(n: int) -> list[str]:
    """Return where the first `n` bins of :attr:`GraphFacts.degrees` begin, to be read."""
    return ["none", "<1", *(f"{2**power:,}" for power in range(n - 2))][:n]


def _bins(degrees: Tensor) -> Tensor:
    """Return the bin of each degree."""
    # Of x = m · 2^e with m in [½, 1), floor(log2(x)) is e - 1, without rounding.
    _, exponents = torch.frexp(degrees)
    bins = (exponents.to(torch.int64) + 1).clamp(1, _MOST_BINS - 1)
    return torch.where(degrees > 0, bins, torch.zeros_like(bins))
