"""Decoded pixels in a memory-mapped file: decoded once, shared by runs and processes.

An index remembers the hash of every image for as long as names, sizes and times of the
files stay as they were, as version control systems do; the pixels themselves are kept by
content, form and versions. So an unchanged folder is neither read nor decoded again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from attar.cache import cache_root
from attar.errors import UsageError
from attar.files import disk_errors
from attar.plugins import CacheMode
from attar.progress import progress, silent
from attar.tensor import Items
from numpy.typing import NDArray
from torch import Tensor

from attar_image.decode import Form, decode

__all__ = ["DecodedItems", "ImageSource", "PixelItems", "items_of"]

logger = logging.getLogger(__name__)

_DIGEST = 16
_PIECE = 512
_MOST_CACHED = 32 * 2**30


class ImageSource(Protocol):
    """Encoded images with labels, in an order that stays."""

    @property
    def labels(self) -> Tensor:
        """Class of each image, int64 ``(n,)``."""

    @property
    def random_access(self) -> bool:
        """Whether :meth:`fetch` can be called."""

    def __len__(self) -> int: ...

    def stamp(self) -> str:
        """Return a hash that changes whenever contents may have changed; cheap."""

    def where(self, row: int) -> str:
        """Return what an image is called in errors."""

    def fetch(self, row: int) -> bytes:
        """Return the bytes of one image."""

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each image in order, what reads it; the calls may come from threads."""


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _fingerprint(hashes: NDArray[Any], labels: Tensor, feature: tuple[int, ...], rows: Tensor | None) -> str:
    digest = hashlib.blake2b(f"{feature}".encode(), digest_size=16)
    chosen = slice(None) if rows is None else rows.numpy()
    digest.update(np.ascontiguousarray(hashes[chosen]).data)
    digest.update(np.ascontiguousarray(labels.numpy()[chosen]).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class PixelItems:
    """Images in a memory-mapped file; a copy in another process maps the same file.

    Attributes:
        path: The file, a NumPy array of uint8 ``(n, channels, side, side)``.
        labels: Class of each image, int64 ``(n,)``.
        hashes: Hash of each image's encoded bytes, uint8 ``(n, 16)``.
        feature: Shape of one image.
    """

    path: Path
    labels: Tensor
    hashes: NDArray[Any]
    feature: tuple[int, ...]

    @cached_property
    def _pixels(self) -> NDArray[Any]:
        pixels: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pixels"}

    def read(self, rows: Tensor) -> Tensor:
        """Return images as uint8 ``(k, channels, side, side)``."""
        return torch.from_numpy(np.ascontiguousarray(self._pixels[rows.numpy()]))

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of contents, labels and the form images are brought to."""
        return _fingerprint(self.hashes, self.labels, self.feature, rows)

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the images as uint8 pixels."""
        return len(rows) * int(np.prod(self.feature))


@dataclass(frozen=True)
class DecodedItems:
    """Images decoded each time that they are read.

    Attributes:
        source: Where they come from.
        form: What they are brought to.
        hashes: Hash of each image's encoded bytes, uint8 ``(n, 16)``.
        threads: How many are read at a time.
    """

    source: ImageSource
    form: Form
    hashes: NDArray[Any]
    threads: int = 1

    @property
    def labels(self) -> Tensor:
        """Class of each image, int64 ``(n,)``."""
        return self.source.labels

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.form.feature

    def _decode(self, row: int) -> NDArray[Any]:
        data, where = self.source.fetch(row), self.source.where(row)
        if _hash(data) != self.hashes[row].tobytes():
            raise UsageError(f"{where} has been changed since it was first read; start the run again")
        return decode(data, where, self.form)

    def read(self, rows: Tensor) -> Tensor:
        """Return images as uint8 ``(k, channels, side, side)``.

        Raises:
            UsageError: If an image is gone, or is not what it was when it was first read.
        """
        pixels = np.empty((len(rows), *self.feature), dtype=np.uint8)
        with _pool(self.threads if len(rows) > 1 else 1) as each:
            for place, image in enumerate(each(self._decode, rows.tolist())):
                pixels[place] = image
        return torch.from_numpy(pixels)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of contents, labels and the form images are brought to."""
        return _fingerprint(self.hashes, self.labels, self.feature, rows)

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the images as uint8 pixels."""
        return len(rows) * int(np.prod(self.feature))


@contextmanager
def _pool(threads: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a ``map`` over threads: Pillow and file systems let go of the interpreter."""
    if threads <= 1:
        yield map
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def items_of(source: ImageSource, form: Form, *, cache: CacheMode, threads: int, show: bool = False) -> Items:
    """Return the images of a source as items.

    Args:
        source: The encoded images.
        form: What they are brought to.
        cache: ``disk`` decodes once into a memory-mapped file, ``none`` whenever images are
            read, ``auto`` chooses ``disk`` where they take at most 32 GiB and a half of what
            is free.
        threads: Threads that read and decode.
        show: Whether progress is shown.

    Raises:
        UsageError: If an image is damaged, or the cache cannot be written.
    """
    from filelock import FileLock

    folder = cache_root() / "images"
    size = len(source) * int(np.prod(form.feature))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    keep = cache == "disk" or not source.random_access or (size <= _MOST_CACHED and size <= free // 2)
    if cache == "none" and source.random_access:
        keep = False
    if keep and size > free:
        raise UsageError(
            f"the pixels need {size / 1e9:.1f} GB and {str(folder)!r} has {free / 1e9:.1f} GB left; "
            f"free some, choose another folder with ATTAR_CACHE, or lower data.size"
        )
    index = folder / f"{source.stamp()}.npy"
    with FileLock(f"{index}.lock"):
        hashes = _known_hashes(index, len(source))
        if keep:
            path = None if hashes is None else _pixel_file(folder, hashes, form)
            if hashes is None or path is None or not path.is_file():
                hashes, path = _build(source, form, folder, threads, show)
                _write_array(index, hashes)
            return PixelItems(path, source.labels, hashes, form.feature)
        if hashes is None:
            logger.info("reading every image once, to tell later whether one was changed")
            hashes = _read_hashes(source, threads, show)
            _write_array(index, hashes)
    return DecodedItems(source, form, hashes, threads)


def _pixel_file(folder: Path, hashes: NDArray[Any], form: Form) -> Path:
    digest = hashlib.blake2b(digest_size=16)
    # Decoders change from release to release.
    digest.update(f"{form}{version('attar-image')}{version('pillow')}".encode())
    digest.update(np.ascontiguousarray(hashes).data)
    return folder / f"{digest.hexdigest()}-{form.channels}x{form.side}.npy"


def _known_hashes(index: Path, n: int) -> NDArray[Any] | None:
    try:
        hashes: NDArray[Any] = np.load(index, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # None yet, or a damaged one, which is made anew.
    return hashes if hashes.shape == (n, _DIGEST) and hashes.dtype == np.uint8 else None


def _write_array(path: Path, array: NDArray[Any]) -> None:
    aside = path.with_name(f".{uuid.uuid4().hex[:8]}.npy")
    with disk_errors(path):
        try:
            np.save(aside, array, allow_pickle=False)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _pieces(source: ImageSource, show: bool, what: str) -> Iterator[list[tuple[int, Callable[[], bytes]]]]:
    """Yield the rows of a source with what reads them, some at a time."""
    shown = progress if show else silent
    with shown(len(source), what) as advance:
        numbered = enumerate(source.scan())
        done = 0
        while piece := list(islice(numbered, _PIECE)):
            yield piece
            done += len(piece)
            advance(done, "")
    if done != len(source):
        raise UsageError(f"{done:,} images were found where {len(source):,} were announced; repair the data")


def _read_hashes(source: ImageSource, threads: int, show: bool) -> NDArray[Any]:
    hashes = np.empty((len(source), _DIGEST), dtype=np.uint8)
    with _pool(threads) as each:
        for piece in _pieces(source, show, "reading images"):
            found = each(lambda pair: _hash(pair[1]()), piece)
            for (row, _), digest in zip(piece, found, strict=True):
                hashes[row] = np.frombuffer(digest, dtype=np.uint8)
    return hashes


def _build(
    source: ImageSource, form: Form, folder: Path, threads: int, show: bool
) -> tuple[NDArray[Any], Path]:
    """Read and decode every image; return the hashes and the file of pixels."""
    hashes = np.empty((len(source), _DIGEST), dtype=np.uint8)
    aside = folder / f".{uuid.uuid4().hex[:8]}.npy"

    def work(pair: tuple[int, Callable[[], bytes]]) -> tuple[bytes, NDArray[Any]]:
        data = pair[1]()
        return _hash(data), decode(data, source.where(pair[0]), form)

    try:
        # Written in order rather than through a mapping: a full disk is then an error, not a crash.
        with disk_errors(aside), open(aside, "wb") as file, _pool(threads) as each:
            shape = (len(source), *form.feature)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in _pieces(source, show, "decoding images"):
                for (row, _), (digest, image) in zip(piece, each(work, piece), strict=True):
                    hashes[row] = np.frombuffer(digest, dtype=np.uint8)
                    file.write(image.data)
            file.flush()
            os.fsync(file.fileno())
        path = _pixel_file(folder, hashes, form)
        # Another process may have the same pixels mapped, which some systems do not let go.
        if not path.is_file():
            with disk_errors(path):
                os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return hashes, path
