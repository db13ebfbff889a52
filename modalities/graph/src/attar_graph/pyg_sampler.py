"""Neighbor sampling behind PyTorch Geometric's interface; importing this imports it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from attar.errors import UsageError
from attar.rng import scoped
from torch import Generator, Tensor
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput
from torch_geometric.typing import WITH_PYG_LIB

from attar_graph.adjacency import Sparse
from attar_graph.sampling import Sample, check_seeds, sample

__all__ = ["NeighborSampler", "sample_fast"]


def sample_fast(adjacency: Sparse, seeds: Tensor, fanout: Sequence[int], gen: Generator) -> Sample:
    """Return what :func:`attar_graph.sampling.sample` does, by ``pyg-lib``, with other draws.

    Args:
        adjacency: The graph, on the CPU.
        seeds: Nodes that are asked about, each once, int64 ``(n,)``.
        fanout: Neighbors of a node that are heard, at most, for each hop; -1 for all.
        gen: Source of the draws.

    Raises:
        UsageError: If a seed stands twice.
    """
    check_seeds(seeds)
    neighbor_sample = import_module("pyg_lib.sampler").neighbor_sample
    # It draws from PyTorch's global generator.
    with scoped(gen):
        rows, columns, nodes, edges, reached, heard = neighbor_sample(
            adjacency.starts, adjacency.columns, seeds, list(fanout), return_edge_id=True
        )
    return Sample(nodes, rows, columns, edges, tuple(reached), tuple(heard))


class NeighborSampler(BaseSampler):  # type: ignore[misc]
    """Samples neighbors for PyTorch Geometric's ``NodeLoader``, with ``pyg-lib`` where it is installed.

    PyTorch Geometric's own ``NeighborLoader`` needs ``pyg-lib`` or ``torch-sparse``; this needs
    neither. An edge of the output leads from the node that is heard to the one that hears. Its
    number is its place in ``adjacency.edges()``, so ``edge_index`` of the loader's data holds
    columns and rows of these edges, in this order. Each process of a loader with workers has a
    copy of the generator.

    Args:
        adjacency: The graph, on the CPU.
        fanout: Neighbors of a node that are heard, at most, for each hop; -1 for all.
        gen: Source of the draws.

    Example:
        ``NodeLoader(data, NeighborSampler(adjacency, (10, 10), derive(0, "loader")), batch_size=256)``
    """

    def __init__(self, adjacency: Sparse, fanout: Sequence[int], gen: Generator) -> None:
        self.adjacency, self.fanout, self.gen = adjacency, tuple(fanout), gen
        self._sample = sample_fast if WITH_PYG_LIB else sample

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> SamplerOutput:
        """Return the sampled subgraph of some nodes.

        Raises:
            UsageError: If a node stands twice, or nodes have a time or a type.
        """
        if index.time is not None or index.input_type is not None:
            raise UsageError("nodes are sampled without times and types; leave out input_time and types")
        found = self._sample(self.adjacency, index.node.to(torch.int64), self.fanout, self.gen)
        return SamplerOutput(
            node=found.nodes,
            row=found.columns,
            col=found.rows,
            edge=found.edges,
            num_sampled_nodes=list(found.reached),
            num_sampled_edges=list(found.heard),
            metadata=(index.input_id, index.time),
        )

    def sample_from_edges(self, index: Any, neg_sampling: Any = None) -> SamplerOutput:
        """Refuse: nodes are classified here, and links are not predicted.

        Raises:
            UsageError: Always.
        """
        raise UsageError("this sampler starts at nodes and not at links; use it with NodeLoader")
