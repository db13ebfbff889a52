"""What samples in encoded files are, and what decodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol, TypeVar

from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from attar.errors import UsageError

__all__ = ["Decoder", "EncodedSource", "Media", "heads"]

H = TypeVar("H")


@dataclass(frozen=True, kw_only=True)
class Media:
    """A kind of file that holds one sample.

    Attributes:
        noun: What a sample is called, such as ``image``; its plural takes an s.
        suffixes: Endings of such files, lower case with the dot.
        most_bytes: Larger files are refused, or cut.
        columns: Usual names of a table's column of such files; the first with ``_column`` is the
            setting that names another.
        distribution: The package whose extras ``parquet`` and ``hf`` read tables.
        cut: Whether of larger files the first `most_bytes` are read; what decodes them knows
            by their length.
    """

    noun: str
    suffixes: frozenset[str]
    most_bytes: int
    columns: tuple[str, ...]
    distribution: str
    cut: bool = False


class EncodedSource(Protocol):
    """Encoded samples with labels, in an order that stays."""

    @property
    def labels(self) -> Tensor:
        """Class of each sample, int64 ``(n,)``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def random_access(self) -> bool:
        """Whether :meth:`fetch` can be called."""

    def __len__(self) -> int: ...

    def stamp(self) -> str:
        """Return a hash that changes whenever contents may have changed; cheap."""

    def where(self, row: int) -> str:
        """Return what a sample is called in errors."""

    def name(self, row: int) -> str:
        """Return the name of a sample's file, or "" where it has none."""

    def fetch(self, row: int) -> bytes:
        """Return the bytes of one sample."""

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each sample in order, what reads it; the calls may come from threads."""


class Decoder(Protocol):
    """Turns the bytes of a file into a sample in natural units."""

    @property
    def noun(self) -> str:
        """What a sample is called."""

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of a decoded sample."""

    @property
    def dtype(self) -> DTypeLike:
        """Type of its values."""

    @property
    def form(self) -> str:
        """The settings that decide what comes out."""

    @property
    def versions(self) -> str:
        """Versions of what decodes, since decoders change from release to release."""

    @property
    def nbytes(self) -> int:
        """Bytes of a sample in its cheapest lossless form."""

    def __call__(self, data: bytes, where: str) -> NDArray[Any]:
        """Return a sample of shape ``feature``.

        Raises:
            UsageError: Naming `where`, if the bytes are none. What is wrong comes first, and behind
                a semicolon what to do about it.
        """


def heads(source: EncodedSource, read: Callable[[bytes, str], H], most: int) -> list[H]:
    """Return what some samples say of themselves, evenly spread or the first, to choose a form by.

    Samples that cannot be read say nothing: what becomes of them is decided where all are decoded.

    Args:
        source: The samples.
        read: Called with the bytes of a sample and what it is called in errors.
        most: How many are read where they can be.

    Raises:
        UsageError: As `read` does for the first, if none of all can be read.
    """
    spread = range(0, len(source), -(-len(source) // most)) if source.random_access else range(most)
    found: list[H] = []
    first: UsageError | None = None
    rows: Iterator[tuple[int, Callable[[], bytes]]] = enumerate(source.scan())
    if source.random_access:
        others = (row for row in range(len(source)) if row not in spread)
        rows = ((row, partial(source.fetch, row)) for row in chain(spread, others))
    for tried, (row, fetch) in enumerate(rows):
        if found and tried >= len(spread):
            break
        try:
            found.append(read(fetch(), source.where(row)))
        except UsageError as error:
            first = first or error
    if first is not None and not found:
        raise first
    return found
