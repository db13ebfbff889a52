"""What is known of graph data without having them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from attar.architectures import Architecture, Family, build
from attar.errors import UsageError
from torch import Generator, nn

from attar_graph.graph import Graph, Nodes
from attar_graph.preprocess import Scaler
from attar_graph.protocols import PROTOCOLS
from attar_graph.raw import undirected

__all__ = ["GraphDomain"]


@dataclass(frozen=True)
class GraphDomain:
    """How graphs are prepared, and which models take them.

    Attributes:
        classes: Number of classes.
        feature: Number of features of a node, as a shape.
        scaler: From features as given to what models take.
        architectures: Factories, and families of them, by name.
        architecture: The default architecture, with settings.
    """

    classes: int
    feature: tuple[int, ...]
    scaler: Scaler
    architectures: Mapping[str, Architecture | Family]
    architecture: str

    augment = None
    protocols = PROTOCOLS

    def preprocess(self, raw: Any) -> Nodes:
        """Return all nodes of a new graph as models take them.

        Args:
            raw: A pair of features ``(n, d)`` and edges ``(2, E)``, or an object with ``x`` and
                ``edge_index``, such as ``torch_geometric.data.Data``.

        Raises:
            UsageError: If it is no such graph.
        """
        pair = (raw.x, raw.edge_index) if hasattr(raw, "edge_index") else raw
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UsageError("a graph is given as (features, edges), or as data with x and edge_index")
        features = torch.as_tensor(pair[0], dtype=torch.float32)
        edges = torch.as_tensor(pair[1], dtype=torch.int64)
        if features.ndim != 2 or tuple(features.shape[1:]) != self.feature:
            raise UsageError(
                f"the features of the graph have shape {tuple(features.shape)}; "
                f"give (nodes, {self.feature[0]})"
            )
        if edges.ndim != 2 or len(edges) != 2 or (edges.numel() and not 0 <= int(edges.min())):
            raise UsageError(f"the edges have shape {tuple(edges.shape)}; give (2, edges) of node numbers")
        if edges.numel() and int(edges.max()) >= len(features):
            raise UsageError(
                f"an edge joins node {int(edges.max())}, but nodes are numbered from 0 to {len(features) - 1}"
            )
        graph = Graph(self.scaler.encode(features), undirected(edges, None, len(features)))
        return Nodes(graph, torch.arange(len(features)))

    def with_architecture(self, name: str, factory: Architecture) -> GraphDomain:
        """Return the domain with one more architecture."""
        return replace(self, architectures={**self.architectures, name: factory})

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model; "" means the default architecture."""
        return build(arch or self.architecture, self.architectures, self.feature, self.classes, gen)
