"""Corpora: texts with classes, and the splits that they come in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from attar.classes import find_classes
from attar.encoded.tables import is_saved, saved_splits
from attar.errors import UsageError
from attar.plugins import GivenData
from numpy.typing import NDArray

from attar_text.form import TextOptions
from attar_text.rows import SUFFIXES, Rows, read_rows, rows_of_columns

__all__ = ["HUB", "Corpus", "Texts", "corpus_at", "corpus_of", "given_corpus", "hub_corpus"]

HUB = "hf:"
"""What the name of a data set of the Hugging Face Hub begins with."""

_TEST = ("test",)
_HELD = ("validation", "valid", "val", "dev")


@dataclass(frozen=True)
class Texts:
    """Texts with the numbers of their classes.

    Attributes:
        texts: The texts.
        labels: Class of each, int64 ``(n,)``.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of each text as UTF-8, ``(n,)``."""
        return np.array([len(text.encode("utf-8", "surrogatepass")) for text in self.texts], dtype=np.int64)

    def some(self, rows: NDArray[Any]) -> Texts:
        """Return the texts of some rows."""
        return Texts(tuple(self.texts[row] for row in rows), self.labels[rows])


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Texts by split.

    Attributes:
        name: What they are called.
        classes: Names of the classes.
        train: Training texts, or all of them.
        validation: Held-out texts, or None to draw them.
        test: Test texts, or None to draw them.
        license: License as their owners state it, or ``unknown``.
        skipped: Rows that were left out, since they lack a text or a label.
    """

    name: str
    classes: tuple[str, ...]
    train: Texts
    validation: Texts | None = None
    test: Texts | None = None
    license: str = "unknown"
    skipped: tuple[str, ...] = ()


def corpus_of(name: str, splits: Mapping[str, Rows], license: str = "unknown") -> Corpus:
    """Return the texts of splits.

    A single split is all data. Where there is no ``test``, what is called validation is the test.

    Args:
        name: What they are called.
        splits: Texts and labels by the name of the split.
        license: License of the texts.

    Raises:
        UsageError: If a label is missing, no class, or unknown in training.
    """
    train = splits.get("train") or next(iter(splits.values()))
    classes = find_classes(train.labels, train.where, train.names)

    def texts(rows: Rows | None) -> Texts | None:
        if rows is None:
            return None
        return Texts(rows.texts, classes.numbers(rows.labels, rows.where))

    test = next((splits[name] for name in _TEST if name in splits), None)
    held = next((splits[name] for name in _HELD if name in splits), None)
    if test is None:
        test, held = held, None
    own = texts(train)
    if own is None or len(classes.names) < 2:
        raise UsageError(
            f"{train.where} has only the label {classes.names[0]!r}; give texts of at least two classes"
        )
    return Corpus(
        name=name,
        classes=classes.names,
        train=own,
        validation=texts(held),
        test=texts(test),
        license=license,
        skipped=tuple(row for rows in splits.values() for row in rows.skipped),
    )


def corpus_at(path: Path, options: TextOptions) -> Corpus:
    """Return the texts at a path: a table, a folder of tables by split, or a saved Hugging Face data set.

    In a folder, the beginning of a file's name tells its split, as in ``train.tsv`` and
    ``test-00000-of-00001.parquet``.

    Raises:
        UsageError: If there are none, or they do not fit.
    """
    if path.is_file():
        return corpus_of(path.stem, {"train": read_rows(path, options)})
    if is_saved(path):
        return corpus_of(path.resolve().name, _splits(saved_splits(path), options, repr(str(path))))
    return corpus_of(path.resolve().name, _folder(path, options))


def _folder(folder: Path, options: TextOptions) -> dict[str, Rows]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UsageError(
            f"the folder {str(folder)!r} cannot be read ({error.strerror}); permit it"
        ) from error
    found: dict[str, list[Path]] = {}
    for name in names:
        path = folder / name
        if path.suffix.lower() in SUFFIXES and path.is_file():
            found.setdefault(path.stem.split("-")[0].lower(), []).append(path)
    known = {"train", *_TEST, *_HELD}
    if "train" not in found or len(known & set(found)) < 2:
        raise UsageError(
            f"{str(folder)!r} has {', '.join(names[:5]) or 'no files'}; give a folder with train and "
            f"test tables, such as train.csv and test.csv, or the path of one table"
        )
    splits = {}
    for split in sorted(known & set(found)):
        parts = [read_rows(path, options) for path in found[split]]
        splits[split] = Rows(
            tuple(text for part in parts for text in part.texts),
            tuple(label for part in parts for label in part.labels),
            parts[0].where,
            parts[0].names,
            tuple(row for part in parts for row in part.skipped),
        )
    return splits


def _splits(saved: Mapping[str, Any], options: TextOptions, where: str) -> dict[str, Rows]:
    found = {}
    for name, rows in saved.items():
        names = {key: kind.names for key, kind in rows.features.items() if hasattr(kind, "names")}
        columns = {key: rows[key][:] for key in rows.column_names}
        found[name] = rows_of_columns(columns, options, f"the split {name!r} of {where}", names)
    return found


def hub_corpus(name: str, options: TextOptions, *, download: bool) -> Corpus:
    """Return a data set of the Hugging Face Hub.

    Args:
        name: ``hf:OWNER/NAME``, perhaps with ``:CONFIGURATION``.
        options: Which columns hold what.
        download: Whether it may be fetched.

    Raises:
        UsageError: If it is not at hand and may not be fetched, or does not fit.
    """
    import datasets

    title, _, configuration = name.removeprefix(HUB).partition(":")
    mode = None if download else datasets.DownloadConfig(local_files_only=True)
    try:
        found = datasets.load_dataset(title, configuration or None, download_config=mode)
    except Exception as error:
        # Errors of many kinds, of the network, the Hub and the builder.
        reason = " ".join(str(error).split())[:200]
        fix = "check the name and the network" if download else "fetch it with --download"
        raise UsageError(f"the data set {title!r} cannot be loaded ({reason}); {fix}") from error
    info = next(iter(found.values())).info
    return corpus_of(title.split("/")[-1], _splits(found, options, repr(title)), info.license or "unknown")


def given_corpus(given: GivenData, name: str, options: TextOptions) -> Corpus:
    """Return texts given in Python, as pairs of texts and labels.

    Raises:
        UsageError: If they are no such pairs, or labels do not fit.
    """
    # Their columns have no names of the user's.
    unnamed = options.model_copy(update={"text_column": "", "label_column": ""})
    splits = {"train": _given(given.train, name, given.classes, unnamed)}
    if given.test is not None:
        splits["test"] = _given(given.test, f"{name} (test)", given.classes, unnamed)
    return corpus_of(name, splits)


def _given(data: Any, name: str, classes: tuple[str, ...] | None, options: TextOptions) -> Rows:
    where = repr(name)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise UsageError(f"{where} is {type(data).__name__}; give a pair: a list of texts and one of labels")
    if not all(hasattr(part, "__len__") and not isinstance(part, str) for part in data):
        raise UsageError(f"{where} is a pair of other things; give a list of texts and one of labels")
    texts, labels = list(data[0]), list(data[1])
    if len(texts) != len(labels):
        raise UsageError(f"{where} has {len(texts)} texts but {len(labels)} labels; give one label per text")
    rows = rows_of_columns({"text": texts, "label": labels}, options, where)
    return replace(rows, names=classes)
