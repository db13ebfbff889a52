"""Registers graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attar.batch import Batch
from attar.contracts import SyntheticSet, Task
from attar.plugins import DataInfo, DemoSpec, Export, LoadRequest
from attar.registry import Registry
from attar.settings import parse
from numpy.typing import NDArray
from torch import Tensor

from attar_graph.condensed import graph_set
from attar_graph.domain import GraphDomain
from attar_graph.export import EXPORTS
from attar_graph.models import ARCHITECTURES
from attar_graph.preprocess import Scaler
from attar_graph.render import graph_picture
from attar_graph.sources import known_graphs, read_graph
from attar_graph.split import GraphOptions, make_task
from attar_graph.synthetic import restore
from attar_graph.task import GraphTask

__all__ = ["GRAPH", "GraphModality", "GraphOptions", "make_task"]


class GraphModality:
    """Graphs whose nodes are classified."""

    api = 1
    category = "graph-ml"
    # Of the methods, the best on Cora and CiteSeer by their defaults, and among the quickest.
    default_method = "gc-sntk"
    summary = "graphs: Cora, CiteSeer, PubMed, …, your own edges and nodes, or PyG data"
    Options = GraphOptions

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry()

    def datasets(self) -> Mapping[str, str]:
        """Return the known graphs."""
        return known_graphs()

    def load(self, request: LoadRequest) -> GraphTask:
        """Load a known graph, the user's own files, or a graph given in Python.

        Own files are a folder with tables of nodes and edges, or an ``.npz`` file. A graph given
        in Python is a ``torch_geometric.data.Data``, or a mapping of arrays.

        Raises:
            UsageError: If the graph is unknown, missing or damaged, or does not fit.
        """
        return make_task(read_graph(request), request.options, self.registry)

    def restore(self, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SyntheticSet:
        """Rebuild a synthetic graph from its description and stored tensors."""
        return restore(self.registry, description, tensors)

    def set_of(self, arrays: Mapping[str, NDArray[Any]], task: Task) -> SyntheticSet:
        """Return the condensed graph that arrays hold; see :func:`attar_graph.condensed.graph_set`."""
        return graph_set(arrays, task, self.registry)

    def domain(self, info: DataInfo) -> GraphDomain:
        """Return what prepares new graphs and builds models where the data are not at hand.

        Raises:
            UsageError: If the preprocessing does not fit.
        """
        return GraphDomain(
            classes=len(info.classes),
            feature=info.feature,
            scaler=parse(Scaler, info.preprocessing, "preprocessing"),
            architectures=ARCHITECTURES,
            architecture="gcn",
        )

    def render(self, batch: Batch, info: DataInfo) -> bytes:
        """Return a picture of the graph and of its adjacency, as PNG."""
        return graph_picture(batch, info)

    def demo(self, quick: bool) -> DemoSpec:
        """Return the generated papers, condensed to one of each field."""
        # The method and its settings are those that serve best on the validation nodes.
        return DemoSpec(
            data="papers",
            options={"validation": 300, "test": 600},
            samples="generated papers, which cite each other,",
            method="gc-sntk",
            seeds=1 if quick else 3,
            settings={"steps": 100},
            protocol={"epochs": 200, "steps": 200, "networks": 1 if quick else 2},
            workers=1,
        )

    def exports(self) -> Mapping[str, Export]:
        """Return NumPy arrays."""
        return EXPORTS


GRAPH = GraphModality()
