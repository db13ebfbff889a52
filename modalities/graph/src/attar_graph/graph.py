"""Graphs as models see them: features of nodes, a weighted adjacency, and the nodes that are meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from attar.errors import InternalError
from torch import Tensor, nn

from attar_graph.adjacency import Adjacency, beside, compressed_rows, times
from attar_graph.propagation import propagate

__all__ = ["Graph", "Nodes"]

_SPARSE = 0.1
"""Share of features other than zero up to which they are multiplied as a sparse matrix."""


def _both_ways(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return a matrix and its transpose in compressed rows."""

    def compressed(matrix: Tensor) -> Tensor:
        rows, columns = matrix.nonzero().T
        counts = torch.bincount(rows, minlength=len(matrix))
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return compressed_rows(starts, columns, matrix[rows, columns], matrix.shape[1])

    return compressed(features), compressed(features.T)


@dataclass(frozen=True)
class Graph:
    """Nodes with features and weighted edges.

    Attributes:
        features: Float32 ``(n, d)``.
        adjacency: Weights of the edges, without loops.
        known: What models derived from the graph, so that they derive it once; of a graph that
            asks for gradient, it lives as long as one decoding does.
        memory: Bytes of constant propagated features above which they lie in a file; 0 for never.
    """

    features: Tensor
    adjacency: Adjacency
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    memory: int = field(default=0, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.features) != self.adjacency.n:
            raise InternalError(f"{len(self.features)} nodes with an adjacency of {self.adjacency.n}")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def constant(self) -> bool:
        """Whether no gradient is asked of it."""
        return self.adjacency.constant and not self.features.requires_grad

    def __getstate__(self) -> dict[str, Any]:
        # What is known is found again, and compressed rows are better not sent to other processes.
        return {**vars(self), "known": {}}

    def with_values(self, features: Tensor, adjacency: Adjacency) -> Graph:
        """Return a graph of other values that is kept in memory as this one is."""
        return replace(self, features=features, adjacency=adjacency, known={})

    def induced(self, nodes: Tensor) -> Graph:
        """Return some nodes, int64 ``(k,)``, with the edges among them."""
        return self.with_values(self.features[nodes], self.adjacency.induced(nodes))

    def strong(self, least: float) -> Graph:
        """Return the graph without edges that weigh less than `least`, made once."""
        adjacency = self.adjacency.strong(least) if least else self.adjacency
        if adjacency is self.adjacency:
            return self
        key = f"strong {least}"
        if key not in self.known:
            self.known[key] = self.with_values(self.features, adjacency)
        found: Graph = self.known[key]
        return found

    def propagated(self, hops: int) -> Tensor:
        """Return ``Ã^hops X`` with the symmetric normalization Ã of A + I, ``(n, d)``, found once.

        What asks for no gradient is found a few features at a time, and lies in a file where it
        is large; see :func:`attar_graph.propagation.propagate`.

        Raises:
            UsageError: If the disk of the file is full or cannot be written.

        References:
            Wu et al., "Simplifying Graph Convolutional Networks", ICML 2019, equation 6.
        """
        differentiable = torch.is_grad_enabled() and not self.constant
        key = f"propagated {hops} {differentiable}"
        if key in self.known:
            done: Tensor = self.known[key]
            return done
        adjacency, values = self.adjacency.normalized("symmetric", loops=True), self.features
        if differentiable:
            for _ in range(hops):
                values = adjacency.matmul(values)
        else:
            values = propagate(adjacency, values, hops, self.memory)
        self.known[key] = values
        return values

    def product(self, layer: nn.Linear) -> Tensor:
        """Return ``X Wᵀ`` with the weights of a layer, ``(n, out)``.

        Constant features that are mostly zeros, as words are, are multiplied as such.
        """
        if "sparse" not in self.known and self.constant:
            filled = float((self.features != 0).sum()) / self.features.numel()
            self.known["sparse"] = None if filled > _SPARSE else _both_ways(self.features)
        sparse: tuple[Tensor, Tensor] | None = self.known.get("sparse")
        if sparse is None:
            return self.features @ layer.weight.T
        return times(layer.weight.T, *sparse)

    def map(self, function: Callable[[Tensor], Tensor]) -> Graph:
        """Return a copy with `function` applied to features and weights."""
        features, adjacency = function(self.features), self.adjacency.map(function)
        if features is self.features and adjacency is self.adjacency:
            return self
        return self.with_values(features, adjacency)

    def to(self, device: torch.device) -> Graph:
        """Return a copy on `device`, or this if it is there."""
        if self.features.device == device:
            return self
        return self.with_values(self.features.to(device), self.adjacency.to(device))


@dataclass(frozen=True)
class Nodes:
    """Some nodes of a graph, which they keep: the inputs of every model.

    Attributes:
        graph: The graph.
        index: Which of its nodes are meant, int64 ``(n,)``.
    """

    graph: Graph
    index: Tensor

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of the features of one node."""
        return tuple(self.graph.features.shape[1:])

    def take(self, rows: Tensor) -> Nodes:
        """Return fewer nodes in the same graph."""
        return Nodes(self.graph, self.index.index_select(0, rows))

    def map(self, function: Callable[[Tensor], Tensor]) -> Nodes:
        """Return the nodes in a graph whose values were mapped."""
        return Nodes(self.graph.map(function), self.index)

    def cat(self, others: Sequence[Nodes]) -> Nodes:
        """Return the nodes of all: in their graph if it is one, else in a graph of unconnected parts."""
        parts = [self, *others]
        if all(part.graph is self.graph for part in parts):
            return Nodes(self.graph, torch.cat([part.index for part in parts]))
        offsets = torch.tensor([0, *(len(part.graph) for part in parts)]).cumsum(0).tolist()
        index = torch.cat([part.index + offset for part, offset in zip(parts, offsets, strict=False)])
        graph = Graph(
            torch.cat([part.graph.features for part in parts]),
            beside([part.graph.adjacency for part in parts]),
        )
        return Nodes(graph, index)

    def to(self, device: torch.device) -> Nodes:
        """Return the nodes on `device`."""
        return Nodes(self.graph.to(device), self.index.to(device))
