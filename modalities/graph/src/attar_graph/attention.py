"""Graph attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attar.nets import Count
from torch import Tensor, nn
from torch.nn import functional

from attar_graph.graph import Graph
from attar_graph.nets import GraphNetwork, Rate, Weight, product

__all__ = ["GAT"]


class _Attention(nn.Module):
    """Heads that weigh neighbors by ``softmax_j LeakyReLU(a·[W h_i ‖ W h_j])``, loops included."""

    def __init__(self, inward: int, outward: int, heads: int) -> None:
        super().__init__()
        self.lift = nn.Linear(inward, heads * outward, bias=False)
        self.listener = nn.Parameter(torch.empty(heads, outward))
        self.speaker = nn.Parameter(torch.empty(heads, outward))
        nn.init.xavier_uniform_(self.listener)
        nn.init.xavier_uniform_(self.speaker)
        self.heads = heads

    def forward(self, graph: Graph, values: Tensor, edges: Tensor) -> Tensor:
        lifted = product(graph, values, self.lift).view(len(values), self.heads, -1)
        rows, columns = edges
        scores = (lifted * self.listener).sum(2)[rows] + (lifted * self.speaker).sum(2)[columns]
        scores = functional.leaky_relu(scores, 0.2)
        most = scores.new_full((len(values), self.heads), -torch.inf)
        most = most.scatter_reduce(0, rows[:, None].expand_as(scores), scores.detach(), "amax")
        shares = (scores - most[rows]).exp()
        total = shares.new_zeros(len(values), self.heads).index_add(0, rows, shares)
        shares = shares / total[rows]
        return torch.zeros_like(lifted).index_add(0, rows, shares[:, :, None] * lifted[columns])


class GAT(GraphNetwork):
    """Graph attention. Where edges are is what counts; how much they weigh, it learns itself.

    Args:
        feature: ``(d,)``.
        classes: Number of classes.
        width: Width of each head of the first layer.
        heads: Heads of the first layer; the last has one.
        dropout: Rate of dropout before the last layer.
        threshold: See :class:`GraphNetwork`; an edge is either there or not, so it takes more.

    References:
        Veličković et al., "Graph Attention Networks", ICLR 2018, equations 3 to 6.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        width: Count = 16,
        heads: Count = 16,
        dropout: Rate = 0.5,
        threshold: Weight = 0.5,
    ) -> None:
        super().__init__(threshold)
        self.dropout = nn.Dropout(dropout)
        self.first = _Attention(feature[0], width, heads)
        self.last = _Attention(width * heads, classes, 1)

    @staticmethod
    def _edges(graph: Graph) -> Tensor:
        where, _ = graph.adjacency.edges()
        own = torch.arange(len(graph), device=where.device)
        return torch.cat([where[:, where[0] != where[1]], torch.stack([own, own])], dim=1)

    def hidden(self, graph: Graph) -> list[Tensor]:
        """Return the output of the first layer."""
        return [functional.elu(self.first(graph, graph.features, self._edges(graph)).flatten(1))]

    def answer(self, graph: Graph, embedding: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.last(graph, self.dropout(embedding), self._edges(graph)).flatten(1)
        return logits
