"""Numbers from files and from Python: nothing is ever unpickled, and everything is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from attar.npz import check_archive
from attar.tensor.given import as_array
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["careful", "dense", "real", "rows_of", "unpacked", "whole"]

_FREE_VALUES, _MOST_TIMES = 2**26, 1024
"""Values of any matrix that is made dense, and of others per entry; more are a damaged shape."""


@contextmanager
def careful(path: Path, fix: str) -> Iterator[None]:
    """Turn whatever a damaged file raises into one sentence.

    Args:
        path: The file.
        fix: What the user can do, to end the sentence.

    Raises:
        UsageError: If the block raises any exception.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        # What a compressed file raises has no number.
        if isinstance(error, OSError) and error.errno is not None:
            raise UsageError(f"{str(path)!r} cannot be read ({error.strerror}); permit it") from error
        raise UsageError(f"{path.name} is damaged or not what it should be; {fix}") from error


def unpacked(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return some arrays of an ``.npz`` file; the others, which may be pickled, are left alone.

    Args:
        path: The file.
        names: The arrays that are needed.

    Raises:
        Exception: Of any kind, if the file is damaged or such an array holds pickled objects.
    """
    check_archive(path, names)
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in names}


def rows_of(
    starts: NDArray[Any], columns: NDArray[Any], shape: Iterable[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return row and column of each entry of a matrix in compressed rows, int64.

    Args:
        starts: Where each row starts, ``(rows + 1,)``.
        columns: Column of each entry, ``(k,)``.
        shape: Number of rows and of columns.

    Raises:
        ValueError: If these do not fit one another.
    """
    rows, width = (int(side) for side in shape)
    if starts.shape != (rows + 1,) or starts[0] != 0 or starts[-1] != len(columns) or columns.ndim != 1:
        raise ValueError("rows do not start and end where the entries do")
    if (np.diff(starts) < 0).any() or (len(columns) and not 0 <= columns.min() <= columns.max() < width):
        raise ValueError("an entry lies outside of the matrix")
    return np.repeat(np.arange(rows, dtype=np.int64), np.diff(starts)), columns.astype(np.int64)


def dense(
    values: NDArray[Any], starts: NDArray[Any], columns: NDArray[Any], shape: Iterable[int]
) -> NDArray[np.float32]:
    """Return a matrix in compressed rows as it is, float32; entries given twice are added up.

    Args:
        values: The entries, ``(k,)``.
        starts: Where each row starts, ``(rows + 1,)``.
        columns: Column of each entry, ``(k,)``.
        shape: Number of rows and of columns.

    Raises:
        ValueError: If these do not fit one another.
    """
    rows, width = (int(side) for side in shape)
    places = rows_of(starts, columns, shape)
    most = max(_FREE_VALUES, _MOST_TIMES * len(values))
    if values.shape != columns.shape or rows * width > most:
        raise ValueError("values do not fit the matrix")
    matrix = np.zeros((rows, width), dtype=np.float32)
    np.add.at(matrix, places, values)
    return matrix


def real(value: Any, where: str) -> Tensor:
    """Return numbers as float32, a copy.

    Args:
        value: A tensor on any device, sparse or not, or what NumPy makes an array of.
        where: What it is called in errors.

    Raises:
        UsageError: If these are no real numbers.
    """
    array = as_array(_strided(value), where)
    if np.iscomplexobj(array):
        raise UsageError(f"{where} holds {array.dtype}; give real numbers")
    return torch.from_numpy(array.astype(np.float32))


def whole(value: Any, where: str) -> Tensor:
    """Return whole numbers as int64, a copy.

    Args:
        value: As for :func:`real`.
        where: What it is called in errors.

    Raises:
        UsageError: If these are no whole numbers.
    """
    array = as_array(_strided(value), where)
    # What is empty has no type of its own.
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"{where} holds {array.dtype}; give whole numbers")
    return torch.from_numpy(array.astype(np.int64))


def _strided(value: Any) -> Any:
    return value.to_dense() if isinstance(value, Tensor) and value.layout != torch.strided else value
