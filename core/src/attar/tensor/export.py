"""Exports of tensor sets: NumPy arrays, and Parquet as Hugging Face's ``datasets`` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.batch import Batch
from attar.errors import UsageError
from attar.files import disk_errors
from attar.plugins import DataInfo, ExportType
from attar.settings import parse
from attar.tensor.preprocess import Standardize

__all__ = ["Npz", "Parquet", "TensorExport", "class_label", "quiet_datasets"]

_MOST_AXES = 5
FORMULA = "(x / scale - mean) / std; mean and std run along this axis of a sample, counted from 0"


@dataclass(frozen=True, kw_only=True)
class TensorExport:
    """What exports of tensors share: their unit, and what writing in fewer bits changes.

    Attributes:
        summary: A line about the format.
        dtypes: What values can be written as; the first is the default.
        scale: Written units per unit of the statistics, such as 255 for pixels; None keeps the
            unit of the data.
    """

    summary: str
    dtypes: tuple[ExportType, ...]
    scale: float | None = None

    def standardize(self, info: DataInfo) -> Standardize:
        """Return what turns written values into what models take.

        Raises:
            UsageError: If the preprocessing of the data does not fit.
        """
        own = parse(Standardize, info.preprocessing, "preprocessing")
        return own if self.scale is None else own.model_copy(update={"scale": self.scale})

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return the formula with scale, mean and standard deviation, as JSON values."""
        return {"formula": FORMULA, **self.standardize(info).model_dump(mode="json")}

    def values(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Tensor:
        """Return what is written, ``(n, *feature)`` of type `dtype`.

        ``uint8`` rounds to whole numbers and cuts off what lies outside of 0 to 255.

        Raises:
            UsageError: If a value is too large for ``float16``.
        """
        natural = self._natural(batch, info)
        if dtype == "uint8":
            return natural.round().clamp(0, 255).to(torch.uint8)
        if dtype == "float32":
            return natural
        half = natural.to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise UsageError(
                f"values up to {float(natural.abs().max()):.3g} do not fit into float16; "
                f"export the set as float32"
            )
        return half

    def rounded(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Batch:
        """Return the batch as a reader of the files gets it, preprocessed again.

        Raises:
            UsageError: If the format cannot hold the batch.
        """
        self.check(batch)
        return batch.with_inputs(self.standardize(info).encode(self.values(batch, info, dtype)))

    def clipped(self, batch: Batch, info: DataInfo, dtype: ExportType) -> float:
        """Return the share of values that ``uint8`` cuts off; those that only round are not counted."""
        if dtype != "uint8":
            return 0.0
        natural = self._natural(batch, info)
        outside = (natural < -0.5) | (natural > 255.5)
        return float(outside.to(torch.float64).mean()) if natural.numel() else 0.0

    def check(self, batch: Batch) -> None:
        """Refuse a batch that the format cannot hold.

        Raises:
            UsageError: Naming what does not fit, and another format.
        """

    def _natural(self, batch: Batch, info: DataInfo) -> Tensor:
        return self.standardize(info).decode(batch.inputs.detach().cpu())


@dataclass(frozen=True, kw_only=True)
class Npz(TensorExport):
    """NumPy arrays in one file: ``inputs``, ``labels``, ``classes``, and learned ``targets``, if any."""

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write ``data.npz``, which loads without pickle."""
        arrays: dict[str, Any] = {
            "inputs": self.values(batch, info, dtype).numpy(),
            "labels": batch.labels.cpu().numpy(),
            "classes": np.array(info.classes, dtype=np.str_),
        }
        if batch.targets is not None:
            arrays["targets"] = batch.targets.detach().to(torch.float32).cpu().numpy()
        with disk_errors(folder):
            np.savez_compressed(folder / "data.npz", **arrays)


@contextmanager
def quiet_datasets() -> Iterator[Any]:
    """Yield Hugging Face's ``datasets`` without its progress bars, which are left as they were.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "this needs Hugging Face's datasets: pip install 'attar-core[hf]', or choose --format npz"
        ) from error
    shown = not datasets.utils.are_progress_bars_disabled()
    datasets.utils.disable_progress_bars()
    try:
        yield datasets
    finally:
        if shown:
            datasets.utils.enable_progress_bars()


def class_label(datasets: Any, classes: tuple[str, ...]) -> Any:
    """Return the feature of a column of labels.

    Raises:
        UsageError: If two classes have one name.
    """
    twice = next((name for name in classes if classes.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two classes are called {twice!r}, which Parquet cannot tell apart; rename one")
    return datasets.ClassLabel(names=list(classes))


@dataclass(frozen=True, kw_only=True)
class Parquet(TensorExport):
    """Parquet with a column of arrays and one of labels, as Hugging Face's ``datasets`` writes it.

    Attributes:
        column: Name of the column of samples.
    """

    column: str = "inputs"

    def check(self, batch: Batch) -> None:
        """Refuse samples with more axes than Parquet's arrays have."""
        if not 1 <= batch.inputs.ndim - 1 <= _MOST_AXES:
            raise UsageError(
                f"samples of shape {tuple(batch.inputs.shape[1:])} do not fit into Parquet; "
                f"choose the format npz"
            )

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write ``train.parquet``."""
        with quiet_datasets(), disk_errors(folder):
            self.dataset(batch, info, dtype).to_parquet(str(folder / "train.parquet"))

    def dataset(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Any:
        """Return the set as a ``datasets.Dataset`` in memory."""
        self.check(batch)
        with quiet_datasets() as datasets:
            feature, samples = self.samples(datasets, self.values(batch, info, dtype), dtype)
            features = {self.column: feature, "label": class_label(datasets, info.classes)}
            columns = {self.column: samples, "label": batch.labels.tolist()}
            if batch.targets is not None:
                targets = batch.targets.detach().to(torch.float32).cpu()
                features["targets"] = datasets.Sequence(datasets.Value("float32"), length=targets.shape[1])
                columns["targets"] = targets.tolist()
            return datasets.Dataset.from_dict(columns, features=datasets.Features(features))

    def samples(self, datasets: Any, values: Tensor, dtype: ExportType) -> tuple[Any, list[Any]]:
        """Return the feature of the column of samples, and its cells.

        Args:
            datasets: The library.
            values: What is written, ``(n, *feature)``.
            dtype: Their type.
        """
        shape = tuple(values.shape[1:])
        if len(shape) == 1:
            return datasets.Sequence(datasets.Value(dtype), length=shape[0]), list(values.numpy())
        array = getattr(datasets, f"Array{len(shape)}D")
        return array(shape=shape, dtype=dtype), list(values.numpy())
