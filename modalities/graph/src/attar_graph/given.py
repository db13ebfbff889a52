"""Graphs given in Python: data of PyTorch Geometric, or a mapping of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attar.errors import UsageError
from attar.plugins import GivenData
from attar.settings import unknown
from attar.tensor.given import as_array
from torch import Tensor

from attar_graph.raw import SPLITS, RawGraph, node_classes
from attar_graph.values import real, whole

__all__ = ["ARRAYS", "given_graph", "graph_of_arrays"]

_NEEDED = ("features", "edges", "labels")
ARRAYS = (*_NEEDED, "weights", "classes", *SPLITS)
"""Names of the arrays that a graph may have."""
_ATTRIBUTES: Mapping[str, str] = {
    "features": "x",
    "edges": "edge_index",
    "labels": "y",
    "weights": "edge_weight",
    "train": "train_mask",
    "validation": "val_mask",
    "test": "test_mask",
}
"""What PyTorch Geometric calls each."""


def given_graph(given: GivenData, name: str) -> RawGraph:
    """Return a graph given in Python.

    Args:
        given: As ``train``, an object with ``x``, ``edge_index`` and ``y``, such as
            ``torch_geometric.data.Data``, and perhaps ``edge_weight``, ``train_mask``, ``val_mask``
            and ``test_mask``; or a mapping as :func:`graph_of_arrays` takes it.
        name: What the graph is called.

    Raises:
        UsageError: If it is neither, or makes no graph.
    """
    if given.test is not None:
        raise UsageError(
            f"{name!r} comes with test_data, but the test nodes belong to the graph; mark them with "
            f"test_mask instead"
        )
    data = given.train
    if isinstance(data, Mapping):
        return graph_of_arrays(data, name, given.classes)
    if not (hasattr(data, "x") and hasattr(data, "edge_index")):
        raise UsageError(
            f"{name!r} is {type(data).__name__}; give a torch_geometric.data.Data with x, edge_index and y, "
            f"or a mapping with features, edges and labels"
        )
    arrays = {key: getattr(data, attribute, None) for key, attribute in _ATTRIBUTES.items()}
    for split in SPLITS:
        arrays[split] = _mask(arrays[split], f"{_ATTRIBUTES[split]} of {name!r}")
    return graph_of_arrays(arrays, name, given.classes, called=_ATTRIBUTES)


def _mask(value: Any, where: str) -> Any:
    """Return a mask as booleans, of which some graphs have zeros and ones."""
    if value is None:
        return None
    mask = as_array(value, where)
    if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
        raise UsageError(f"{where} is {mask.dtype}; give a mask of booleans, one for each node")
    return mask.astype(np.bool_)


def graph_of_arrays(
    arrays: Mapping[str, Any],
    name: str,
    classes: Sequence[str] | None = None,
    *,
    called: Mapping[str, str] | None = None,
) -> RawGraph:
    """Return the graph that arrays describe.

    Args:
        arrays: ``features`` ``(n, d)``; ``edges`` ``(2, E)``, node numbers from 0; ``labels`` ``(n,)``,
            as for :func:`attar.classes.find_classes`, with -1, NaN or "" for unknown; perhaps ``weights``
            ``(E,)``, ``classes``, names of the classes, and ``train``, ``validation`` and
            ``test``, node numbers or masks ``(n,)`` of Booleans or of zeros and ones. What is None is not
            there.
        name: What the graph is called.
        classes: Names of the classes; by default those in the arrays, or the labels themselves.
        called: What the user calls the arrays.

    Raises:
        UsageError: If something is missing, unknown, or does not fit.
    """
    called = dict(called or {})
    odd = next((key for key in arrays if key not in ARRAYS), None)
    if odd is not None:
        raise UsageError(unknown(f"array of {name!r}", str(odd), ARRAYS))
    there = {key: value for key, value in arrays.items() if value is not None}
    absent = next((key for key in _NEEDED if key not in there), None)
    if absent is not None:
        needed = ", ".join(called.get(key, key) for key in _NEEDED)
        raise UsageError(f"{name!r} has no {called.get(absent, absent)}; give {needed}")

    def where(key: str) -> str:
        return f"the {called.get(key, key)} of {name!r}"

    features = real(there["features"], where("features"))
    names = classes if classes is not None else there.get("classes")
    named = None if names is None else [str(each) for each in np.asarray(names).reshape(-1).tolist()]
    titles, labels = node_classes(there["labels"], name, named)
    splits = {split: _nodes(there[split], len(features), where(split)) for split in SPLITS if split in there}
    return RawGraph(
        name=name,
        features=features,
        edges=whole(there["edges"], where("edges")),
        labels=labels,
        classes=titles,
        weights=_column(real(there["weights"], where("weights"))) if "weights" in there else None,
        splits=splits or None,
    )


def _column(values: Tensor) -> Tensor:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _nodes(value: Any, n: int, where: str) -> Tensor:
    """Return the numbers of the nodes that a mask or a list of numbers means."""
    array = as_array(value, where)
    if array.ndim == 2 and array.shape[1] > 1:
        raise UsageError(f"{where} has {array.shape[1]} splits; choose one of its columns, such as [:, 0]")
    array = array.reshape(-1)
    # Of zeros and ones for each node, as numbers of nodes most would stand there twice.
    if array.dtype == np.bool_ or (n > 2 and len(array) == n and bool(np.isin(array, (0, 1)).all())):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        return whole(array, where)
    if len(array) != n:
        raise UsageError(f"{where} has {len(array)} entries for {n} nodes; give one for each")
    return whole(array.nonzero()[0], where)
