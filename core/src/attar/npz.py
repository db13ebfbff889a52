"""Reading NumPy archives that others wrote: no pickle, and nothing larger than the file says."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attar.errors import UsageError

__all__ = ["read_npz"]


def read_npz(path: Path, example: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name.

    Args:
        path: The file.
        example: How the user writes such a file, for the error.

    Raises:
        UsageError: If it is no archive of plain arrays, is damaged, or holds pickled objects.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return {name.removesuffix(".npy"): _read_npy(archive, name) for name in archive.namelist()}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        tokenize.TokenError,
        SyntaxError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise UsageError(
            f"{path.name} is no NumPy archive of plain arrays; write it with {example}"
        ) from error


def _read_npy(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return an array of an archive after checking that it is as large as its header says."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = reader(member)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > size:
            raise ValueError(name)
    with archive.open(name) as member:
        found: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return found
