"""Condensed graphs that other software made, given as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attar.contracts import Task
from attar.errors import UsageError
from attar.registry import Registry
from attar.tensor.arrays import check_names, read_reals, read_values, read_whole, set_of_values
from numpy.typing import NDArray
from torch import Tensor

from attar_graph.adjacency import Dense
from attar_graph.structures import Apart, Structure, kept
from attar_graph.synthetic import GraphSet

__all__ = ["graph_set"]


def graph_set(arrays: Mapping[str, NDArray[Any]], task: Task, registry: Registry) -> GraphSet:
    """Return the condensed graph that arrays hold.

    Loops are left out, as models add their own, and so are edges that weigh nothing. An adjacency
    is given as it is before any normalization.

    Args:
        arrays: ``features`` ``(n, d)``, scaled as models take them, and ``labels`` ``(n,)``, perhaps
            ``targets`` ``(n, classes)``; and ``adjacency`` ``(n, n)``, symmetric and not negative, or
            ``edges`` ``(2, E)``, each in both directions and once, with ``weights`` ``(E,)`` where they
            are not 1; without either, nodes stand alone.
        task: The real data that the graph stands for.
        registry: Where the parameterization is looked up.

    Raises:
        UsageError: If an array is missing or unknown, or does not fit the others or the task.
    """
    check_names(arrays, ("features", "labels"), ("adjacency", "edges", "weights", "targets"))
    values = read_values(arrays["features"], "features", task.feature, task.name)
    return GraphSet(set_of_values(values, arrays, task, registry), _structure(arrays, len(values)))


def _structure(arrays: Mapping[str, NDArray[Any]], n: int) -> Structure:
    if "adjacency" in arrays and "edges" in arrays:
        raise UsageError("there are both 'adjacency' and 'edges'; give one of them")
    if "weights" in arrays and "edges" not in arrays:
        raise UsageError("there are 'weights' without 'edges'; give the edges too, or an adjacency instead")
    if "adjacency" in arrays:
        return _undirected(_matrix(arrays["adjacency"], n), "adjacency")
    if "edges" in arrays:
        return _undirected(_joined(arrays, n), "weights")
    return Apart()


def _matrix(array: NDArray[Any], n: int) -> Tensor:
    """Return an adjacency as it is given."""
    if array.shape != (n, n):
        raise UsageError(
            f"the array 'adjacency' has shape {array.shape}; give ({n}, {n}), as there are {n} nodes"
        )
    return read_reals(array, "adjacency")


def _undirected(weights: Tensor, name: str) -> Structure:
    """Return the structure of a symmetric matrix of weights."""
    if bool((weights < 0).any()):
        raise UsageError(
            f"the array {name!r} holds the weight {float(weights.min()):.3g}, but networks divide by sums of "
            f"weights; give none below 0"
        )
    gap = (weights - weights.T).abs()
    # Products of matrices round differently on the two sides of the diagonal.
    wrong = gap > 1e-6 + 1e-4 * weights.T
    if bool(wrong.any()):
        row, column = divmod(int((gap * wrong).argmax()), len(weights))
        there, back = float(weights[row, column]), float(weights[column, row])
        raise UsageError(
            f"the array {name!r} is directed: {row} to {column} weighs {there:.3g}, back {back:.3g}; make it "
            f"symmetric, as by (A + A.T) / 2 of a matrix A"
        )
    return kept(Dense(weights * (1 - torch.eye(len(weights)))))


def _joined(arrays: Mapping[str, NDArray[Any]], n: int) -> Tensor:
    """Return the adjacency of edges."""
    edges = arrays["edges"]
    if edges.ndim != 2 or len(edges) != 2:
        raise UsageError(f"the array 'edges' has shape {edges.shape}; give (2, E), from and to")
    where = read_whole(edges, "edges", n, "the numbers of the nodes")
    count = where.shape[1]
    weights = torch.ones(count)
    if "weights" in arrays:
        if arrays["weights"].shape != (count,):
            raise UsageError(
                f"the array 'weights' has shape {arrays['weights'].shape}; give ({count},), one for each edge"
            )
        weights = read_reals(arrays["weights"], "weights")
    places, times = torch.unique(where[0] * n + where[1], return_counts=True)
    if bool((times > 1).any()):
        twice = int(places[times > 1][0])
        raise UsageError(
            f"the edge from {twice // n} to {twice % n} stands twice in 'edges'; give each direction once"
        )
    # The other direction of every edge must be there as well.
    missing = ~torch.isin(where[1] * n + where[0], places)
    if bool(missing.any()):
        one, other = where[:, missing][:, 0].tolist()
        raise UsageError(
            f"the edge from {one} to {other} stands in 'edges' in one direction alone; give both, as by "
            f"numpy.concatenate([edges, edges[::-1]], axis=1)"
        )
    matrix = torch.zeros(n, n)
    matrix[where[0], where[1]] = weights
    return matrix
