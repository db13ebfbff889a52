"""One rule for labels, of whatever kind they are and wherever they come from.

Every modality reads its labels here, so that the same labels mean the same classes in a table, a
folder of Parquet files, an archive, and Python:

- Words are classes, in the order of words.
- Whole numbers are classes, in the order of numbers, before words; each that occurs is a class, named
  by the number. Whole floats count as whole numbers, and so do whole numbers written as text.
- Booleans are the classes ``False`` and ``True``.
- With names of the classes given, label i is the i-th name; or, where numbers have an offset or gaps
  and there is a name for each that occurs, the i-th in order.
- Nothing, NaN, an empty text and -1 mean that a sample has no label. Samples without one are refused:
  nothing is left out unasked, and no class is called -1. Nodes of a graph may lack one outside of its splits.
- A class that is named but has no training sample is left out, which one line says.
- What is not whole, other negative numbers, several labels per sample, and anything else are refused.
"""

from __future__ import annotations

import logging
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.errors import UsageError

__all__ = ["MOST_CLASSES", "Classes", "find_classes", "unlabeled"]

logger = logging.getLogger(__name__)

MOST_CLASSES = 100_000
"""More classes are a column that holds something else, such as numbers of rows."""

_LONGEST = 1000
"""Characters of a name; longer ones are texts."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.0*)?")
_REAL = re.compile(r"[+-]?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?")
_SHOWN = 60

_Key: TypeAlias = int | str | None
"""A label as it was read: a whole number, a word, or nothing."""


@dataclass(frozen=True)
class Classes:
    """The classes of some data, and which labels mean them.

    Attributes:
        names: Names of the classes, in order.
        words: Number of the class that a word means.
        places: Number of the class that a whole number means.
    """

    names: tuple[str, ...]
    words: Mapping[str, int]
    places: Mapping[int, int]

    @classmethod
    def of(cls, names: Sequence[str]) -> Classes:
        """Return the classes of some names, where label i is the i-th name."""
        return cls(tuple(names), {name: i for i, name in enumerate(names)}, {i: i for i in range(len(names))})

    def numbers(self, values: Any, where: str, *, missing: bool = False) -> NDArray[np.int64]:
        """Return labels as numbers of classes, int64 ``(n,)``.

        Args:
            values: The labels, as for :func:`find_classes`.
            where: What the data are called in errors.
            missing: Whether there may be none, which becomes -1.

        Raises:
            UsageError: If a label is none of these classes, or missing.
        """
        keys, owner = _distinct(values, where)
        found = np.empty(len(keys), dtype=np.int64)
        for place, key in enumerate(keys):
            number = self.number(key)
            if number is None or (number < 0 and not missing):
                row = int((owner == place).argmax())
                if number is not None:
                    raise UsageError(_missing(where, row))
                raise UsageError(f"row {row} of {where} has the label {_told(key)}, {self._not_there()}")
            found[place] = number
        return found[owner]

    def number(self, key: int | str | None) -> int | None:
        """Return the number of the class that a label means: -1 for no label, None for none of these."""
        if isinstance(key, str):
            if key in self.words:
                return self.words[key]
            key = _canonical(key)
            if isinstance(key, str):
                # Boolean labels of two named classes.
                return {"False": 0, "True": 1}.get(key) if len(self.names) == 2 else None
        if key is None:
            return -1
        return self.places.get(key, -1 if key == -1 else None)

    def _not_there(self) -> str:
        shown = ", ".join(map(repr, self.names[:5])) + (", …" if len(self.names) > 5 else "")
        return f"which the training data do not have; remove or rename it (the classes are {shown})"


def unlabeled(value: Any) -> bool:
    """Return whether a single label means that there is none: nothing, an empty text, NaN or -1."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return (_canonical(value.strip()) if isinstance(value, str) else value) in (-1, "", None)


