"""Reading NumPy archives that others wrote: no pickle, and nothing larger than the file says."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attar.errors import UsageError
from attar.limits import check_unpacked

__all__ = ["check_archive", "read_npz"]


def check_archive(path: Path, names: Collection[str] | None = None) -> None:
    """Refuse an archive whose arrays unpack to much more than the file takes.

    Args:
        path: The file.
        names: The arrays that will be read; None for all.

    Raises:
        UsageError: If they do.
        Exception: Of any kind, if it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        sizes = [
            member.file_size
            for member in archive.infolist()
            if names is None or member.filename.removesuffix(".npy") in names
        ]
    check_unpacked(sum(sizes), path.stat().st_size, repr(str(path)))


def read_npz(path: Path, example: str, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name.

    Args:
        path: The file.
        example: How the user writes such a file, for the error.
        names: The arrays that are read; of others the name is returned with nothing in it. None for all.

    Raises:
        UsageError: If it is no archive of plain arrays, is damaged, holds pickled objects, or unpacks to
            much more than the file takes.
    """
    if not path.is_file():
        raise UsageError(f"{str(path)!r} is no file; give a .npz file")
    try:
        check_archive(path, names)
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            if len(set(members)) < len(archive.namelist()):
                raise ValueError("an array stands there twice, or another file")
            return {
                name.removesuffix(".npy"): _read_npy(archive, name)
                if names is None or name.removesuffix(".npy") in names
                else np.empty(0)
                for name in members
            }
    except UsageError:
        raise
    except Exception as error:
        # A damaged archive may raise anything.
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
        if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
            raise ValueError(name)
    with archive.open(name) as member:
        found: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return found
