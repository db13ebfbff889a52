"""Networks on graphs whose adjacency is weighted, dense as of synthetic graphs or sparse as of real ones.

PyTorch Geometric's layers for sums and means over neighbors take no weights, or not dense ones,
so these are written over :class:`attar_graph.adjacency.Adjacency`. Every network answers for the
nodes that it is asked about, seeing the whole graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from attar.nets import Count, Depth
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from attar_graph.graph import Graph, Nodes

__all__ = [
    "APPNP",
    "GCN",
    "GIN",
    "MLP",
    "SGC",
    "ChebNet",
    "GraphNetwork",
    "GraphSAGE",
    "Rate",
    "Weight",
    "product",
]

Rate = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class GraphNetwork(nn.Module, ABC):
    """Base of networks on graphs.

    Args:
        threshold: Edges that weigh less are left out, which removes what a learned structure only
            hints at; edges of real graphs weigh 1.
    """

    coupled = True

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    @abstractmethod
    def hidden(self, graph: Graph) -> list[Tensor]:
        """Return what each layer but the last computes for all nodes; the last of these is embedded."""

    @abstractmethod
    def answer(self, graph: Graph, embedding: Tensor) -> Tensor:
        """Return the logits of all nodes."""

    def feature_maps(self, inputs: Nodes) -> list[Tensor]:
        """Return what each layer but the last computes for the nodes meant, each ``(n, d)``."""
        return [each[inputs.index] for each in self.hidden(inputs.graph.strong(self.threshold))]

    def embed(self, inputs: Nodes) -> Tensor:
        """Return the embeddings of the nodes meant, ``(n, d)``."""
        return self.feature_maps(inputs)[-1]

    def forward(self, inputs: Nodes) -> Tensor:
        """Return the logits of the nodes meant, ``(n, classes)``."""
        graph = inputs.graph.strong(self.threshold)
        return self.answer(graph, self.hidden(graph)[-1])[inputs.index]


class SGC(GraphNetwork):
    """Linear layers on propagated features: ``Ã^hops X W``.

    Args:
        feature: ``(d,)``.
        classes: Number of classes.
        hops: Times that features are propagated.
        width: Width of a linear layer in between, without activation; 0 for none.
        threshold: See :class:`GraphNetwork`.

    References:
        Wu et al., "Simplifying Graph Convolutional Networks", ICML 2019; with `width`, the
        backbone of Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022.
    """

    # Propagated once, each node is answered for by itself.
    coupled = False

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        hops: Depth = 2,
        width: Annotated[int, Field(ge=0)] = 0,
        threshold: Weight = 0.05,
    ) -> None:
        super().__init__(threshold)
        self.hops = hops
        self.lift = nn.Linear(feature[0], width) if width else nn.Identity()
        self.head = nn.Linear(width or feature[0], classes)

    def hidden(self, graph: Graph) -> list[Tensor]:
        """Return the propagated features after the first linear layer."""
        return [self.lift(graph.propagated(self.hops))]

    def answer(self, graph: Graph, embedding: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(embedding)
        return logits

    def feature_maps(self, inputs: Nodes) -> list[Tensor]:
        """Return the embeddings; once propagated, only the nodes meant go on."""
        return [self.lift(inputs.graph.strong(self.threshold).propagated(self.hops)[inputs.index])]

    def forward(self, inputs: Nodes) -> Tensor:
        """Return the logits of the nodes meant."""
        return self.answer(inputs.graph, self.embed(inputs))


def product(graph: Graph, values: Tensor, layer: nn.Linear) -> Tensor:
    """Return ``values · Wᵀ``, where values that are the graph's features may be sparse."""
    return graph.product(layer) if values is graph.features else values @ layer.weight.T


def _linear(graph: Graph, values: Tensor, layer: nn.Linear) -> Tensor:
    lifted = product(graph, values, layer)
    return lifted if layer.bias is None else lifted + layer.bias