def find_classes(values: Any, where: str, names: Sequence[str] | None = None) -> Classes:
    """Return the classes of training labels.

    Args:
        values: One label per sample: a tensor, an array ``(n,)`` or ``(n, 1)``, or a sequence, of numbers,
            words, Booleans and nothing.
        where: What the data are called in errors.
        names: Names of the classes, where they are known.

    Raises:
        UsageError: If there is no label, one is no class, or names do not fit.
    """
    keys, owner = _distinct(values, where)
    if not keys:
        raise UsageError(f"{where} holds no samples; give at least one per class")
    if names is not None:
        return _named(keys, tuple(map(str, names)), where)
    plain = [_canonical(key) if isinstance(key, str) else key for key in keys]
    found = sorted({key for key in plain if key is not None and key != -1}, key=_order)
    negative = next((key for key in found if isinstance(key, int) and key < 0), None)
    if negative is not None:
        raise UsageError(
            f"{where} has the label {negative}; number the classes from 0 (-1 means that there is no label)"
        )
    for key, origin in zip(plain, keys, strict=True):
        if isinstance(key, str) and _REAL.fullmatch(key):
            row = int((owner == keys.index(origin)).argmax())
            raise _no_class(key, row, where)
    if not found:
        raise UsageError(f"no sample of {where} has a label (-1 means none); give labels, or other data")
    if len(found) > MOST_CLASSES:
        raise UsageError(
            f"{where} has {len(found):,} different labels, more than the {MOST_CLASSES:,} classes that are "
            f"taken; name the column of the classes"
        )
    titles = tuple(str(key) for key in found)
    _check_names(titles, where)
    whole = [key for key in found if isinstance(key, int)]
    if len(whole) == len(found) and whole[-1] != len(whole) - 1:
        logger.warning(
            "the labels of %s run from %d to %d; the %d that occur are the classes",
            where,
            whole[0],
            whole[-1],
            len(whole),
        )
    return Classes(
        titles,
        {title: place for place, title in enumerate(titles)},
        {key: place for place, key in enumerate(found) if isinstance(key, int)},
    )


def _missing(where: str, row: int) -> str:
    return f"{where} has no label in row {row}; remove such rows (nothing, NaN and -1 mean no label)"


def _no_class(label: str, row: int, where: str) -> UsageError:
    return UsageError(
        f"{where} has the label {label}; labels must be whole numbers or names of classes, and {label} in "
        f"row {row} is no class"
    )


def _named(keys: Sequence[_Key], names: tuple[str, ...], where: str) -> Classes:
    """Return those of named classes that labels mean."""
    _check_names(names, where)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UsageError(f"{where} has two classes called {twice!r}; give each its own name")
    known = Classes.of(names)
    plain = [_canonical(key) if isinstance(key, str) and key not in known.words else key for key in keys]
    whole = sorted({key for key in plain if isinstance(key, int) and key != -1})
    if whole and not 0 <= whole[0] <= whole[-1] < len(names):
        if len(whole) != len(names) or whole[0] < 0:
            raise UsageError(
                f"the labels of {where} run from {whole[0]} to {whole[-1]}, but there are {len(names)} "
                f"classes; name them all, or number them from 0"
            )
        logger.warning(
            "the labels of %s run from %d to %d; they have the %d names in order",
            where,
            whole[0],
            whole[-1],
            len(names),
        )
        known = Classes(names, known.words, {number: place for place, number in enumerate(whole)})
    used = set()
    for key in keys:
        number = known.number(key)
        if number is None:
            raise UsageError(
                f"{where} has the label {_told(key)}, which is none of its classes; name them all"
            )
        used.add(number)
    kept = [place for place in range(len(names)) if place in used]
    if len(kept) == len(names):
        return known
    if not kept:
        raise UsageError(f"no sample of {where} has a label (-1 means none); give labels, or other data")
    absent = [names[place] for place in range(len(names)) if place not in used]
    shown = ", ".join(map(repr, absent[:3])) + (", …" if len(absent) > 3 else "")
    logger.warning(
        "%d of %d classes of %s have no training sample and are left out (%s)",
        len(absent),
        len(names),
        where,
        shown,
    )
    again = {place: number for number, place in enumerate(kept)}
    return Classes(
        tuple(names[place] for place in kept),
        {name: again[place] for name, place in known.words.items() if place in again},
        {key: again[place] for key, place in known.places.items() if place in again},
    )


def _check_names(names: Sequence[str], where: str) -> None:
    if len(names) > MOST_CLASSES:
        raise UsageError(
            f"{where} names {len(names):,} classes, more than the {MOST_CLASSES:,} that are taken"
        )
    for name in names:
        if len(name) > _LONGEST:
            raise UsageError(
                f"{where} has a label of {len(name):,} characters, {name[:_SHOWN]!r}…; name the column of "
                f"the classes"
            )
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{where} has the class {name!r}, which is no valid text; rename it") from None


