"""Labels of texts: words, numbers, or numbers of named classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attar.errors import UsageError
from attar.settings import unknown
from numpy.typing import NDArray

__all__ = ["class_names", "class_numbers"]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _plain(value: Any, row: int, where: str) -> str:
    """Return a label as text; whole numbers are written alike, however they are stored."""
    missing = value is None or (isinstance(value, str) and not value.strip())
    if missing or (isinstance(value, float) and math.isnan(value)):
        raise UsageError(f"{where} has no label in row {row}; remove such rows")
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    text = value.strip() if isinstance(value, str) else str(value)
    number = _number(text)
    if number is None:
        if isinstance(value, str):
            return text
        raise UsageError(
            f"{where} has the label {value!r} in row {row}; give names of classes or whole numbers"
        )
    if number != int(number):
        raise UsageError(
            f"{where} has the label {text} in row {row}, which is no class; give names of classes "
            f"or whole numbers"
        )
    return str(int(number))


def _order(name: str) -> tuple[bool, float, str]:
    number = _number(name)
    return number is None, number or 0.0, name


def class_names(values: Sequence[Any], where: str) -> tuple[str, ...]:
    """Return the classes that labels name: numbers in their order, then words in theirs.

    Args:
        values: Labels as they were read: words, whole numbers, or both as text.
        where: What the data are called in errors.

    Raises:
        UsageError: If a label is missing or no class, or there is only one class.
    """
    found = sorted({_plain(value, row, where) for row, value in enumerate(values)}, key=_order)
    if len(found) < 2:
        have = f"only the label {found[0]!r}" if found else "no rows"
        raise UsageError(f"{where} has {have}; give texts of at least two classes")
    return tuple(found)


def class_numbers(
    values: Sequence[Any], classes: Sequence[str], named: bool, where: str
) -> NDArray[np.int64]:
    """Return labels as numbers of `classes`, int64 ``(n,)``.

    Args:
        values: Labels as they were read.
        classes: The classes.
        named: Whether whole numbers mean places in `classes`, as in a Hugging Face data set.
        where: What the data are called in errors.

    Raises:
        UsageError: If a label is missing or unknown.
    """
    places = {str(place) if named else name: place for place, name in enumerate(classes)}
    if named:
        places.update({name: place for place, name in enumerate(classes)})
    numbers = []
    for row, value in enumerate(values):
        text = _plain(value, row, where)
        if text not in places:
            raise UsageError(f"row {row} of {where}: {unknown('label', text, classes)}")
        numbers.append(places[text])
    return np.array(numbers, dtype=np.int64)
