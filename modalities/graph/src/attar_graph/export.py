"""Exports of graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.files import disk_errors
from attar.plugins import DataInfo, Export, ExportType
from safetensors.torch import save
from torch import Tensor

from attar_graph.graph import Nodes

__all__ = ["EXPORTS", "Arrays", "Geometric", "GraphExport"]


_LOADER = '''"""Reads the graph beside this file for PyTorch Geometric."""

from pathlib import Path

from safetensors.torch import load_file
from torch_geometric.data import Data


def load(path=Path(__file__).with_name("graph.safetensors")):
    """Return the graph: x, edge_index, edge_weight, y and, where they are learned, targets."""
    return Data(**load_file(path))
'''


@dataclass(frozen=True, kw_only=True)
class GraphExport:
    """What exports of graphs share: features as models take them, and what fewer bits change.

    Attributes:
        summary: A line about the format.
        dtypes: What features and weights can be written as; the first is the default.
    """

    summary: str
    dtypes: tuple[ExportType, ...] = ("float32", "float16")

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return that features are scaled already, and how the real ones were."""
        return {
            "formula": "features are scaled already, as those of real nodes are to be",
            **info.preprocessing,
        }

    def parts(self, batch: Batch, dtype: ExportType) -> dict[str, Tensor]:
        """Return what is written, on the CPU.

        That is ``features`` ``(n, d)`` and ``weights`` ``(E,)`` of type `dtype`, ``edges``
        ``(2, E)`` and ``labels`` ``(n,)``, int64, and, where there are any, ``targets`` ``(n,
        classes)``, float32.

        Raises:
            UsageError: If a value is too large for the type.
        """
        nodes: Nodes = batch.inputs
        where, weights = nodes.graph.adjacency.edges()
        found = {
            "features": _halved(nodes.graph.features, dtype),
            "edges": where.cpu(),
            "weights": _halved(weights, dtype),
            "labels": batch.labels.cpu(),
        }
        if batch.targets is not None:
            found["targets"] = batch.targets.detach().to(torch.float32).cpu()
        # Neither rows of a transposed matrix nor what is part of another tensor is written as it is.
        return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in found.items()}

    def rounded(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Batch:
        """Return the batch as a reader of the files gets it.

        Raises:
            UsageError: If a value is too large for the type.
        """
        nodes: Nodes = batch.inputs.to(torch.device("cpu"))
        return batch.with_inputs(nodes.map(lambda values: _halved(values, dtype).to(torch.float32)))

    def clipped(self, batch: Batch, info: DataInfo, dtype: ExportType) -> float:
        """Return 0: nothing is cut off."""
        return 0.0


def _halved(values: Tensor, dtype: ExportType) -> Tensor:
    """Return values as they are written."""
    values = values.detach().cpu()
    if dtype == "float32":
        return values
    half = values.to(torch.float16)
    if not bool(torch.isfinite(half).all()):
        raise UsageError(
            f"values up to {float(values.abs().max()):.3g} do not fit into float16; export the set as float32"
        )
    return half


@dataclass(frozen=True, kw_only=True)
class Arrays(GraphExport):
    """NumPy arrays in one file: ``features``, ``edges``, ``weights``, ``labels``, ``classes``.

    Features are as models take them, since scaling by rows cannot be undone. An edge stands
    there in both directions. :func:`attar.from_arrays` reads the file back.
    """

    summary: str = "NumPy arrays in one file: features, edges, weights, labels"

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write ``data.npz``, which loads without pickle."""
        arrays: dict[str, Any] = {name: part.numpy() for name, part in self.parts(batch, dtype).items()}
        arrays["classes"] = np.array(info.classes, dtype=np.str_)
        with disk_errors(folder):
            np.savez_compressed(folder / "data.npz", **arrays)


_NAMES = {
    "features": "x",
    "edges": "edge_index",
    "weights": "edge_weight",
    "labels": "y",
    "targets": "targets",
}
"""What PyTorch Geometric calls the parts of a graph."""


@dataclass(frozen=True, kw_only=True)
class Geometric(GraphExport):
    """A graph for PyTorch Geometric: ``graph.safetensors``, and ``load.py``, which reads it.

    The tensors are called as the attributes of ``torch_geometric.data.Data``: ``x``,
    ``edge_index``, ``edge_weight``, ``y`` and, where they are learned, ``targets``.
    """

    summary: str = "a graph for PyTorch Geometric: graph.safetensors, which load() in load.py reads"

    def named(self, batch: Batch, dtype: ExportType) -> dict[str, Tensor]:
        """Return the tensors by the names that PyTorch Geometric gives them."""
        return {_NAMES[name]: part for name, part in self.parts(batch, dtype).items()}

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write ``graph.safetensors`` and ``load.py``."""
        content = save(self.named(batch, dtype))
        with disk_errors(folder):
            (folder / "graph.safetensors").write_bytes(content)
            (folder / "load.py").write_bytes(_LOADER.encode("utf-8"))

    def graph(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Any:
        """Return a ``torch_geometric.data.Data`` in memory.

        Raises:
            UsageError: If ``torch_geometric`` is not installed, or a value is too large for the type.
        """
        try:
            from torch_geometric.data import Data
        except ImportError as error:
            raise UsageError(
                "this needs PyTorch Geometric: pip install torch-geometric, or use decode()"
            ) from error
        return Data(**self.named(batch, dtype))


EXPORTS: Mapping[str, Export] = {"npz": Arrays(), "pyg": Geometric()}
"""The formats of graphs."""
