"""The raw files of public graphs, as their authors wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar_graph.raw import RawGraph, node_classes
from attar_graph.tables import read_numbers
from attar_graph.values import careful, dense, rows_of, unpacked

__all__ = ["read_benchmark", "read_ogb", "read_sage", "read_saint"]

_FIX = "delete it, and fetch it again with --download"
_PARTS = ("indptr", "indices", "shape")


def _whole(values: Any) -> Tensor:
    """Return whole numbers of one axis, int64; what is empty has no type of its own."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError("these are no whole numbers")
    return torch.from_numpy(array.astype(np.int64))


def _matrix(values: NDArray[Any]) -> Tensor:
    """Return a matrix of numbers, float32."""
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise ValueError("this is no matrix of numbers")
    return torch.from_numpy(values.astype(np.float32))


def _compressed(
    arrays: Mapping[str, NDArray[Any]], kind: str = ""
) -> tuple[NDArray[Any], NDArray[Any], list[int]]:
    """Return where rows start, columns and shape of a matrix in compressed rows."""
    starts, columns, shape = (arrays[f"{kind}{part}"] for part in _PARTS)
    if starts.ndim != 1 or not all(
        np.issubdtype(each.dtype, np.integer) for each in (starts, columns, shape)
    ):
        raise ValueError("places are whole numbers")
    return starts, columns, shape.tolist()


def _graph(
    name: str, features: Tensor, edges: Tensor, numbers: Tensor, splits: Mapping[str, Tensor] | None
) -> RawGraph:
    classes, labels = node_classes(numbers, name)
    return RawGraph(name=name, features=features, edges=edges, labels=labels, classes=classes, splits=splits)


def read_benchmark(paths: Sequence[Path], name: str) -> RawGraph:
    """Read an Amazon or Coauthor graph: words that occur or do not, and no split.

    Args:
        paths: The ``.npz`` file.
        name: What the graph is called.

    Raises:
        UsageError: If the file is damaged.

    References:
        Shchur et al., "Pitfalls of Graph Neural Network Evaluation", 2018.
    """
    needed = ["attr_data", *(f"{kind}_{part}" for kind in ("attr", "adj") for part in _PARTS), "labels"]
    with careful(paths[0], _FIX):
        # The names of nodes and classes are pickled objects, and stay where they are.
        arrays = unpacked(paths[0], needed)
        words = dense(arrays["attr_data"], *_compressed(arrays, "attr_"))
        rows, columns = rows_of(*_compressed(arrays, "adj_"))
        # As PyTorch Geometric has them: whether a word occurs, not how often.
        features = torch.from_numpy((words > 0).astype(np.float32))
        edges, labels = torch.from_numpy(np.stack([rows, columns])), _whole(arrays["labels"])
    return _graph(name, features, edges, labels, None)


def read_saint(paths: Sequence[Path], name: str) -> RawGraph:
    """Read a graph of GraphSAINT, such as Flickr, with its split.

    Args:
        paths: ``adj_full.npz``, ``feats.npy``, ``class_map.json`` and ``role.json``.
        name: What the graph is called.

    Raises:
        UsageError: If a file is damaged.

    References:
        Zeng et al., "GraphSAINT: Graph Sampling Based Inductive Learning Method", ICLR 2020.
    """
    links, values, titles, roles = paths
    with careful(values, _FIX):
        features = _matrix(np.load(values, allow_pickle=False))
    with careful(links, _FIX):
        arrays = unpacked(links, _PARTS)
        edges = torch.from_numpy(np.stack(rows_of(*_compressed(arrays))))
    with careful(titles, _FIX):
        known = json.loads(titles.read_bytes())
        nodes, numbers = _whole([int(node) for node in known]), _whole(list(known.values()))
        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < len(features):
            raise ValueError("there is no such node")
        labels = torch.full((len(features),), -1).index_put((nodes,), numbers)
    with careful(roles, _FIX):
        role = json.loads(roles.read_bytes())
        splits = {"train": _whole(role["tr"]), "validation": _whole(role["va"]), "test": _whole(role["te"])}
    return _graph(name, features, edges, labels, splits)


def read_sage(paths: Sequence[Path], name: str) -> RawGraph:
    """Read Reddit with its split.

    Args:
        paths: ``reddit_data.npz`` and ``reddit_graph.npz``.
        name: What the graph is called.

    Raises:
        UsageError: If a file is damaged.

    References:
        Hamilton et al., "Inductive Representation Learning on Large Graphs", NeurIPS 2017.
    """
    with careful(paths[0], _FIX):
        arrays = unpacked(paths[0], ["feature", "label", "node_types"])
        features, labels = _matrix(arrays["feature"]), _whole(arrays["label"])
        kinds = _whole(arrays["node_types"])
        splits = {
            split: (kinds == kind).nonzero()[:, 0]
            for kind, split in enumerate(("train", "validation", "test"), start=1)
        }
    with careful(paths[1], _FIX):
        arrays = unpacked(paths[1], ["row", "col"])
        edges = torch.stack([_whole(arrays["row"]), _whole(arrays["col"])])
    return _graph(name, features, edges, labels, splits)


def read_ogb(paths: Sequence[Path], name: str) -> RawGraph:
    """Read ogbn-arxiv with its split by time.

    Args:
        paths: Edges, features and labels, and the nodes of train, validation and test.
        name: What the graph is called.

    Raises:
        UsageError: If a file is damaged, or pyarrow is missing.

    References:
        Hu et al., "Open Graph Benchmark: Datasets for Machine Learning on Graphs", NeurIPS 2020.
    """
    read = []
    for path in paths:
        with careful(path, _FIX):
            read.append(_matrix(read_numbers(path, np.float32)) if "feat" in path.name else _rows(path))
    edges, features, labels, *nodes = read
    splits = dict(zip(("train", "validation", "test"), (each[:, 0] for each in nodes), strict=True))
    return _graph(name, features, edges.T, labels[:, 0], splits)


def _rows(path: Path) -> Tensor:
    return torch.from_numpy(read_numbers(path, np.int64))
