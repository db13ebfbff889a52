"""Exports of audio sets: WAV files, and spectrograms as arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.files import disk_errors, portable_names
from attar.plugins import DataInfo, Export, ExportType
from attar.rng import derive
from attar.settings import parse
from attar.tensor import Standardize
from attar.tensor.export import Npz, Parquet
from numpy.typing import NDArray
from torch import Tensor

from attar_audio.form import form_of
from attar_audio.front_end import FrontEnd

__all__ = ["EXPORTS", "WavFiles", "file_names", "sounds", "wav"]

_FULL = 32767.0


def sounds(batch: Batch, info: DataInfo, form: FrontEnd) -> Tensor:
    """Return the sound of each sample, ``(n, samples)`` in [-1, 1], the same each time."""
    preprocess = parse(Standardize, info.preprocessing, "preprocessing")
    values = preprocess.decode(batch.inputs.detach().cpu())
    return form.sound(values, derive(0, "griffin-lim"))


def wav(samples: Tensor, rate: int, dtype: ExportType = "int16") -> bytes:
    """Return a WAV file of one channel, of 16-bit integers or 32-bit floats.

    Args:
        samples: Values in [-1, 1], ``(n,)``.
        rate: Samples per second.
        dtype: ``int16`` or ``float32``.
    """
    import soundfile

    target = io.BytesIO()
    kind = "FLOAT" if dtype == "float32" else "PCM_16"
    soundfile.write(target, _written(samples, dtype), rate, format="WAV", subtype=kind)
    return target.getvalue()


def _written(samples: Tensor, dtype: ExportType) -> NDArray[Any]:
    if dtype == "float32":
        return samples.to(torch.float32).numpy()
    return (samples * _FULL).round().clamp(-_FULL, _FULL).to(torch.int16).numpy()


def file_names(batch: Batch, info: DataInfo) -> list[str]:
    """Return a file name for each sample: its number and its class."""
    titles = portable_names(info.classes)
    return [f"{number:05d}-{titles[label]}.wav" for number, label in enumerate(batch.labels.tolist())]


@dataclass(frozen=True, kw_only=True)
class WavFiles:
    """A WAV file per sample in one folder, with ``metadata.csv``: file name, label and class.

    Sound is found from a spectrogram by the Griffin-Lim algorithm, so that its spectrogram is nearly
    the sample's; ``attar export`` says what that costs in accuracy.
    """

    summary: str = "a WAV file per sample, with metadata.csv"
    dtypes: tuple[ExportType, ...] = ("int16", "float32")
    made_anew: bool = True

    def reading(self, info: DataInfo, dtype: ExportType) -> Mapping[str, Any]:
        """Return the front end and the statistics of bands, as JSON values."""
        form = form_of(info)
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        return {
            "formula": "10 * log10(power in bands), then (x / scale - mean) / std along bands",
            "rate": form.rate,
            "seconds": form.seconds,
            "features": form.features,
            "window": form.window,
            "hop": form.hop,
            "bands": form.bands,
            **preprocess.model_dump(mode="json"),
        }

    def rounded(self, batch: Batch, info: DataInfo, dtype: ExportType) -> Batch:
        """Return the spectrograms of the sounds as they are written."""
        _check(batch)
        form = form_of(info)
        written = _written(sounds(batch, info, form), dtype)
        waves = torch.from_numpy(written).to(torch.float32) / (_FULL if dtype == "int16" else 1.0)
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        return batch.with_inputs(preprocess.encode(form.of(waves)))

    def clipped(self, batch: Batch, info: DataInfo, dtype: ExportType) -> float:
        """Return 0: sounds louder than full scale are made softer as a whole."""
        return 0.0

    def write(self, batch: Batch, info: DataInfo, dtype: ExportType, folder: Path) -> None:
        """Write the files and their table, which Hugging Face's ``audiofolder`` reads too."""
        _check(batch)
        form = form_of(info)
        table = io.StringIO(newline="")
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("file_name", "label", "class"))
        labels = batch.labels.tolist()
        with disk_errors(folder):
            for number, (label, samples) in enumerate(zip(labels, sounds(batch, info, form), strict=True)):
                # Not the class's name, which may hold "test": loaders would take it for a split.
                name = f"{number:05d}.wav"
                (folder / name).write_bytes(wav(samples, form.rate, dtype))
                rows.writerow((name, label, info.classes[label]))
            (folder / "metadata.csv").write_bytes(table.getvalue().encode("utf-8"))


def _check(batch: Batch) -> None:
    if batch.targets is not None:
        raise UsageError(
            "WAV files cannot hold the learned targets of this set; choose the format npz or parquet"
        )


EXPORTS: Mapping[str, Export] = {
    "wav": WavFiles(),
    "npz": Npz(
        summary="NumPy arrays of spectrograms (n, 1, bands, frames) in decibels",
        dtypes=("float32", "float16"),
    ),
    "parquet": Parquet(
        summary="Parquet with a column of spectrograms in decibels and one of labels",
        dtypes=("float32", "float16"),
    ),
}
"""The formats of an audio set."""
