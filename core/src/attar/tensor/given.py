"""Data given in Python: pairs of arrays or tensors, and map-style data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.classes import Classes, find_classes
from attar.errors import UsageError
from attar.plugins import GivenData

__all__ = ["Pairs", "as_array", "read_given", "read_pairs"]


def as_array(value: Any, where: str) -> NDArray[Any]:
    """Return a tensor, array or number as an array.

    Args:
        value: A tensor on any device, an array, or what NumPy makes one of.
        where: What it is called in errors.

    Raises:
        UsageError: If it is none of these.
    """
    if isinstance(value, Tensor):
        plain = value.detach().cpu()
        # NumPy has no bfloat16.
        return (plain.to(torch.float32) if plain.dtype == torch.bfloat16 else plain).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise UsageError(f"{where} is no array of numbers; make all samples of one shape") from error
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise UsageError(f"{where} is no array of numbers, but of {type(value).__name__}")
    # PyTorch has neither other orders of bytes nor more digits than 64 bits.
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def read_pairs(
    data: Any, name: str, convert: Callable[[Any, str], NDArray[Any]] = as_array
) -> tuple[NDArray[Any], Any]:
    """Return samples ``(n, *feature)`` and their labels, as they are given in Python.

    Args:
        data: A pair of samples and labels, or a map-style data set of such pairs, which is
            read into memory.
        name: What the data are called in errors.
        convert: Turns one sample of a data set into an array.

    Raises:
        UsageError: If it is neither, or samples differ in shape.
    """
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise UsageError(f"{name!r} is a sequence of {len(data)}; give a pair of samples and labels")
        return as_array(data[0], f"the samples of {name!r}"), data[1]
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise UsageError(
            f"{name!r} is {type(data).__name__}; give a pair of samples and labels, or a data set with "
            f"__len__ and __getitem__"
        )
    return _read_dataset(data, name, convert)


def _read_dataset(
    data: Any, name: str, convert: Callable[[Any, str], NDArray[Any]]
) -> tuple[NDArray[Any], list[Any]]:
    count = len(data)
    values: NDArray[Any] | None = None
    labels = []
    for row in range(count):
        where = f"sample {row} of {name!r}"
        pair = data[row]
        if not isinstance(pair, tuple | list) or len(pair) < 2:
            raise UsageError(f"{where} is {type(pair).__name__}; return a pair of sample and label")
        sample = convert(pair[0], where)
        if values is None:
            values = np.empty((count, *sample.shape), dtype=sample.dtype)
        if sample.shape != values.shape[1:]:
            raise UsageError(
                f"{where} has shape {sample.shape}, the first {values.shape[1:]}; "
                f"make all samples of one shape"
            )
        values[row] = sample
        labels.append(pair[1])
    if values is None:
        raise UsageError(f"{name!r} is empty; give at least one sample per class")
    return values, labels


@dataclass(frozen=True)
class Pairs:
    """Samples that have labels, with these as numbers of classes.

    Attributes:
        classes: Names of the classes.
        train: Training samples ``(n, *feature)`` and labels, int64 ``(n,)``.
        test: Test samples and labels likewise, or None.
    """

    classes: tuple[str, ...]
    train: tuple[NDArray[Any], NDArray[np.int64]]
    test: tuple[NDArray[Any], NDArray[np.int64]] | None


def read_given(given: GivenData, name: str, convert: Callable[[Any, str], NDArray[Any]] = as_array) -> Pairs:
    """Return data given in Python with their classes.

    Args:
        given: The training data, perhaps test data and names of the classes.
        name: What the data are called in errors.
        convert: Turns one sample of a data set into an array.

    Raises:
        UsageError: As :func:`read_pairs` and :func:`attar.classes.find_classes`.
    """
    values, labels = read_pairs(given.train, name, convert)
    found = find_classes(labels, repr(name), given.classes)
    test = None
    if given.test is not None:
        held = f"{name} (test)"
        test = _numbered(*read_pairs(given.test, held, convert), found, held)
    return Pairs(found.names, _numbered(values, labels, found, name), test)


def _numbered(
    values: NDArray[Any], labels: Any, classes: Classes, name: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    numbers = classes.numbers(labels, repr(name))
    count = len(values) if values.ndim else 0
    if count != len(numbers):
        raise UsageError(f"{name} has {count} samples but {len(numbers)} labels; give one label per sample")
    return values, numbers
