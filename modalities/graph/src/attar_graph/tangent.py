"""The tangent kernel of graph networks of infinite width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attar.errors import UsageError
from attar.infinite import NoLogits, relu_kernel
from attar.nets import Depth
from torch import Tensor

from attar_graph.graph import Graph, Nodes
from attar_graph.nets import Weight

__all__ = ["StructureNTK"]

_MOST_NODES = 20_000
"""Beyond, the similarities of all pairs of a graph's nodes take too much memory: 1.6 GB here."""


class StructureNTK(NoLogits):
    """The tangent kernel between nodes of a network of infinite width, without parameters.

    The network repeats, `hops` times, hearing neighbors and `layers` ReLU layers,
    ``H ← Ã H``, ``H ← ReLU(H W)``, and ends with a linear layer; weights have variance
    ``2 / fan-in``, and there are no biases. Ã is the symmetric normalization of A + I.

    Args:
        feature: ``(d,)``.
        classes: Number of classes; not used.
        hops: Times that neighbors are heard.
        layers: ReLU layers after each.
        threshold: Edges that weigh less are left out.

    References:
        Wang et al., "Fast Graph Condensation with Structure-based Neural Tangent Kernel", WWW
        2024, whose sums over neighbors are scaled by the norm of the sum; Du et al., "Graph
        Neural Tangent Kernel", NeurIPS 2019, section 3.1, for the recursion.
    """

    coupled = True

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        hops: Depth = 2,
        layers: Depth = 2,
        threshold: Weight = 0.05,
    ) -> None:
        super().__init__()
        self.hops, self.layers, self.threshold = hops, layers, threshold

    def kernel(self, one: Nodes, other: Nodes) -> Tensor:
        """Return the kernel between the nodes meant, ``(n, m)``.

        Raises:
            UsageError: If a graph has too many nodes to compare all pairs of them.
        """
        first, second = one.graph.strong(self.threshold), other.graph.strong(self.threshold)
        if first is second:
            tangent = self._within(first)[0]
        else:
            tangent = self._between(first, second, self._moments(first), self._moments(second))
        return tangent[one.index][:, other.index]

    def _moments(self, graph: Graph) -> list[Tensor]:
        """Return the second moments of the activations before each ReLU layer, found once."""
        differentiable = torch.is_grad_enabled() and not graph.constant
        key = f"moments {self.hops} {self.layers} {differentiable}"
        if key not in graph.known:
            graph.known[key] = self._within(graph)[1]
        found: list[Tensor] = graph.known[key]
        return found

    def _within(self, graph: Graph) -> tuple[Tensor, list[Tensor]]:
        """Return the kernel between all nodes of a graph, and the moments on the way."""
        if len(graph) > _MOST_NODES:
            raise UsageError(
                f"the kernel of a graph compares all pairs of its nodes, which takes too much memory for "
                f"{len(graph)} of them (at most {_MOST_NODES}); choose another method, such as gcond"
            )
        moments: list[Tensor] = []
        covariance, tangent = self._start(graph, graph)
        for _ in range(self.hops):
            covariance, tangent = self._heard(graph, graph, covariance, tangent)
            for _ in range(self.layers):
                moments.append(covariance.diagonal())
                covariance, slope = relu_kernel(covariance, moments[-1], moments[-1])
                tangent = covariance + tangent * slope
        return tangent, moments

    def _between(self, one: Graph, other: Graph, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return the kernel between all nodes of two graphs whose moments are known."""
        covariance, tangent = self._start(one, other)
        own = zip(first, second, strict=True)
        for _ in range(self.hops):
            covariance, tangent = self._heard(one, other, covariance, tangent)
            for _ in range(self.layers):
                covariance, slope = relu_kernel(covariance, *next(own))
                tangent = covariance + tangent * slope
        return tangent

    @staticmethod
    def _start(one: Graph, other: Graph) -> tuple[Tensor, Tensor]:
        covariance = 2 * (one.features @ other.features.T) / one.features.shape[1]
        return covariance, covariance

    @staticmethod
    def _heard(one: Graph, other: Graph, *similarities: Tensor) -> list[Tensor]:
        """Return ``Ã₁ K Ã₂ᵀ`` of each."""
        first, second = (each.adjacency.normalized("symmetric", loops=True) for each in (one, other))
        return [second.matmul(first.matmul(each).T).T for each in similarities]
