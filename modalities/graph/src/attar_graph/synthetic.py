"""Synthetic graphs: features, labels and structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attar.batch import Batch
from attar.contracts import Clock, SetSpec, SyntheticSet
from attar.errors import UsageError
from attar.precision import full_precision
from attar.registry import Registry
from attar.rng import scoped
from attar.tensor import TensorSet, make_set, restore_set
from torch import Generator, Tensor, nn

from attar_graph.graph import Graph, Nodes
from attar_graph.structures import Apart, Given, Structure, kept, make_structure

__all__ = ["GraphSet", "restore", "synthesize"]


class GraphSet(SyntheticSet):
    """Nodes whose features are stored as a tensor set's values, joined by a structure.

    Args:
        nodes: Features and labels.
        structure: What joins them.
    """

    def __init__(self, nodes: TensorSet, structure: Structure) -> None:
        super().__init__()
        self.nodes, self.structure = nodes, structure
        self.label_kind = nodes.label_kind

    @property
    def labels(self) -> Tensor:  # type: ignore[override]
        """Class of each stored node, int64 ``(n,)``."""
        return self.nodes.labels

    @full_precision
    def decode(self, rows: Tensor | None = None) -> Batch:
        """Return the nodes in their graph, differentiable in features, targets and structure."""
        batch = self.nodes.decode()
        graph = Graph(batch.inputs, self.structure(batch.inputs))
        index = torch.arange(len(batch), device=batch.labels.device)
        whole = batch.with_inputs(Nodes(graph, index))
        return whole if rows is None else whole.take(rows)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of ``values``, ``labels`` where they are learned, and ``structure``."""
        groups = self.nodes.groups()
        own = list(self.structure.parameters())
        return {**groups, "structure": own} if own else groups

    def active(self, clock: Clock) -> set[str]:
        """Return the roles stepped now: structure and the rest take turns where the structure says so."""
        turns = self.structure.turns
        if turns is None:
            return set(self.groups())
        edges, features = turns
        if clock.step % (edges + features) < edges:
            return {"structure"}
        return set(self.groups()) - {"structure"}

    def bake(self) -> GraphSet:
        """Return the set with the structure as it ends."""
        return GraphSet(self.nodes, self.structure.final(self.nodes.decode().inputs))

    def keep(self, rows: Tensor) -> GraphSet:
        """Return the subgraph of some of the nodes."""
        final = self.structure.final(self.nodes.decode().inputs)
        return GraphSet(self.nodes.keep(rows), final.keep(rows))

    def softened(self, probabilities: Tensor) -> GraphSet:
        """Return the same graph with probabilities as labels."""
        return GraphSet(self.nodes.softened(probabilities), self.bake().structure)

    def stored(self) -> dict[str, Tensor]:
        """Return features, labels, and the weights of the edges above the diagonal."""
        tensors = self.nodes.stored()
        final = self.structure.final(self.nodes.decode().inputs)
        return {**tensors, **{name: self.nodes.plain(each) for name, each in final.stored().items()}}

    def description(self) -> dict[str, Any]:
        """Return what says how features and labels are stored."""
        return self.nodes.description()


def synthesize(init: Batch, spec: SetSpec, classes: int, gen: Generator, registry: Registry) -> GraphSet:
    """Return a synthetic graph whose nodes start at `init`.

    Args:
        init: Nodes with the edges among them, which are kept where nothing is learned.
        spec: What kind of set.
        classes: Number of classes.
        gen: Source of what is random.
        registry: Where parameterizations are looked up.

    Raises:
        UsageError: If parameterization or structure are unknown or do not fit.
    """
    inputs: Nodes = init.inputs
    values = inputs.graph.features[inputs.index]
    flat = Batch(values, init.labels, init.targets)
    nodes = make_set(flat, spec, tuple(values.shape[1:]), classes, gen, registry)
    if not spec.learned:
        return GraphSet(nodes, kept(inputs.graph.adjacency.induced(inputs.index)))
    with scoped(gen), torch.no_grad():
        structure = make_structure(spec.structure, nodes.decode().inputs)
    return GraphSet(nodes, structure)


def restore(registry: Registry, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GraphSet:
    """Rebuild a synthetic graph from its description and stored tensors.

    Raises:
        UsageError: If they do not fit one another.
    """
    own = {name: tensor for name, tensor in tensors.items() if name != "adjacency"}
    nodes = restore_set(registry, description, own)
    above = tensors.get("adjacency")
    structure: Structure = Apart() if above is None else Given(above.to(torch.float32))
    with torch.no_grad():
        values = nodes.decode().inputs
    if values.ndim != 2 or (above is not None and len(values) * (len(values) - 1) // 2 != len(above)):
        raise UsageError("the adjacency of the artifact does not fit its nodes; make the artifact again")
    return GraphSet(nodes, structure)
