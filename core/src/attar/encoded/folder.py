"""Samples in files of the user's own: a folder of class subfolders, read on demand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from attar.encoded.source import Media
from attar.errors import UsageError

__all__ = ["FolderSource", "read_folder"]


@dataclass(frozen=True)
class FolderSource:
    """Files of a folder of class subfolders.

    Attributes:
        folder: The folder.
        classes: Names of the subfolders, in order.
        names: Paths of the files below the folder.
        owners: Class of each file.
        media: What the files are.
    """

    folder: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    owners: tuple[int, ...]
    media: Media

    random_access = True

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def labels(self) -> Tensor:
        """Class of each file, int64 ``(n,)``."""
        return torch.tensor(self.owners, dtype=torch.int64)

    def stamp(self) -> str:
        """Return a hash of names, sizes and times: it changes whenever contents may have."""
        digest = hashlib.blake2b(
            str(self.folder.resolve()).encode("utf-8", "surrogateescape"), digest_size=16
        )
        for name in self.names:
            state = os.stat(self.folder / name)
            line = f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def where(self, row: int) -> str:
        """Return what a file is called in errors."""
        return repr(str(self.folder / self.names[row]))

    def name(self, row: int) -> str:
        """Return the path of a file below the folder."""
        return self.names[row]

    def fetch(self, row: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            UsageError: If the file is gone, unreadable or very large.
        """
        most, path = self.media.most_bytes, self.folder / self.names[row]
        try:
            with open(path, "rb") as file:
                # A file that is refused is not read first; what grows meanwhile or lies is cut at the limit.
                large = not self.media.cut and os.fstat(file.fileno()).st_size > most
                data = b"" if large else file.read(most + (0 if self.media.cut else 1))
        except OSError as error:
            raise UsageError(
                f"{self.where(row)} cannot be read ({error.strerror}); restore it or start again without it"
            ) from error
        if large or len(data) > most:
            raise UsageError(f"{self.where(row)} has more than {most:,} bytes; remove it")
        return data

    def some(self, rows: Sequence[int]) -> FolderSource:
        """Return some of the files, of the same classes."""
        names = tuple(self.names[row] for row in rows)
        return replace(self, names=names, owners=tuple(self.owners[row] for row in rows))

    def scan(self) -> Iterator[Callable[[], bytes]]:
        """Yield, for each file in order, what reads it."""
        for row in range(len(self)):
            yield partial(self.fetch, row)


def read_folder(
    folder: Path,
    media: Media,
    classes: Sequence[str] | None = None,
    *,
    leave: Container[str] = (),
) -> FolderSource:
    """List the files of a folder whose subfolders are the classes.

    Files may lie in subfolders of a class folder; hidden files and folders are left out.

    Args:
        folder: The folder.
        media: What the files are.
        classes: The classes expected, or None to take the subfolders' names.
        leave: Subfolders that are no classes.

    Raises:
        UsageError: If there are no class subfolders, one holds no such file or cannot be read, a
            link leads in a circle, or the classes differ.
    """
    found = sorted(name for name in _entries(folder) if (folder / name).is_dir() and name not in leave)
    if not found:
        raise UsageError(
            f"{str(folder)!r} has no subfolders; put the {media.noun}s of each class into a folder of its own"
        )
    for name in found:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(
                f"the class folder {name!r} in {str(folder)!r} has a name that is no UTF-8; rename it"
            ) from None
    if classes is not None and found != list(classes):
        odd = sorted(set(found) ^ set(classes))[0]
        raise UsageError(f"the class {odd!r} is in one split of {str(folder.parent)!r} but not in the other")
    names: list[str] = []
    owners: list[int] = []
    for owner, name in enumerate(found):
        files = sorted(_files(folder, name, media.suffixes, (_identity(folder),)))
        if not files:
            raise UsageError(
                f"the class folder {str(folder / name)!r} holds no {media.noun}s; add some "
                f"({', '.join(sorted(media.suffixes))}) or remove the folder"
            )
        names += files
        owners += [owner] * len(files)
    return FolderSource(
        folder=folder,
        classes=tuple(found),
        names=tuple(names),
        owners=tuple(owners),
        media=media,
    )


def _entries(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise UsageError(
            f"the folder {str(folder)!r} cannot be read ({error.strerror}); permit it or remove the folder"
        ) from error


def _identity(folder: Path) -> tuple[int, int] | str:
    state = os.stat(folder)
    # Some file systems give no numbers.
    return (state.st_dev, state.st_ino) if state.st_ino else str(folder.resolve())


def _files(folder: Path, below: str, suffixes: frozenset[str], above: tuple[object, ...]) -> Iterator[str]:
    """Yield the files of a class folder and of its subfolders, with paths below `folder`."""
    own = _identity(folder / below)
    if own in above:
        raise UsageError(
            f"the link {str(folder / below)!r} leads back to a folder that it is in; remove the link"
        )
    for name in _entries(folder / below):
        path = f"{below}/{name}"
        if Path(name).suffix.lower() in suffixes and (folder / path).is_file():
            yield path
        elif (folder / path).is_dir():
            yield from _files(folder, path, suffixes, (*above, own))
