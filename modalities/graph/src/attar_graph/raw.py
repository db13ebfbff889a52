"""Graphs as they are given, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from attar.classes import find_classes
from attar.errors import UsageError
from torch import Tensor

from attar_graph.adjacency import Sparse

__all__ = ["SPLITS", "RawGraph", "node_classes", "undirected"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class RawGraph:
    """Nodes, edges and labels in natural units.

    Attributes:
        name: What the data are called.
        features: Float32 ``(n, d)``.
        edges: Int64 ``(2, E)``: from and to.
        weights: Float32 ``(E,)``, above 0, or None where all weigh 1.
        labels: Class of each node, int64 ``(n,)``; -1 where it is not known.
        classes: Names of the classes.
        splits: Nodes of ``train``, ``validation`` and ``test``, int64, or None if they are to be drawn.

    Raises:
        UsageError: If they make no graph that nodes can be classified on.
    """

    name: str
    features: Tensor
    edges: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    weights: Tensor | None = None
    splits: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        n = len(self.features)
        if n == 0 or self.features.ndim != 2 or self.features.shape[1] == 0:
            raise UsageError(
                f"{self.name!r} has features of shape {tuple(self.features.shape)}; give at least one node "
                f"and one feature, as (nodes, features)"
            )
        if not bool(torch.isfinite(self.features).all()):
            row = int((~torch.isfinite(self.features)).any(1).nonzero()[0, 0])
            raise UsageError(
                f"the features of node {row} of {self.name!r} are not finite; fill or remove them"
            )
        if len(self.labels) != n:
            raise UsageError(f"{self.name!r} has {n} nodes with {len(self.labels)} labels; give one each")
        self._check_edges(n)
        self._check_splits(n)

    def _check_edges(self, n: int) -> None:
        if self.edges.ndim != 2 or len(self.edges) != 2:
            raise UsageError(
                f"the edges of {self.name!r} have shape {tuple(self.edges.shape)}; give (2, edges)"
            )
        if self.edges.numel() and (int(self.edges.min()) < 0 or int(self.edges.max()) >= n):
            wrong = int(((self.edges < 0) | (self.edges >= n)).any(0).nonzero()[0, 0])
            one, other = self.edges[:, wrong].tolist()
            raise UsageError(
                f"edge {wrong} of {self.name!r} joins nodes {one} and {other}, but nodes are numbered "
                f"from 0 to {n - 1}"
            )
        if self.weights is None:
            return
        if self.weights.shape != self.edges.shape[1:]:
            raise UsageError(
                f"{self.name!r} has {self.edges.shape[1]} edges and {len(self.weights)} weights of shape "
                f"{tuple(self.weights.shape)}; give one weight for each edge, as ({self.edges.shape[1]},)"
            )
        if not bool((torch.isfinite(self.weights) & (self.weights > 0)).all()):
            raise UsageError(
                f"a weight of an edge of {self.name!r} is not a number above 0; leave such edges out"
            )

    def _check_splits(self, n: int) -> None:
        seen = torch.zeros(n, dtype=torch.bool)
        for split, nodes in (self.splits or {}).items():
            if nodes.numel() and (int(nodes.min()) < 0 or int(nodes.max()) >= n):
                raise UsageError(f"the {split} nodes of {self.name!r} are numbered from 0 to {n - 1}")
            if len(nodes.unique()) != len(nodes):
                raise UsageError(
                    f"a node of {self.name!r} stands twice in {split}, whose {len(nodes)} entries were read "
                    f"as numbers of nodes; a mask has True or False for each of the {n} nodes"
                )
            if bool(seen[nodes].any()):
                raise UsageError(
                    f"a node of {self.name!r} stands twice in the splits, once of them in {split}; a node "
                    f"belongs to one split"
                )
            seen[nodes] = True
            if bool((self.labels[nodes] < 0).any()):
                raise UsageError(f"a {split} node of {self.name!r} has no label; leave it out of the splits")

    @property
    def adjacency(self) -> Sparse:
        """The edges in both directions, without loops."""
        return undirected(self.edges, self.weights, len(self.features))


def undirected(edges: Tensor, weights: Tensor | None, n: int) -> Sparse:
    """Return edges in both directions, without loops.

    Where an edge is given several times, or with different weights in its two directions, the
    largest weight counts.

    Args:
        edges: Int64 ``(2, E)``.
        weights: Float32 ``(E,)``, or None where all are 1.
        n: Number of nodes.
    """
    apart = edges[0] != edges[1]
    one, other = edges[:, apart]
    rows, columns = torch.cat([one, other]), torch.cat([other, one])
    if weights is None:
        places = torch.unique(rows * n + columns)
        return Sparse.of(places // n, places % n, torch.ones(len(places)), n)
    both = torch.cat([weights[apart], weights[apart]])
    places, owner = torch.unique(rows * n + columns, return_inverse=True)
    largest = both.new_zeros(len(places)).scatter_reduce(0, owner, both, "amax")
    return Sparse.of(places // n, places % n, largest, n)


def node_classes(
    labels: Any, name: str, classes: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Tensor]:
    """Return the names of the classes, and the number of each label, int64 ``(n,)``; -1 is unknown.

    Args:
        labels: The label of each node, as for :func:`attar.classes.find_classes`.
        name: What the data are called.
        classes: The names, where they are known.

    Raises:
        UsageError: If there is a single class, or a label is none.
    """
    found = find_classes(labels, repr(name), classes)
    if len(found.names) < 2:
        raise UsageError(f"{name!r} has 1 class; a classifier needs at least two")
    return found.names, torch.from_numpy(found.numbers(labels, repr(name), missing=True))
