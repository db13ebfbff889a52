"""Decoded samples in a memory-mapped file: decoded once, shared by runs and processes.

An index remembers the hash of every file for as long as names, sizes and times of the
files stay as they were, as version control systems do; what was decoded is kept by
content, form and versions. So an unchanged folder is neither read nor decoded again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from attar.cache import cache_root
from attar.encoded.bad import Bad, OnBad, leave_out, reason, refuse
from attar.encoded.source import Decoder, EncodedSource
from attar.errors import UsageError
from attar.files import disk_errors
from attar.plugins import CacheMode
from attar.progress import progress, silent
from attar.tensor.items import Items, ItemsView

__all__ = ["SECTION", "DecodedItems", "DecodedSplits", "MappedItems", "items_of", "splits_of"]

logger = logging.getLogger(__name__)

SECTION = "decoded"
"""Folder of the cache."""

_DIGEST = 16
_PIECE = 512
_MOST_CACHED = 32 * 2**30


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _fingerprint(hashes: NDArray[Any], labels: Tensor, form: str, rows: Tensor | None) -> str:
    digest = hashlib.blake2b(form.encode(), digest_size=16)
    chosen = slice(None) if rows is None else rows.numpy()
    digest.update(np.ascontiguousarray(hashes[chosen]).data)
    digest.update(np.ascontiguousarray(labels.numpy()[chosen]).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class MappedItems:
    """Samples in a memory-mapped file; a copy in another process maps the same file.

    Attributes:
        path: The file, a NumPy array ``(n, *feature)``.
        labels: Class of each sample, int64 ``(n,)``.
        hashes: Hash of each sample's encoded bytes, uint8 ``(n, 16)``.
        decoder: What decoded them.
        names: Name of each sample's file; () where they have none.
    """

    path: Path
    labels: Tensor
    hashes: NDArray[Any]
    decoder: Decoder
    names: tuple[str, ...] = ()

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.decoder.feature

    @cached_property
    def _values(self) -> NDArray[Any]:
        values: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return values

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_values"}

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)``."""
        return torch.from_numpy(np.ascontiguousarray(self._values[rows.numpy()]))

    def name(self, row: int) -> str:
        """Return the name of a sample's file, or "" where it has none."""
        return self.names[row] if self.names else ""

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of contents, labels and the form that samples are brought to."""
        return _fingerprint(self.hashes, self.labels, self.decoder.form, rows)

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples in their cheapest lossless form."""
        return len(rows) * self.decoder.nbytes


@dataclass(frozen=True)
class DecodedItems:
    """Samples decoded each time that they are read.

    Attributes:
        source: Where they come from.
        decoder: What decodes them.
        hashes: Hash of each sample's encoded bytes, uint8 ``(n, 16)``.
        threads: How many are read at a time.
    """

    source: EncodedSource
    decoder: Decoder
    hashes: NDArray[Any]
    threads: int = 1

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""
        return self.source.labels

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.decoder.feature

    def _decode(self, row: int) -> NDArray[Any]:
        data, where = self.source.fetch(row), self.source.where(row)
        if _hash(data) != self.hashes[row].tobytes():
            raise UsageError(f"{where} has been changed since it was first read; start the run again")
        return self.decoder(data, where)

    def read(self, rows: Tensor) -> Tensor:
        """Return samples ``(k, *feature)``.

        Raises:
            UsageError: If a file is gone, or is not what it was when it was first read.
        """
        values = np.empty((len(rows), *self.feature), dtype=self.decoder.dtype)
        with _pool(self.threads if len(rows) > 1 else 1) as each:
            for place, sample in enumerate(each(self._decode, rows.tolist())):
                values[place] = sample
        return torch.from_numpy(values)

    def name(self, row: int) -> str:
        """Return the name of a sample's file, or "" where it has none."""
        return self.source.name(row)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of contents, labels and the form that samples are brought to."""
        return _fingerprint(self.hashes, self.labels, self.decoder.form, rows)

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the samples in their cheapest lossless form."""
        return len(rows) * self.decoder.nbytes