class Stacked(GraphNetwork):
    """Base of networks whose layers are alike, each after the activation of the one before.

    Args:
        feature: ``(d,)``.
        classes: Number of classes.
        layers: Layers, the last included.
        width: Width of the layers before the last.
        dropout: Rate of dropout before each layer but the first.
        threshold: See :class:`GraphNetwork`.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        layers: Depth = 2,
        width: Count = 256,
        dropout: Rate = 0.5,
        threshold: Weight = 0.05,
    ) -> None:
        super().__init__(threshold)
        self.dropout = nn.Dropout(dropout)
        sides = [feature[0], *[width] * (layers - 1), classes]
        self.layers = nn.ModuleList(self.layer(*pair) for pair in pairwise(sides))

    @abstractmethod
    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return a layer's weights."""

    @abstractmethod
    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return what a layer computes for all nodes, before any activation."""

    def hidden(self, graph: Graph) -> list[Tensor]:
        """Return the output of each layer but the last; the features where there is one."""
        values, found = graph.features, []
        for number, layer in enumerate(list(self.layers)[:-1]):
            given = self.dropout(values) if number else values
            values = functional.relu(self.apply_layer(layer, graph, given))
            found.append(values)
        return found or [values]

    def answer(self, graph: Graph, embedding: Tensor) -> Tensor:
        """Return the logits."""
        values = self.dropout(embedding) if len(self.layers) > 1 else embedding
        return self.apply_layer(self.layers[-1], graph, values)


class GCN(Stacked):
    """Graph convolutions: ``H ← ReLU(Ã H W)``.

    References:
        Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
        ICLR 2017, equation 2.
    """

    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return W, whose bias is added after propagation."""
        return nn.Linear(inward, outward)

    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return ``Ã H W + b``."""
        adjacency = graph.adjacency.normalized("symmetric", loops=True)
        total: Tensor = adjacency.matmul(product(graph, values, layer)) + layer.bias
        return total


class GraphSAGE(Stacked):
    """Each node's own values beside the weighted mean of its neighbors': ``H ← ReLU(H W₁ + D⁻¹A H W₂)``.

    References:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017,
        algorithm 1, with all neighbors.
    """

    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return W₁ and W₂."""
        return nn.ModuleList([nn.Linear(inward, outward), nn.Linear(inward, outward, bias=False)])

    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return ``H W₁ + D⁻¹A H W₂ + b``."""
        adjacency = graph.adjacency.normalized("row", loops=False)
        return _linear(graph, values, layer[0]) + adjacency.matmul(product(graph, values, layer[1]))


class ChebNet(Stacked):
    """Chebyshev polynomials of the scaled Laplacian, whose largest eigenvalue is taken to be 2.

    Args:
        feature: ``(d,)``.
        classes: Number of classes.
        order: Terms of a polynomial.
        settings: See :class:`Stacked`.

    References:
        Defferrard et al., "Convolutional Neural Networks on Graphs with Fast Localized Spectral
        Filtering", NeurIPS 2016, equation 4.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        layers: Depth = 2,
        width: Count = 256,
        order: Depth = 2,
        dropout: Rate = 0.5,
        threshold: Weight = 0.05,
    ) -> None:
        self.order = order
        super().__init__(feature, classes, layers=layers, width=width, dropout=dropout, threshold=threshold)

    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return the weights of each term."""
        return nn.ModuleList(nn.Linear(inward, outward, bias=not k) for k in range(self.order))

    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return ``Σ_k T_k(L̂) H W_k + b`` by Clenshaw's recurrence, with ``L̂ = −D^−½ A D^−½``."""
        adjacency = graph.adjacency.normalized("symmetric", loops=False)
        terms = [product(graph, values, each) for each in layer]
        later = latest = torch.zeros_like(terms[0])
        for term in reversed(terms[1:]):
            later, latest = term - 2 * adjacency.matmul(later) - latest, later
        total: Tensor = terms[0] - adjacency.matmul(later) - latest + layer[0].bias
        return total


class GIN(Stacked):
    """Sums over neighbors through two linear layers: ``H ← MLP((1 + ε) H + A H)``, ε learned.

    References:
        Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, equation 4.1.
    """

    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return the MLP's layers and ε."""
        weights = nn.ModuleList([nn.Linear(inward, outward), nn.Linear(outward, outward)])
        weights.register_parameter("epsilon", nn.Parameter(torch.zeros(1)))
        return weights

    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return what the MLP makes of the sums."""
        own = product(graph, values, layer[0])
        summed = (1 + layer.epsilon) * own + graph.adjacency.matmul(own) + layer[0].bias
        answer: Tensor = layer[1](functional.relu(summed))
        return answer


class MLP(Stacked):
    """Fully connected layers on each node's own features, which shows what the edges are worth."""

    def layer(self, inward: int, outward: int) -> nn.Module:
        """Return W and b."""
        return nn.Linear(inward, outward)

    def apply_layer(self, layer: Any, graph: Graph, values: Tensor) -> Tensor:
        """Return ``H W + b``."""
        return _linear(graph, values, layer)


class APPNP(GraphNetwork):
    """An MLP whose answers are propagated: ``Z ← (1 − α) Ã Z + α H``.

    Args:
        feature: ``(d,)``.
        classes: Number of classes.
        width: Width of the MLP's hidden layer.
        hops: Times that answers are propagated.
        alpha: Share of its own that a node keeps each time.
        dropout: Rate of dropout before the last layer.
        threshold: See :class:`GraphNetwork`.

    References:
        Gasteiger et al., "Predict then Propagate", ICLR 2019, equation 4.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        width: Count = 256,
        hops: Depth = 10,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.1,
        dropout: Rate = 0.5,
        threshold: Weight = 0.05,
    ) -> None:
        super().__init__(threshold)
        self.hops, self.alpha = hops, alpha
        self.dropout = nn.Dropout(dropout)
        self.first, self.head = nn.Linear(feature[0], width), nn.Linear(width, classes)

    def hidden(self, graph: Graph) -> list[Tensor]:
        """Return the hidden layer."""
        return [functional.relu(_linear(graph, graph.features, self.first))]

    def answer(self, graph: Graph, embedding: Tensor) -> Tensor:
        """Return the logits."""
        own: Tensor = self.head(self.dropout(embedding))
        adjacency, values = graph.adjacency.normalized("symmetric", loops=True), own
        for _ in range(self.hops):
            values = (1 - self.alpha) * adjacency.matmul(values) + self.alpha * own
        return values
