"""The raw files of Cora, CiteSeer and PubMed, which are pickles of an old Python.

They are read by an unpickler that knows arrays, sparse matrices, lists and dictionaries, and
nothing that could run code.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from torch import Tensor

from attar_graph.raw import RawGraph
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


class _Rows:
    """Stands for a sparse matrix in compressed rows; filled by the unpickler."""

    def __init__(self, *ignored: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def dense(self, path: Path) -> np.ndarray[Any, Any]:
        """Return the matrix, float32.

        Raises:
            UsageError: If its parts do not fit one another.
        """
        parts = [self.state.get(key) for key in ("data", "indices", "indptr")]
        shape = self.state.get("_shape", self.state.get("shape"))
        if not all(isinstance(part, np.ndarray) and part.ndim == 1 for part in parts) or not _pair(shape):
            raise _broken(path)
        data, columns, starts = (np.asarray(part) for part in parts)
        try:
            return dense(data, starts, columns, shape or ())
        except (TypeError, ValueError) as error:
            raise _broken(path) from error


def _pair(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 2 and all(isinstance(side, int) for side in shape)


def _broken(path: Path) -> UsageError:
    return UsageError(f"{path.name} is damaged or no file of Planetoid; download it again")


def _empty_array(kind: object, shape: object, code: object) -> np.ndarray[Any, Any]:
    # Its state says shape and type, and is checked against the bytes that are there.
    return np.empty(0, dtype=np.uint8)


def _reconstructed(kind: object, base: object, state: object) -> _Rows:
    return _Rows()


_KNOWN: Mapping[tuple[str, str], Any] = {
    ("scipy.sparse.csr", "csr_matrix"): _Rows,
    ("scipy.sparse._csr", "csr_matrix"): _Rows,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "defaultdict"): defaultdict,
    ("copy_reg", "_reconstructor"): _reconstructed,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
}


class _Careful(pickle.Unpickler):
    """Knows what Planetoid's files hold, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few things that may be named."""
        try:
            return _KNOWN[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _load(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            return _Careful(file, encoding="latin1", fix_imports=False).load()
    except FileNotFoundError:
        raise UsageError(f"{str(path)!r} is missing; put the raw files of Planetoid there") from None
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except Exception as error:
        # A damaged pickle may raise anything.
        raise _broken(path) from error


def _array(path: Path) -> np.ndarray[Any, Any]:
    found = _load(path)
    if isinstance(found, _Rows):
        return found.dense(path)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype == object:
        raise _broken(path)
    return found.astype(np.float32)


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
    links = _load(paths["graph"])
    places = _places(paths["test.index"])
    fits = len(places) == len(tested) == len(test_labels) and len(known) == len(labels)
    if not fits or known.shape[1] != tested.shape[1] or (len(places) and places.min() < 0):
        raise _broken(paths["test.index"])
    classes = PLANETOID[name][1]
    if not labels.shape[1] == test_labels.shape[1] == len(classes):
        raise _broken(paths["ally"])
    # CiteSeer numbers a few nodes that it says nothing of; they are isolated.
    n = max(len(known), int(places.max()) + 1 if len(places) else 0)
    features = np.zeros((n, known.shape[1]), dtype=np.float32)
    onehot = np.zeros((n, labels.shape[1]), dtype=np.float32)
    features[: len(known)], onehot[: len(labels)] = known, labels
    features[places], onehot[places] = tested, test_labels
    numbers = torch.from_numpy(np.where(onehot.any(1), onehot.argmax(1), -1))
    return RawGraph(
        name=name,
        features=torch.from_numpy(features),
        edges=_edges(links, n, paths["graph"]),
        labels=numbers,
        classes=classes,
        splits={
            "train": torch.arange(train),
            "validation": torch.arange(train, min(train + _VALIDATION, len(known))),
            "test": torch.from_numpy(places).sort().values,
        },
    )


def _places(path: Path) -> np.ndarray[Any, Any]:
    try:
        return np.array([int(line) for line in path.read_text("ascii").split()], dtype=np.int64)
    except FileNotFoundError:
        raise UsageError(f"{str(path)!r} is missing; put the raw files of Planetoid there") from None
    except (OSError, ValueError) as error:
        raise _broken(path) from error


def _edges(links: Any, n: int, path: Path) -> Tensor:
    if not isinstance(links, dict):
        raise _broken(path)
    pairs = [(one, other) for one, others in links.items() for other in others]
    if not all(isinstance(end, int) for pair in pairs for end in pair):
        raise _broken(path)
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= n):
        raise _broken(path)
    return edges