@contextmanager
def _pool(threads: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a ``map`` over threads: decoders and file systems let go of the interpreter."""
    if threads <= 1:
        yield map
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class DecodedSplits:
    """Samples of several splits, brought to one form.

    Attributes:
        items: The samples of each split, without what could not be read.
        skipped: Names of the samples that could not be read.
    """

    items: Mapping[str, Items]
    skipped: tuple[str, ...] = ()


def splits_of(
    sources: Mapping[str, EncodedSource],
    decoder: Decoder,
    *,
    cache: CacheMode,
    threads: int,
    show: bool = False,
    bad: OnBad = "error",
) -> DecodedSplits:
    """Return the samples of the splits of one data set as items.

    Args:
        sources: The encoded samples of each split; those called ``train`` keep every class.
        decoder: What decodes them.
        cache: As for :func:`items_of`.
        threads: Threads that read and decode.
        show: Whether progress is shown.
        bad: What happens where samples cannot be read.

    Raises:
        UsageError: If files are damaged and not left out, or the cache cannot be written.
    """
    whole = {split: _items(source, decoder, cache, threads, show) for split, source in sources.items()}
    if bad == "error":
        refuse([each for _, found in whole.values() for each in found], decoder.noun)
    items: dict[str, Items] = {}
    skipped: list[str] = []
    for split, (every, found) in whole.items():
        skipped += leave_out(found, sources[split], decoder.noun, training=split == "train")
        good = torch.ones(len(every.labels), dtype=torch.bool)
        good[[each.row for each in found]] = False
        items[split] = ItemsView(every, good.nonzero()[:, 0]) if found else every
    return DecodedSplits(items, tuple(skipped))


def items_of(
    source: EncodedSource, decoder: Decoder, *, cache: CacheMode, threads: int, show: bool = False
) -> Items:
    """Return the samples of a source as items.

    Args:
        source: The encoded samples.
        decoder: What decodes them.
        cache: ``disk`` decodes once into a memory-mapped file, ``none`` whenever samples are
            read, ``auto`` chooses ``disk`` where they take at most 32 GiB and a half of what
            is free.
        threads: Threads that read and decode.
        show: Whether progress is shown.

    Raises:
        UsageError: If files are damaged, or the cache cannot be written.
    """
    return splits_of({"train": source}, decoder, cache=cache, threads=threads, show=show).items["train"]


def _items(
    source: EncodedSource, decoder: Decoder, cache: CacheMode, threads: int, show: bool
) -> tuple[Items, list[Bad]]:
    """Return all samples of a source, and those of them that cannot be read and hold nothing."""
    from filelock import FileLock

    folder = cache_root() / SECTION
    size = len(source) * int(np.prod(decoder.feature)) * np.dtype(decoder.dtype).itemsize
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    keep = cache == "disk" or not source.random_access or (size <= _MOST_CACHED and size <= free // 2)
    if cache == "none" and source.random_access:
        keep = False
    if keep and size > free:
        raise UsageError(
            f"the decoded {decoder.noun}s need {size / 1e9:.1f} GB and {str(folder)!r} has "
            f"{free / 1e9:.1f} GB left; free some, choose another folder with ATTAR_CACHE, or ask for "
            f"smaller {decoder.noun}s"
        )
    index = folder / f"{source.stamp()}.npy"
    with FileLock(f"{index}.lock"):
        hashes = _known_hashes(index, len(source))
        path = None if hashes is None or not keep else _values_file(folder, hashes, decoder)
        bad = (
            None
            if hashes is None or (keep and not (path and path.is_file()))
            else _bad(source, hashes, decoder)
        )
        if hashes is None or bad is None:
            logger.info("reading every %s once, to tell later whether one was changed", decoder.noun)
            hashes, bad, path = _read(source, decoder, folder if keep else None, threads, show)
            _write_array(index, hashes)
    if path is not None:
        return MappedItems(path, source.labels, hashes, decoder, _names(source)), bad
    return DecodedItems(source, decoder, hashes, threads), bad


def _bad(source: EncodedSource, hashes: NDArray[Any], decoder: Decoder) -> list[Bad] | None:
    """Return the samples that an index marks as bad and that still are; None if one can be read by now."""
    rows = set(np.flatnonzero(hashes.sum(axis=1) == 0).tolist())
    found: list[Bad] = []
    for row, read in enumerate(source.scan() if rows else ()):
        if len(found) == len(rows):
            break
        if row not in rows:
            continue
        _, sample, wrong = _decoded(read, decoder, source.where(row))
        if sample is not None:
            return None
        found.append(Bad(row, wrong))
    return found


def _decoded(
    read: Callable[[], bytes], decoder: Decoder, where: str
) -> tuple[bytes, NDArray[Any] | None, str]:
    """Return the hash of a sample's bytes and the sample; or zeros, None and what is wrong with it."""
    try:
        data = read()
        sample = decoder(data, where)
        if not bool(np.isfinite(sample).all()):
            raise UsageError(f"{where} decodes to NaN or infinite values; remove or repair it")
        return _hash(data), sample, ""
    except UsageError as error:
        return bytes(_DIGEST), None, reason(error)


def _names(source: EncodedSource) -> tuple[str, ...]:
    names = tuple(source.name(row) for row in range(len(source)))
    return names if any(names) else ()


def _values_file(folder: Path, hashes: NDArray[Any], decoder: Decoder) -> Path:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{decoder.form}{decoder.versions}".encode())
    digest.update(np.ascontiguousarray(hashes).data)
    return folder / f"{digest.hexdigest()}-{'x'.join(map(str, decoder.feature))}.npy"


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


def _pieces(
    source: EncodedSource, show: bool, doing: str, noun: str
) -> Iterator[list[tuple[int, Callable[[], bytes]]]]:
    """Yield the rows of a source with what reads them, some at a time."""
    shown = progress if show else silent
    with shown(len(source), f"{doing} {noun}s") as advance:
        numbered = enumerate(source.scan())
        done = 0
        while piece := list(islice(numbered, _PIECE)):
            yield piece
            done += len(piece)
            advance(done, "")
    if done != len(source):
        raise UsageError(f"{done:,} {noun}s were found where {len(source):,} were announced; repair the data")


def _read(
    source: EncodedSource, decoder: Decoder, folder: Path | None, threads: int, show: bool
) -> tuple[NDArray[Any], list[Bad], Path | None]:
    """Read and decode every sample; return the hashes, what is bad, and the file of values if one is kept.

    The hash of a sample that cannot be read is zero, and so are its values.
    """
    hashes = np.empty((len(source), _DIGEST), dtype=np.uint8)
    bad: list[Bad] = []
    nothing = np.zeros(decoder.feature, dtype=decoder.dtype)

    def work(pair: tuple[int, Callable[[], bytes]]) -> tuple[bytes, NDArray[Any] | None, str]:
        return _decoded(pair[1], decoder, source.where(pair[0]))

    def samples(each: Callable[..., Iterator[Any]], doing: str) -> Iterator[NDArray[Any]]:
        for piece in _pieces(source, show, doing, decoder.noun):
            for (row, _), (digest, sample, wrong) in zip(piece, each(work, piece), strict=True):
                hashes[row] = np.frombuffer(digest, dtype=np.uint8)
                if sample is None:
                    bad.append(Bad(row, wrong))
                yield nothing if sample is None else sample

    with _pool(threads) as each:
        if folder is None:
            deque(samples(each, "reading"), maxlen=0)
            return hashes, bad, None
        aside = folder / f".{uuid.uuid4().hex[:8]}.npy"
        try:
            _write_values(aside, samples(each, "decoding"), (len(source), *decoder.feature), decoder.dtype)
            path = _values_file(folder, hashes, decoder)
            # Another process may have the same values mapped, which some systems do not let go.
            if not path.is_file():
                with disk_errors(path):
                    os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    return hashes, bad, path


def _write_values(
    path: Path, samples: Iterator[NDArray[Any]], shape: tuple[int, ...], dtype: DTypeLike
) -> None:
    # Written in order rather than through a mapping: a full disk is then an error, not a crash.
    with disk_errors(path), open(path, "wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for sample in samples:
            file.write(np.ascontiguousarray(sample).data)
        file.flush()
        os.fsync(file.fileno())
