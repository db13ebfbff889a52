"""Vectors of texts on disk: made once for each text, kept in pieces, read without loading all.

A folder holds what one encoder made under one setting. Each piece is a folder of its own that
appears whole: ``hashes.npy`` ``(n, 2)``, ``tokens.npy`` ``(n,)`` and ``vectors.npy`` ``(n, *shape)``.
Whoever is stopped loses the piece begun, and goes on from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from attar.cache import locked
from attar.folders import staged_folder
from attar.progress import progress, silent
from numpy.typing import NDArray

__all__ = ["Encode", "Encoded", "VectorStore", "hashes"]

Encode: TypeAlias = Callable[[Sequence[str]], tuple[NDArray[Any], NDArray[np.int32]]]
"""Turns some texts into vectors ``(n, *shape)`` and the number of tokens that each text has."""

_BATCH = 64
_PIECE_SECONDS = 5.0
_MOST_PIECE = 8192


def hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return a hash of each text, ``(n, 2)``."""
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


@dataclass(frozen=True)
class Encoded:
    """Where the vectors of texts are.

    Attributes:
        places: Piece and row of each text, int64 ``(n, 2)``.
        tokens: Tokens that each text has, int32 ``(n,)``.
        pieces: The vectors of each piece, memory-mapped.
    """

    places: NDArray[np.int64]
    tokens: NDArray[np.int32]
    pieces: tuple[NDArray[Any], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one vector."""
        return tuple(self.pieces[0].shape[1:])

    def read(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the vectors of texts, ``(k, *shape)``, in the type that they are kept in."""
        places = self.places[rows]
        values = np.empty((len(rows), *self.shape), dtype=self.pieces[0].dtype)
        for piece in np.unique(places[:, 0]):
            own = places[:, 0] == piece
            values[own] = self.pieces[piece][places[own, 1]]
        return values


def _piece(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[Any]] | None:
    """Return the hashes, the tokens and the vectors of a piece; one that is damaged is made anew."""
    try:
        known = np.load(path / "hashes.npy")
        counts = np.load(path / "tokens.npy")
        vectors = np.load(path / "vectors.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None
    return (known, counts, vectors) if len(known) == len(counts) == len(vectors) else None


class VectorStore:
    """The vectors that one encoder makes under one setting.

    Args:
        folder: The folder; made when something is kept.
        dtype: Type that vectors are kept in.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder = folder
        self._dtype = np.dtype(dtype)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("[0-9]*") if path.is_dir())

    def find(self, texts: Sequence[str]) -> tuple[Encoded, NDArray[np.int64]]:
        """Return where the vectors of texts are, and the rows of those that there are none of.

        Places of missing texts are -1.
        """
        wanted = hashes(texts)
        places = np.full((len(texts), 2), -1, dtype=np.int64)
        tokens = np.zeros(len(texts), dtype=np.int32)
        pieces = [piece for path in self._paths() if (piece := _piece(path)) is not None]
        if not pieces:
            return Encoded(places, tokens, ()), np.arange(len(texts))
        known = np.concatenate([own for own, _, _ in pieces])
        counts = np.concatenate([own for _, own, _ in pieces])
        sizes = [len(own) for own, _, _ in pieces]
        first = np.cumsum([0, *sizes[:-1]])
        owner = np.repeat(np.arange(len(pieces)), sizes)
        # One search in all pieces: one in each would take as many times as long.
        order = np.argsort(known[:, 0], kind="stable")
        at = np.searchsorted(known[order, 0], wanted[:, 0])
        row = order[np.minimum(at, len(order) - 1)]
        there = (known[row] == wanted).all(1)
        own = row[there]
        places[there] = np.stack([owner[own], own - first[owner[own]]], 1)
        tokens[there] = counts[own]
        return Encoded(places, tokens, tuple(vectors for _, _, vectors in pieces)), np.flatnonzero(~there)

    def all(self, texts: Sequence[str], encode: Encode, *, doing: str, show: bool = False) -> Encoded:
        """Return the vectors of texts, and make those that there are none of.

        Texts are encoded by length, so that a batch holds little padding, and each once.

        Args:
            texts: The texts.
            encode: Makes vectors of some of them.
            doing: What is being done, for people.
            show: Whether progress is shown.
        """
        found, missing = self.find(texts)
        if not len(missing):
            return found
        with locked(self._folder):
            # Another process may have made them while this one waited.
            found, missing = self.find(texts)
            distinct = list(dict.fromkeys(texts[row] for row in missing))
            distinct.sort(key=len)
            shown = progress if show else silent
            with shown(len(distinct), doing) as advance:
                for done in self._make(distinct, encode):
                    advance(done, "")
        found, missing = self.find(texts)
        if len(missing):
            raise RuntimeError(f"{len(missing)} vectors are missing after they were made")
        return found

    def _make(self, texts: Sequence[str], encode: Encode) -> Iterator[int]:
        begun: list[tuple[Sequence[str], NDArray[Any], NDArray[np.int32]]] = []
        held, last = 0, time.monotonic()
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            vectors, tokens = encode(part)
            begun.append((part, vectors, tokens))
            held += len(part)
            over = time.monotonic() - last > _PIECE_SECONDS or held >= _MOST_PIECE
            if over or start + _BATCH >= len(texts):
                self._keep(begun)
                begun, held, last = [], 0, time.monotonic()
            yield start + len(part)

    def _keep(self, begun: Sequence[tuple[Sequence[str], NDArray[Any], NDArray[np.int32]]]) -> None:
        numbers = [int(path.name) for path in self._paths()]
        with staged_folder(self._folder / f"{max(numbers, default=-1) + 1:06d}", compared=False) as aside:
            np.save(aside / "hashes.npy", hashes([text for part, _, _ in begun for text in part]))
            np.save(aside / "tokens.npy", np.concatenate([tokens for _, _, tokens in begun]).astype(np.int32))
            vectors = np.concatenate([vectors for _, vectors, _ in begun])
            np.save(aside / "vectors.npy", vectors.astype(self._dtype))
