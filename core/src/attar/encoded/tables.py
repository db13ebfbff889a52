"""Samples in tables: Parquet files, and data sets saved by Hugging Face's ``datasets``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.encoded.source import Media
from attar.errors import UsageError
from attar.settings import unknown

__all__ = [
    "Columns",
    "ParquetSource",
    "SavedSource",
    "is_saved",
    "parquet_splits",
    "read_parquet",
    "read_saved",
]

_LABEL_NAMES = ("label", "labels", "class", "fine_label", "target", "category")
_ROWS = 64


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; "" chooses by the usual names.

    Attributes:
        sample: Encoded samples: bytes, or a struct of ``bytes`` and ``path``.
        label: Integers, or names of classes.
    """

    sample: str = ""
    label: str = ""

    def find(self, names: Sequence[str], where: str, media: Media) -> Columns:
        """Return the columns that a table has.

        Raises:
            UsageError: If one is missing, listing those there are.
        """
        found = []
        for role, asked, usual in (
            (media.columns[0], self.sample, media.columns),
            ("label", self.label, _LABEL_NAMES),
        ):
            wanted = (asked,) if asked else usual
            there = next((name for name in wanted if name in names), None)
            if there is None:
                sentence = unknown(f"column of {where}", asked or f"for {role}s", names)
                raise UsageError(f"{sentence}; name it with --set data.{role}_column=NAME")
            found.append(there)
        return Columns(*found)


