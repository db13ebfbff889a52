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

from attar.classes import Classes, find_classes
from attar.encoded.source import Media
from attar.errors import UsageError
from attar.files import read_json
from attar.limits import read_limited
from attar.parquet import open_parquet, parquet_batches, read_table
from attar.settings import unknown

__all__ = [
    "Columns",
    "ParquetSource",
    "SavedSource",
    "is_saved",
    "parquet_splits",
    "read_parquet",
    "read_saved",
    "saved_splits",
]

_LABEL_NAMES = ("label", "labels", "class", "fine_label", "target", "category")
_NAMES = 4096
_MOST_FILE = 2**29


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
        known: The classes.
        noun: What a sample is called.
    """

    paths: tuple[Path, ...]
    columns: Columns
    labels: Tensor
    known: Classes
    noun: str

    random_access = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.known.names

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
            file = open_parquet(path)
            cells = file.schema_arrow.field(self.columns.sample).type
            # The paths alone: encoded samples are large.
            named = hasattr(cells, "get_field_index") and cells.get_field_index("path") >= 0
            if not named:
                found += [""] * file.metadata.num_rows
                continue
            for batch in parquet_batches(file, path, [f"{self.columns.sample}.path"], _NAMES):
                found += [_path(value) for value in batch.column(0).to_pylist()]
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
            for batch in parquet_batches(open_parquet(path), path, [self.columns.sample]):
                for value in batch.column(0).to_pylist():
                    yield partial(_encoded, value, self.where(row), self.noun)
                    row += 1


def _named(schema: Any, column: str) -> list[str] | None:
    """Return the class names that Hugging Face's metadata give a column, if any."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def read_parquet(
    paths: Sequence[Path], media: Media, columns: Columns, classes: Classes | None = None
) -> ParquetSource:
    """Return the samples of Parquet files with a column of encoded samples and one of labels.

    Args:
        paths: The files of one split.
        media: What the samples are.
        columns: Which columns hold what.
        classes: The classes of the training split, where it has been read.

    Raises:
        UsageError: If a file is damaged, a column is missing, or a label is none.
    """
    install = f"'{media.distribution}[parquet]'"
    schema = open_parquet(paths[0], install).schema_arrow
    found = columns.find(schema.names, repr(str(paths[0])), media)
    parts = []
    for path in paths:
        if not {found.sample, found.label} <= set(open_parquet(path, install).schema_arrow.names):
            raise UsageError(f"{str(path)!r} lacks the columns of {str(paths[0])!r}; give files of one kind")
        parts.append(read_table(path, [found.label], install).column(0))
    values, names = _cells(parts), _named(schema, found.label)
    if not len(values):
        raise UsageError(f"{str(paths[0])!r} holds no {media.noun}s; give at least one per class")
    labels, known = _read_labels(values, names, repr(str(paths[0])), classes)
    return ParquetSource(paths=tuple(paths), columns=found, labels=labels, known=known, noun=media.noun)


def _cells(columns: Sequence[Any]) -> Any:
    """Return the labels of columns of pyarrow, each as it is."""
    import pyarrow as pa

    if len({column.type for column in columns}) == 1 and pa.types.is_integer(columns[0].type):
        if not any(column.null_count for column in columns):
            return np.concatenate([column.to_numpy() for column in columns])
    return [value for column in columns for value in column.to_pylist()]


def _read_labels(
    values: Any, names: Sequence[str] | None, where: str, known: Classes | None
) -> tuple[Tensor, Classes]:
    """Return labels as numbers of classes, those of training where they are known."""
    classes = known or find_classes(values, where, names)
    return torch.from_numpy(classes.numbers(values, where)), classes


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
        known: The classes.
        noun: What a sample is called.
    """

    rows: Any
    folder: Path
    columns: Columns
    labels: Tensor
    known: Classes
    noun: str

    random_access = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.known.names

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
        if isinstance(path, str) and path:
            return self._inside(path, row)
        return _encoded(value, self.where(row), self.noun)

    def _inside(self, name: str, row: int) -> bytes:
        """Return a file that a row names; none outside of the folder, which would be somebody else's."""
        path, folder = (self.folder / name).resolve(), self.folder.resolve()
        if not path.is_relative_to(folder):
            raise UsageError(
                f"{self.where(row)} names the file {name!r}, which is outside of the data set; save the data "
                f"set with the bytes of its {self.noun}s in it"
            )
        try:
            return read_limited(path, _MOST_FILE)
        except OSError as error:
            raise UsageError(f"{self.where(row)} names the file {name!r}, which cannot be read") from error

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each row in order, what returns its sample."""
        for row in range(len(self)):
            yield partial(self.fetch, row)


def saved_splits(folder: Path) -> dict[str, Any]:
    """Return the splits of a data set saved by Hugging Face's ``datasets``, which must be installed.

    Raises:
        UsageError: If it is damaged, or names files outside of its folder.
    """
    import datasets

    _check_saved(folder)
    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:
        # The library raises errors of many kinds, its own and Arrow's, for damaged files.
        raise UsageError(f"{str(folder)!r} cannot be read as a saved data set; restore it") from error
    return dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}


def _check_saved(folder: Path) -> None:
    """Refuse a saved data set that names files outside of its folder."""
    parts = [folder]
    if (folder / "dataset_dict.json").is_file():
        said = read_json(folder / "dataset_dict.json")
        splits = said.get("splits") if isinstance(said, dict) else None
        if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
            raise UsageError(f"{str(folder)!r} cannot be read as a saved data set; restore it")
        parts = [folder / split for split in splits]
    for part in parts:
        said = read_json(part / "state.json") if (part / "state.json").is_file() else {}
        files = said.get("_data_files") if isinstance(said, dict) else None
        names = [file.get("filename") for file in files or [] if isinstance(file, dict)]
        for name in [".", *names]:
            path = (part / str(name)).resolve()
            if not path.is_relative_to(folder.resolve()):
                odd = part.name if name == "." else name
                raise UsageError(
                    f"the saved data set {str(folder)!r} names {odd!r}, which is outside of it; restore it"
                )


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
    splits = saved_splits(folder)
    sources: dict[str, SavedSource] = {}
    classes: Classes | None = None
    for name in sorted(splits, key=lambda split: split != "train"):
        rows = splits[name]
        found = columns.find(rows.column_names, repr(str(folder)), media)
        named = getattr(rows.features[found.label], "names", None)
        feature = rows.features[found.sample]
        if isinstance(feature, datasets.Image | datasets.Audio):
            rows = rows.cast_column(found.sample, type(feature)(decode=False))
        where = f"the split {name!r} of {str(folder)!r}"
        labels, classes = _read_labels(rows[found.label][:], named, where, classes)
        sources[name] = SavedSource(rows, folder, found, labels, classes, media.noun)
    return sources
