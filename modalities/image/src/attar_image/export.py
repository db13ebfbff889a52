"""Exports of image sets: picture files, and Parquet with encoded pictures.

Every format holds pixels from 0 (black) to 255 (white), whatever unit the data came in, so that
``uint8`` means the same everywhere and files of all formats are read alike.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.files import disk_errors, portable_names
from attar.plugins import DataInfo, Export, ExportType
from attar.tensor.export import Npz, Parquet, TensorExport
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

__all__ = ["EXPORTS", "Folders", "ImageParquet", "Pictures", "png"]

WHITE = 255.0
_ALL: tuple[ExportType, ...] = ("uint8", "float16", "float32")


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image ``(1, h, w)`` or ``(3, h, w)`` as a PNG file."""
    image = Image.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    target = io.BytesIO()
    image.save(target, "png")
    return target.getvalue()


def _digits(count: int) -> int:
    return max(5, len(str(count)))


@dataclass(frozen=True, kw_only=True)
class _Files(TensorExport):
    """Picture files, which hold 8-bit pixels and no learned targets."""

    dtypes: tuple[ExportType, ...] = ("uint8",)
    scale: float | None = WHITE

    def check(self, batch: Batch) -> None:
        """Refuse learned targets, and what is no picture."""
        if batch.targets is not None:
            raise UsageError(
                "picture files cannot hold the learned targets of this set; choose the format npz or parquet"
            )
        _check_pictures(batch.inputs)

    def pictures(self, batch: Batch, info: DataInfo, dtype: ExportType) -> list[bytes]:
        """Return each sample as a PNG file."""
        self.check(batch)
        return [png(sample) for sample in self.values(batch, info, dtype).numpy()]


def _check_pictures(inputs: Tensor) -> None:
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        raise UsageError(
            f"samples of shape {tuple(inputs.shape[1:])} are no pictures of 1 or 3 channels; "
            f"choose the format npz"
        )


@dataclass(frozen=True, kw_only=True)
class Pictures(_Files):
    """A PNG file per sample in one folder, with ``metadata.csv``: file name, label and class."""

    summary: str = "a PNG file per sample, with metadata.csv"

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write the pictures and their table, which Hugging Face's ``imagefolder`` reads too."""
        pictures = self.pictures(batch, info, dtype)
        labels: Sequence[int] = batch.labels.tolist()
        width = _digits(len(pictures))
        table = io.StringIO(newline="")
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("file_name", "label", "class"))
        with disk_errors(folder):
            for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
                # Not the class's name, which may hold "test": loaders would take it for a split.
                name = f"{number:0{width}d}.png"
                (folder / name).write_bytes(picture)
                rows.writerow((name, label, info.classes[label]))
            (folder / "metadata.csv").write_bytes(table.getvalue().encode("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Folders(_Files):
    """A subfolder of PNG files per class, as torchvision's and Hugging Face's loaders read them."""

    summary: str = "PNG files in a subfolder per class"

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return how pixels are prepared, and the subfolder of each class."""
        return {**super().reading(info, dtype), "folders": list(portable_names(info.classes))}

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write the pictures; a class without samples has no subfolder."""
        pictures = self.pictures(batch, info, dtype)
        names = portable_names(info.classes)
        width = _digits(len(pictures))
        with disk_errors(folder):
            for number, (picture, label) in enumerate(zip(pictures, batch.labels.tolist(), strict=True)):
                (folder / names[label]).mkdir(exist_ok=True)
                (folder / names[label] / f"{number:0{width}d}.png").write_bytes(picture)


@dataclass(frozen=True, kw_only=True)
class ImageParquet(Parquet):
    """Parquet: encoded pictures for ``uint8``, arrays ``(c, h, w)`` for floats."""

    summary: str = "Parquet with a column of images and one of labels"
    dtypes: tuple[ExportType, ...] = _ALL
    scale: float | None = WHITE
    column: str = "image"

    def check(self, batch: Batch) -> None:
        """Refuse what is no picture."""
        _check_pictures(batch.inputs)

    def samples(self, datasets: Any, values: Tensor, dtype: ExportType) -> tuple[Any, list[Any]]:
        """Return pictures for ``uint8``, else arrays."""
        if values.dtype != torch.uint8:
            return super().samples(datasets, values, dtype)
        return datasets.Image(), [{"bytes": png(each), "path": None} for each in values.numpy()]


EXPORTS: Mapping[str, Export] = {
    "png": Pictures(),
    "imagefolder": Folders(),
    "npz": Npz(summary="NumPy arrays (n, channels, height, width) in one file", dtypes=_ALL, scale=WHITE),
    "parquet": ImageParquet(),
}
"""The formats of an image set."""