def _labels(values: Sequence[Any], names: Sequence[str] | None, where: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return integer labels and the names of the classes."""
    if any(value is None for value in values):
        row = next(row for row, value in enumerate(values) if value is None)
        raise UsageError(f"{where} has no label in row {row}; remove such rows")
    if all(isinstance(value, str) for value in values):
        classes = tuple(names or sorted(set(values)))
        place = {name: label for label, name in enumerate(classes)}
        odd = next((value for value in values if value not in place), None)
        if odd is not None:
            raise UsageError(f"{where} has the label {odd!r}, which the training data do not have; remove it")
        return torch.tensor([place[value] for value in values], dtype=torch.int64), classes
    if not all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in values):
        odd = next(value for value in values if not isinstance(value, int | np.integer | str))
        raise UsageError(f"{where} has the label {odd!r}; labels must be whole numbers or names of classes")
    labels = torch.tensor(values, dtype=torch.int64)
    count = int(labels.max()) + 1 if len(labels) else 0
    return labels, tuple(names) if names is not None else tuple(str(label) for label in range(count))


def _encoded(value: Any, where: str, noun: str) -> bytes:
    """Return the bytes of a cell: plain, or Hugging Face's struct of bytes and path."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise UsageError(f"{where} holds no encoded {noun}; store the bytes of its file there")
    return data


def _path(value: Any) -> str:
    """Return the name of the file that a cell came from, or ""."""
    path = value.get("path") if isinstance(value, dict) else None
    return path if isinstance(path, str) else ""


def _stamp(paths: Sequence[Path], columns: Columns) -> str:
    digest = hashlib.blake2b(f"{columns}".encode(), digest_size=16)
    for path in paths:
        state = os.stat(path)
        line = f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@dataclass(frozen=True)
class ParquetSource:
    """Samples in Parquet files, read in order and kept in the cache once they are decoded.

    Attributes:
        paths: The files, in order.
        columns: Which columns hold what.
        labels: Class of each row.
        classes: Names of the classes.
        noun: What a sample is called.
    """

    paths: tuple[Path, ...]
    columns: Columns
    labels: Tensor
    classes: tuple[str, ...]
    noun: str

    random_access = False

    def __len__(self) -> int:
        return len(self.labels)

    def stamp(self) -> str:
        """Return a hash of names, sizes and times."""
        return _stamp(self.paths, self.columns)

    def where(self, row: int) -> str:
        """Return what a sample is called in errors."""
        return f"row {row} of {str(self.paths[0].parent if len(self.paths) > 1 else self.paths[0])!r}"

    @cached_property
    def _names(self) -> tuple[str, ...]:
        found: list[str] = []
        for path in self.paths:
            file = _parquet(path, None)
            cells = file.schema_arrow.field(self.columns.sample).type
            # The paths alone: encoded samples are large.
            named = hasattr(cells, "get_field_index") and cells.get_field_index("path") >= 0
            if not named:
                found += [""] * file.metadata.num_rows
                continue
            table = file.read(columns=[f"{self.columns.sample}.path"])
            found += [_path(value) for value in table.column(0).to_pylist()]
        return tuple(found)

    def name(self, row: int) -> str:
        """Return the name of the file that a sample came from, or "" where the table does not say."""
        return self._names[row]

    def fetch(self, row: int) -> bytes:
        """Refuse: rows are read in order."""
        raise NotImplementedError("Parquet files are read in order")

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each row in order, what returns its sample."""
        row = 0
        for path in self.paths:
            file = _parquet(path, None)
            for batch in file.iter_batches(batch_size=_ROWS, columns=[self.columns.sample]):
                for value in batch.column(0).to_pylist():
                    yield partial(_encoded, value, self.where(row), self.noun)
                    row += 1


def _parquet(path: Path, media: Media | None) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        wanted = "pyarrow" if media is None else f"'{media.distribution}[parquet]'"
        raise UsageError(f"reading Parquet needs pyarrow: pip install {wanted}") from error
    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{str(path)!r} cannot be read as Parquet; restore it") from error


def _named(file: Any, column: str) -> list[str] | None:
    """Return the class names that Hugging Face's metadata give a column, if any."""
    try:
        features = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def read_parquet(
    paths: Sequence[Path], media: Media, columns: Columns, classes: Sequence[str] | None = None
) -> ParquetSource:
    """Return the samples of Parquet files with a column of encoded samples and one of labels.

    Args:
        paths: The files of one split.
        media: What the samples are.
        columns: Which columns hold what.
        classes: The names of the classes where they are known from the training split.

    Raises:
        UsageError: If a file is damaged, a column is missing, or a label is none.
    """
    files = [_parquet(path, media) for path in paths]
    found = columns.find(files[0].schema_arrow.names, repr(str(paths[0])), media)
    values: list[Any] = []
    for path, file in zip(paths, files, strict=True):
        if not {found.sample, found.label} <= set(file.schema_arrow.names):
            raise UsageError(f"{str(path)!r} lacks the columns of {str(paths[0])!r}; give files of one kind")
        values += file.read(columns=[found.label]).column(0).to_pylist()
    names = classes if classes is not None else _named(files[0], found.label)
    labels, classes = _labels(values, names, repr(str(paths[0])))
    return ParquetSource(
        paths=tuple(paths), columns=found, labels=labels, classes=tuple(classes), noun=media.noun
    )


def parquet_splits(folder: Path) -> dict[str, list[Path]]:
    """Return the Parquet files below a folder by split, as their names begin: ``train-00000-of-00002``.

    Files in a subfolder ``data`` count, as the Hub keeps them there.
    """
    splits: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")]):
        splits.setdefault(path.name.removesuffix(".parquet").split("-")[0], []).append(path)
    return splits


def is_saved(folder: Path) -> bool:
    """Return whether a folder was written by ``save_to_disk`` of Hugging Face's ``datasets``."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


@dataclass(frozen=True)
class SavedSource:
    """Samples of one split of a saved Hugging Face data set, memory-mapped.

    Attributes:
        rows: The data set, with samples left encoded.
        folder: Where it was saved.
        columns: Which columns hold what.
        labels: Class of each row.
        classes: Names of the classes.
        noun: What a sample is called.
    """

    rows: Any
    folder: Path
    columns: Columns
    labels: Tensor
    classes: tuple[str, ...]
    noun: str

    random_access = True

    def __len__(self) -> int:
        return len(self.labels)

    def stamp(self) -> str:
        """Return a hash of names, sizes and times of the files."""
        return _stamp([Path(file["filename"]) for file in self.rows.cache_files], self.columns)

    def where(self, row: int) -> str:
        """Return what a sample is called in errors."""
        return f"row {row} of {str(self.folder)!r}"

    def name(self, row: int) -> str:
        """Return the name of the file that a sample came from, or "" where the table does not say."""
        return _path(self.rows[row][self.columns.sample])

    def fetch(self, row: int) -> bytes:
        """Return the bytes of a sample."""
        value = self.rows[row][self.columns.sample]
        path = value.get("path") if isinstance(value, dict) and value.get("bytes") is None else None
        if path is not None and Path(path).is_file():
            return Path(path).read_bytes()
        return _encoded(value, self.where(row), self.noun)

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each row in order, what returns its sample."""
        for row in range(len(self)):
            yield partial(self.fetch, row)


def read_saved(folder: Path, media: Media, columns: Columns) -> dict[str, SavedSource]:
    """Return the splits of a data set saved by ``save_to_disk``; one without splits is ``train``.

    Raises:
        UsageError: If the folder is damaged, a column is missing, or a label is none.
    """
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            f"reading a saved Hugging Face data set needs datasets: pip install '{media.distribution}[hf]'"
        ) from error
    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:
        # The library raises errors of many kinds, its own and Arrow's, for damaged files.
        raise UsageError(f"{str(folder)!r} cannot be read as a saved data set; restore it") from error
    splits = dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    sources: dict[str, SavedSource] = {}
    classes: Sequence[str] | None = None
    for name in sorted(splits, key=lambda split: split != "train"):
        rows = splits[name]
        found = columns.find(rows.column_names, repr(str(folder)), media)
        named = getattr(rows.features[found.label], "names", None)
        feature = rows.features[found.sample]
        if isinstance(feature, datasets.Image | datasets.Audio):
            rows = rows.cast_column(found.sample, type(feature)(decode=False))
        where = f"the split {name!r} of {str(folder)!r}"
        labels, known = _labels(rows[found.label][:], classes or named, where)
        classes = classes or known
        sources[name] = SavedSource(rows, folder, found, labels, tuple(classes), media.noun)
    return sources