def _order(key: int | str) -> tuple[bool, int, str]:
    return isinstance(key, str), key if isinstance(key, int) else 0, str(key)


def _told(key: _Key) -> str:
    text = repr(key) if isinstance(key, str) else str(key)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _canonical(word: str) -> int | str:
    """Return the number that a word is, or the word."""
    return int(word.split(".", maxsplit=1)[0]) if _WHOLE.fullmatch(word) else word


def _distinct(values: Any, where: str) -> tuple[list[_Key], NDArray[np.int64]]:
    """Return the distinct labels, and which of them each sample has."""
    array = _flat(values, where)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype.kind == "O":
        return _distinct_objects(array, where)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"the labels of {where} are {array.dtype}; give names of classes or whole numbers")
    if array.dtype.kind == "f":
        array = _whole_floats(array, where)
    if array.dtype.kind == "O":
        return _distinct_objects(array, where)
    found, owner = np.unique(array, return_inverse=True)
    return [_key(value, 0, where) for value in found.tolist()], owner.reshape(-1).astype(np.int64)


def _whole_floats(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Return whole floats as integers; what is not a number becomes -1."""
    none = np.isnan(array)
    plain = np.where(none, -1, array)
    odd = ~np.isfinite(plain) | (plain != np.floor(plain))
    if odd.any():
        row = int(odd.argmax())
        raise _no_class(f"{array[row]:g}", row, where)
    if plain.size and np.abs(plain).max() >= 2**53:
        return np.array([int(value) for value in plain.tolist()], dtype=object)
    return plain.astype(np.int64)


def _distinct_objects(array: NDArray[Any], where: str) -> tuple[list[_Key], NDArray[np.int64]]:
    known: dict[_Key, int] = {}
    owner = np.empty(len(array), dtype=np.int64)
    for row, value in enumerate(array.tolist()):
        owner[row] = known.setdefault(_key(value, row, where), len(known))
    return list(known), owner


def _key(value: Any, row: int, where: str) -> _Key:
    """Return a label as a whole number, a word, or None where it is none."""
    if isinstance(value, Tensor | np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        value = value.item()
    # What pandas writes for a value that is not there equals nothing, not even itself.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, numbers.Integral):
        if abs(int(value)) >= 10**100:
            raise _no_class("of more than 100 digits", row, where)
        return int(value)
    try:
        # Decimals and fractions too.
        real = float(value) if not isinstance(value, complex) else math.inf
        if math.isnan(real):
            return None
        if math.isfinite(real) and value == int(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise _no_class(repr(value)[:_SHOWN], row, where)


def _flat(values: Any, where: str) -> NDArray[Any]:
    """Return labels as an array ``(n,)``, of objects where they are of several kinds."""
    if isinstance(values, Tensor):
        plain = values.detach().cpu()
        array = (plain.float() if plain.dtype in (torch.bfloat16, torch.float16) else plain).numpy()
    elif isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "to_numpy"):
        array = values.to_numpy()
    else:
        array = _objects(values, where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        raise UsageError(
            f"{where} has several labels per sample, of shape {array.shape}; give one label per sample (for "
            f"one-hot labels, their argmax)"
        )
    if array.ndim != 1:
        raise UsageError(
            f"the labels of {where} have shape {array.shape}; give one label per sample, as (n,)"
        )
    return array


def _objects(values: Any, where: str) -> NDArray[Any]:
    """Return a sequence as an array of its own items, which NumPy would make alike."""
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise UsageError(f"the labels of {where} are {type(values).__name__}; give one label per sample")
    items = list(values)
    if items and all(isinstance(item, list | tuple | np.ndarray | Tensor) for item in items):
        if any((item.numel() if isinstance(item, Tensor) else np.size(item)) != 1 for item in items):
            raise UsageError(
                f"{where} has several labels per sample; Attar distills single-label data, so give one (for "
                f"one-hot labels, their argmax)"
            )
        items = [item if not isinstance(item, list | tuple) else item[0] for item in items]
    array = np.empty(len(items), dtype=object)
    for row, item in enumerate(items):
        array[row] = item
    return array
