"""The raw files of Cora, CiteSeer and PubMed, which are pickles of an old Python.

They are read by :mod:`attar_graph.unpickling`, which runs nothing of what they name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from attar.limits import read_limited
from torch import Tensor

from attar_graph.raw import RawGraph
from attar_graph.unpickling import Rows, load
from attar_graph.values import dense

__all__ = ["PLANETOID", "read_planetoid"]

PLANETOID: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "cora": (
        "Cora",
        (
            "theory",
            "reinforcement learning",
            "genetic algorithms",
            "neural networks",
            "probabilistic methods",
            "case based",
            "rule learning",
        ),
    ),
    "citeseer": ("CiteSeer", ("agents", "AI", "databases", "IR", "ML", "HCI")),
    "pubmed": ("PubMed", ("experimental diabetes", "type 1 diabetes", "type 2 diabetes")),
}
"""Folder and class names of each."""

PARTS = ("tx", "allx", "y", "ty", "ally", "graph", "test.index")
_VALIDATION = 500
_MOST = 2**29
"""Bytes of a file; those of PubMed take a few million."""


def _matrix(rows: Rows) -> np.ndarray[Any, Any]:
    """Return a sparse matrix, float32."""
    data, columns, starts = (rows.state[key].read() for key in ("data", "indices", "indptr"))
    height, width = rows.state.get("_shape") or rows.state["shape"]
    if not all(part.ndim == 1 for part in (data, columns, starts)):
        raise ValueError("parts of a matrix have one axis")
    return dense(data, starts, columns, (height, width))


def _broken(path: Path) -> UsageError:
    return UsageError(f"{path.name} is damaged or no file of Planetoid; download it again")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"{str(path)!r} is missing; put the raw files of Planetoid there") from None
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except UsageError:
        raise
    except Exception as error:
        # A damaged pickle may raise anything.
        raise _broken(path) from error


def _array(path: Path) -> np.ndarray[Any, Any]:
    with _reading(path):
        found = load(read_limited(path, _MOST))
        if isinstance(found, Rows):
            return _matrix(found)
        values: np.ndarray[Any, Any] = found.read()
        if values.ndim != 2:
            raise ValueError("this is no matrix")
        plain: np.ndarray[Any, Any] = values.astype(np.float32)
        return plain


def read_planetoid(folder: Path, name: str) -> RawGraph:
    """Read a graph with its public split: 20 training nodes of each class, 500 and 1,000 others.

    Args:
        folder: The folder ``raw`` with files such as ``ind.cora.x``.
        name: ``cora``, ``citeseer`` or ``pubmed``.

    Raises:
        UsageError: If a file is missing or damaged.

    References:
        Yang et al., "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016.
    """
    paths = {part: folder / f"ind.{name}.{part}" for part in PARTS}
    known, tested = _array(paths["allx"]), _array(paths["tx"])
    labels, test_labels = _array(paths["ally"]), _array(paths["ty"])
    train = len(_array(paths["y"]))
    places = _places(paths["test.index"])
    fits = len(places) == len(tested) == len(test_labels) and len(known) == len(labels)
    if not fits or known.shape[1] != tested.shape[1] or (len(places) and places.min() < 0):
        raise _broken(paths["test.index"])
    classes = PLANETOID[name][1]
    if not labels.shape[1] == test_labels.shape[1] == len(classes):
        raise _broken(paths["ally"])
    # CiteSeer numbers a few nodes that it says nothing of; they are isolated.
    n = max(len(known), int(places.max()) + 1 if len(places) else 0)
    if n > 2 * (len(known) + len(places)):
        raise _broken(paths["test.index"])
    features = np.zeros((n, known.shape[1]), dtype=np.float32)
    onehot = np.zeros((n, labels.shape[1]), dtype=np.float32)
    features[: len(known)], onehot[: len(labels)] = known, labels
    features[places], onehot[places] = tested, test_labels
    numbers = torch.from_numpy(np.where(onehot.any(1), onehot.argmax(1), -1))
    return RawGraph(
        name=name,
        features=torch.from_numpy(features),
        edges=_edges(n, paths["graph"]),
        labels=numbers,
        classes=classes,
        splits={
            "train": torch.arange(train),
            "validation": torch.arange(train, min(train + _VALIDATION, len(known))),
            "test": torch.from_numpy(places).sort().values,
        },
    )


def _places(path: Path) -> np.ndarray[Any, Any]:
    with _reading(path):
        return np.array([int(line) for line in read_limited(path, _MOST).split()], dtype=np.int64)


def _edges(n: int, path: Path) -> Tensor:
    with _reading(path):
        content = read_limited(path, _MOST)
        links = load(content)
        if not isinstance(links, dict) or not all(isinstance(others, list) for others in links.values()):
            raise ValueError("these are no lists of neighbors")
        # A list that is written once may be meant by every node.
        if sum(map(len, links.values())) > len(content):
            raise ValueError("there are more neighbors than bytes")
        pairs = [(one, other) for one, others in links.items() for other in others]
        if not all(isinstance(end, int) for pair in pairs for end in pair):
            raise ValueError("nodes are whole numbers")
        edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
        if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= n):
            raise ValueError("there is no such node")
        return edges
