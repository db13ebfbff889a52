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
from torch import Tensor

from attar_graph.adjacency import Sparse
from attar_graph.graph import Graph, Nodes

__all__ = ["EXPORTS", "Arrays"]


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """NumPy arrays in one file: ``features``, ``edges``, ``weights``, ``labels``, ``classes``.

    Features are as models take them, since scaling by rows cannot be undone. An edge stands
    there in both directions.
    """

    summary: str = "NumPy arrays in one file: features, edges, weights, labels"
    dtypes: tuple[ExportType, ...] = ("float32", "float16")

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return that features are scaled already, and how the real ones were."""
        return {
            "formula": "features are scaled already, as those of real nodes are to be",
            **info.preprocessing,
        }

    def _halved(self, values: Tensor, dtype: ExportType) -> Tensor:
        values = values.detach().cpu()
        if dtype == "float32":
            return values
        half = values.to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise UsageError(
                f"values up to {float(values.abs().max()):.3g} do not fit into float16; "
                f"export the set as float32"
            )
        return half

    def rounded(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Batch:
        """Return the batch as a reader of the files gets it.

        Raises:
            UsageError: If a value is too large for the type.
        """
        nodes: Nodes = batch.inputs
        where, weights = nodes.graph.adjacency.edges()
        rounded = self._halved(weights, dtype).to(torch.float32)
        rows, columns = where.cpu()
        features = self._halved(nodes.graph.features, dtype).to(torch.float32)
        graph = Graph(features, Sparse.of(rows, columns, rounded, len(features)))
        return batch.with_inputs(Nodes(graph, nodes.index.cpu()))

    def clipped(self, batch: Batch, info: DataInfo, dtype: ExportType) -> float:
        """Return 0: nothing is cut off."""
        return 0.0

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write ``data.npz``, which loads without pickle."""
        nodes: Nodes = batch.inputs
        where, weights = nodes.graph.adjacency.edges()
        arrays: dict[str, Any] = {
            "features": self._halved(nodes.graph.features, dtype).numpy(),
            "edges": where.cpu().numpy(),
            "weights": self._halved(weights, dtype).numpy(),
            "labels": batch.labels.cpu().numpy(),
            "classes": np.array(info.classes, dtype=np.str_),
        }
        if batch.targets is not None:
            arrays["targets"] = batch.targets.detach().to(torch.float32).cpu().numpy()
        with disk_errors(folder):
            np.savez_compressed(folder / "data.npz", **arrays)


EXPORTS: Mapping[str, Export] = {"npz": Arrays()}
"""The formats of graphs."""
