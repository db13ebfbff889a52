"""The splits of data at a path: folders of classes, Parquet files, or a saved Hugging Face data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.encoded.folder import read_folder
from attar.encoded.source import EncodedSource, Media
from attar.encoded.tables import Columns, is_saved, parquet_splits, read_parquet, read_saved
from attar.errors import UsageError

__all__ = ["Found", "find_splits"]

_TEST_NAMES = ("test", "val", "validation", "valid")


@dataclass(frozen=True)
class Found:
    """Data at a path.

    Attributes:
        name: What they are called.
        train: Training samples, or all of them.
        test: Test samples, or None where the data name none.
    """

    name: str
    train: EncodedSource
    test: EncodedSource | None


def find_splits(path: Path, media: Media, columns: Columns) -> Found:
    """Return the samples at a path.

    A folder with the parts ``train`` and ``test`` (or ``val``, …) has these splits; any other is
    one split.

    Args:
        path: A folder of class subfolders or of Parquet files, one Parquet file, or a folder that
            Hugging Face's ``save_to_disk`` wrote.
        media: What the samples are.
        columns: Columns of a table.

    Raises:
        UsageError: If there are none, or they do not fit.
    """
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise UsageError(
                f"{str(path)!r} is a file; give a folder of class subfolders, or a .parquet file"
            )
        return _found(path.stem, {"train": read_parquet([path], media, columns)}, media)
    name = path.resolve().name
    if is_saved(path):
        return _found(name, read_saved(path, media, columns), media)
    if files := parquet_splits(path):
        return _found(name, _parquet(path, files, media, columns), media)
    return _found(name, _folders(path, media), media)


def _found(name: str, splits: Mapping[str, EncodedSource], media: Media) -> Found:
    train = splits.get("train") or next(iter(splits.values()))
    if not len(train):
        raise UsageError(f"{name!r} holds no {media.noun}s; give at least one per class")
    return Found(name, train, next((splits[split] for split in _TEST_NAMES if split in splits), None))


def _folders(folder: Path, media: Media) -> Mapping[str, EncodedSource]:
    try:
        inside = {name for name in os.listdir(folder) if (folder / name).is_dir()}
    except OSError as error:
        raise UsageError(
            f"the folder {str(folder)!r} cannot be read ({error.strerror}); permit it"
        ) from error
    held = next((name for name in _TEST_NAMES if name in inside), None)
    if "train" not in inside or held is None:
        if "train" in inside and len(inside) == 1:
            raise UsageError(
                f"{str(folder)!r} has 'train' but no 'test'; add it, or give {str(folder / 'train')!r} "
                f"to have a test split drawn"
            )
        return {"train": read_folder(folder, media)}
    train = read_folder(folder / "train", media)
    return {"train": train, held: read_folder(folder / held, media, train.classes)}


def _parquet(
    folder: Path, files: Mapping[str, Sequence[Path]], media: Media, columns: Columns
) -> Mapping[str, EncodedSource]:
    if len(files) == 1:
        return {"train": read_parquet(next(iter(files.values())), media, columns)}
    held = next((name for name in _TEST_NAMES if name in files), None)
    if "train" not in files or held is None:
        raise UsageError(
            f"{str(folder)!r} has Parquet files of {', '.join(sorted(files))}; name them train*.parquet and "
            f"test*.parquet, or give one of them"
        )
    train = read_parquet(files["train"], media, columns)
    return {"train": train, held: read_parquet(files[held], media, columns, train.known)}
