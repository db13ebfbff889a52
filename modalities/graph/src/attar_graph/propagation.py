"""Propagation of features, a few at a time, with what is too large for memory kept in a file."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from attar.cache import cache_root
from attar.files import disk_errors
from torch import Tensor

from attar_graph.adjacency import Adjacency

__all__ = ["propagate"]

_AT_ONCE = 2**26
"""Bytes of features that are propagated at once; some multiples of it are taken beside the result."""


def propagate(adjacency: Adjacency, features: Tensor, hops: int, memory: int) -> Tensor:
    """Return ``A^hops X`` of constant features, ``(n, d)``.

    Columns are propagated in blocks, so that nothing but the result has the size of the features.

    Args:
        adjacency: A, normalized as it shall be.
        features: X, ``(n, d)``.
        hops: Times that features are propagated.
        memory: Bytes of the result above which it lies in a file, where it is on the CPU; 0 for
            never. See :func:`_in_file`.

    Raises:
        UsageError: If the disk of the file is full or cannot be written.
    """
    n, d = features.shape
    width = max(1, _AT_ONCE // max(1, n * features.element_size()))
    large = 0 < memory < features.nbytes and features.device.type == "cpu"
    if hops == 0 or (width >= d and not large):
        return _hops(adjacency, features, hops)
    found = _in_file(features) if large else torch.empty_like(features)
    for start in range(0, d, width):
        block = slice(start, start + width)
        found[:, block] = _hops(adjacency, features[:, block].contiguous(), hops)
    return found


def _hops(adjacency: Adjacency, values: Tensor, hops: int) -> Tensor:
    for _ in range(hops):
        values = adjacency.matmul(values)
    return values


def _in_file(like: Tensor) -> Tensor:
    """Return a tensor of zeros that lies in a file of the cache folder, as long as it is in use.

    The file has no name where the platform allows that, so that not even a killed process leaves
    it behind; on Windows it goes when it is closed. It is not in the folder for temporary files,
    which on many machines is memory.
    """
    folder = cache_root()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # The mapping keeps the file alive after it is closed here.
        with tempfile.TemporaryFile(dir=folder) as file:
            # Written out, since a mapping that finds the disk full kills the process.
            piece = bytes(_AT_ONCE)
            for start in range(0, like.nbytes, _AT_ONCE):
                file.write(piece[: like.nbytes - start])
            file.flush()
            kind = torch.empty(0, dtype=like.dtype).numpy().dtype
            return torch.from_numpy(np.memmap(file, kind, "r+", shape=tuple(like.shape)))
