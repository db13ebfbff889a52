"""Data given in Python: pairs of arrays or tensors, and map-style data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.errors import UsageError

__all__ = ["as_array", "read_pairs"]


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
    return array


def read_pairs(
    data: Any, name: str, convert: Callable[[Any, str], NDArray[Any]] = as_array
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return samples ``(n, *feature)`` and integer labels ``(n,)`` of data given in Python.

    Args:
        data: A pair of samples and labels, or a map-style data set of such pairs, which is
            read into memory.
        name: What the data are called in errors.
        convert: Turns one sample of a data set into an array.

    Raises:
        UsageError: If it is neither, samples differ in shape, or labels are no whole numbers.
    """
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise UsageError(f"{name!r} is a sequence of {len(data)}; give a pair of samples and labels")
        values, labels = (
            as_array(data[0], f"the samples of {name!r}"),
            as_array(data[1], f"labels of {name!r}"),
        )
        return values, _whole(labels, name)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise UsageError(
            f"{name!r} is {type(data).__name__}; give a pair of samples and labels, or a data set with "
            f"__len__ and __getitem__"
        )
    return _read_dataset(data, name, convert)


def _read_dataset(
    data: Any, name: str, convert: Callable[[Any, str], NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any]]:
    count = len(data)
    if count == 0:
        raise UsageError(f"{name!r} is empty; give at least one sample per class")
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
        labels.append(as_array(pair[1], f"the label of {where}"))
    if values is None or any(label.size != 1 for label in labels):
        raise UsageError(f"{name!r} has several labels per sample; Attar distills single-label data")
    return values, _whole(np.array([label.reshape(()) for label in labels]), name)


def _whole(labels: NDArray[Any], name: str) -> NDArray[Any]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise UsageError(f"{name!r} has several labels per sample; Attar distills single-label data")
    labels = labels.reshape(-1) if labels.ndim == 2 else labels
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(f"the labels of {name!r} must be whole numbers, one per sample, not {labels.dtype}")
    return labels.astype(np.int64)
