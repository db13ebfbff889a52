"""Lists of the files that Attar wrote into a folder, so that no command deletes a user's own files.

Every folder that a command writes holds a list, ``.attar-files.jsonl``: a first line with the kind of the
folder, then a line for each file, with a hash of its content if it was written whole. A file that is not on
the list, or whose content has changed since, belongs to the user: it is neither replaced nor removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from attar.errors import UsageError

__all__ = [
    "LIST",
    "FileList",
    "adopt",
    "check_replaceable",
    "claim",
    "discard",
    "foreign",
    "listing",
    "recording",
    "remove",
]

logger = logging.getLogger(__name__)

LIST = ".attar-files.jsonl"
"""Name of the list."""

LOCK = ".attar-lock"
"""Name of the file that one process at a time holds while it writes into a folder."""

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.attar-(new|old)")
"""Names of files and folders on their way to or from their place; a killed process leaves them behind."""

_LEVELS = 4
"""Folders above a file that are searched for the list that it belongs to."""

_MOST = 64 * 2**20
"""Bytes of a list that are read at most."""


@dataclass(frozen=True)
class FileList:
    """The list of a folder.

    Attributes:
        folder: The folder.
        kind: What it is, such as ``run`` or ``artifact``.
        files: Hashes of the content that each file was given, by its path below the folder; None stands for
            a file that grows, whose content is not compared.
    """

    folder: Path
    kind: str
    files: dict[str, set[str | None]] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> FileList | None:
        """Return the list of a folder, or None if it has none that is valid."""
        path = folder / LIST
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST:
                return None
            first, *lines = path.read_bytes().split(b"\n")
            head = json.loads(first)
            if not (isinstance(head, dict) and head.get("attar") == 1 and isinstance(head.get("kind"), str)):
                return None
        except (OSError, ValueError, RecursionError):
            return None
        found = FileList(folder, head["kind"])
        for line in lines:
            name, digest = _entry(line)
            if name:
                found.files.setdefault(name, set()).add(digest)
        return found

    @staticmethod
    def of(path: Path) -> FileList | None:
        """Return the list that a file or folder belongs to: that of the nearest folder above it."""
        above = Path(os.path.abspath(path)).parents
        return next((found for place in above[:_LEVELS] if (found := FileList.read(place))), None)

    def name(self, path: Path) -> str:
        """Return a path as the list names it."""
        return Path(os.path.abspath(path)).relative_to(os.path.abspath(self.folder)).as_posix()

    def add(self, entries: Iterable[tuple[str, str | None]]) -> None:
        """Put files on the list, before they appear."""
        new = [(name, digest) for name, digest in entries if digest not in self.files.get(name, ())]
        if not new:
            return
        for name, digest in new:
            self.files.setdefault(name, set()).add(digest)
        # In one piece: several processes may add to one list. The first line end closes what was cut short.
        text = "".join(f"\n{json.dumps([name, digest])}" for name, digest in new)
        with open(self.folder / LIST, "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def holds(self, path: Path, name: str) -> bool:
        """Return whether a file is on the list and has not changed since."""
        known = self.files.get(name, set())
        return bool(known) and not path.is_symlink() and (None in known or file_digest(path) in known)

    def link(self) -> Path | None:
        """Return a listed file, or a folder with some, that is a link: behind it are files of somebody's."""
        names = {*self.folders(), *self.files} - {"."}
        return next((path for name in sorted(names) if (path := self.folder / name).is_symlink()), None)

    def folders(self) -> set[str]:
        """Return the folders below that hold listed files."""
        return {str(above) for name in self.files for above in PurePosixPath(name).parents}


def _entry(line: bytes) -> tuple[str, str | None]:
    """Return name and hash of a line, with an empty name for one that is not valid."""
    try:
        name, digest = json.loads(line)
        parts = PurePosixPath(name).parts
    except (ValueError, TypeError, RecursionError):
        return "", None
    inside = parts and not ({"..", "/"} & set(parts)) and not re.search(r"[\\\0:]", name)
    return (name, digest) if inside and isinstance(digest, str | None) else ("", None)


def content_digest(content: bytes) -> str:
    """Return the hash of a content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return the hash of the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def claim(folder: Path, kind: str) -> FileList:
    """Start the list of a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{LIST}.{secrets.token_hex(4)}.attar-new"
    with open(aside, "xb") as file:
        file.write(json.dumps({"attar": 1, "kind": kind}).encode())
        file.flush()
        os.fsync(file.fileno())
    # Not written into what is there: that may be a link to a file of the user's.
    os.replace(aside, folder / LIST)
    return FileList(folder, kind)


def adopt(outer: Path, inner: Path) -> None:
    """Let a folder with a list of its own count as a part of one above it."""
    found = FileList.read(outer)
    if found is not None:
        found.add([(found.name(inner / LIST), None)])


def walk(folder: Path, known: FileList, name: str = ".") -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, and whether each is Attar's.

    Folders are yielded where nothing in them is on the list (the user's), or where nothing is left in them
    of what is (Attar's). Links are not followed.

    Args:
        folder: The folder.
        known: The list that it belongs to.
        name: The folder's name on the list.
    """
    folders = known.folders()
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path, below = Path(entry.path), str(PurePosixPath(name) / entry.name)
        if entry.is_symlink():
            yield path, False
        elif TEMPORARY.fullmatch(entry.name):
            yield path, True
        elif entry.is_dir():
            # A folder with a list of its own counts if the list above names that.
            nested = FileList.read(path) if f"{below}/{LIST}" in known.files else None
            if nested is not None:
                yield from walk(path, nested)
            elif below in folders:
                found = list(walk(path, known, below))
                yield from found or [(path, True)]
            else:
                yield path, False
        else:
            own = name == "." and entry.name in (LIST, LOCK)
            yield path, own or (entry.is_file() and known.holds(path, below))


def listing(folder: Path) -> tuple[FileList, str] | None:
    """Return the list that says which files below a folder are Attar's, and the folder's name on it."""
    own = FileList.read(folder)
    if own is not None:
        return own, "."
    above = FileList.of(folder)
    return None if above is None else (above, above.name(folder))


def foreign(folder: Path) -> list[Path]:
    """Return what is in a folder that Attar did not write, or that was changed since."""
    found = listing(folder)
    if found is None:
        return sorted(folder.iterdir())
    return [path for path, own in walk(folder, *found) if not own]


def check_replaceable(folder: Path, kind: str = "") -> None:
    """Refuse to replace a folder in which anything is not Attar's.

    Args:
        folder: The folder, which exists.
        kind: What it must be, such as ``run``; by default anything.

    Raises:
        UsageError: Naming a file that would be lost.
    """
    if os.path.ismount(folder):
        raise UsageError(f"{str(folder)!r} is a mounted disk, which cannot be replaced; choose another --out")
    found = listing(folder)
    if found is None and any(folder.iterdir()):
        raise UsageError(
            f"the folder {str(folder)!r} was not written by Attar (it has no {LIST}), so --force does not "
            f"delete it; choose another --out"
        )
    if found is not None and kind and found[1] == "." and found[0].kind != kind:
        raise UsageError(
            f"the folder {str(folder)!r} is of the kind {found[0].kind!r}, not {kind!r}, so --force does not "
            f"delete it; choose another --out"
        )
    lost = foreign(folder)
    if lost:
        more = f" and {len(lost) - 1:,} more" if len(lost) > 1 else ""
        raise UsageError(
            f"the folder {str(folder)!r} holds {str(lost[0].relative_to(folder))!r}{more}, which Attar did "
            f"not write or which was changed since, so --force does not delete it; move it away, or choose "
            f"another --out"
        )


def discard(folder: Path, listed: tuple[FileList, str] | None = None, *, keep: Container[str] = ()) -> bool:
    """Delete a folder of Attar's; what else is in it stays.

    Args:
        folder: The folder.
        listed: The list that says which files are Attar's, and the folder's name on it, for a folder that
            was moved; by default the one that :func:`listing` finds.
        keep: Names of files that stay nevertheless.

    Returns:
        Whether the folder is gone.
    """
    if not folder.is_dir() or folder.is_symlink():
        return not folder.exists()
    listed = listed or listing(folder)
    found = walk(folder, *listed) if listed is not None else ()
    own = [path for path, mine in found if mine and path.name not in keep]
    # The lists go last: a process that is killed here leaves a folder that is still known.
    own.sort(key=lambda path: path.name == LIST)
    inside = {above for path in own for above in path.parents if above.is_relative_to(folder)}
    for path in own:
        if TEMPORARY.fullmatch(path.name):
            _remove(path)
        elif path.is_dir():
            _remove_empty(path)
        else:
            path.unlink(missing_ok=True)
    for place in sorted({*inside, folder}, key=lambda path: len(path.parts), reverse=True):
        _remove_empty(place)
    return not folder.exists()


def remove(path: Path) -> None:
    """Delete a file of Attar's; one of the user's stays."""
    known = FileList.of(path)
    if known is not None and path.is_file() and known.holds(path, known.name(path)):
        path.unlink()


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # What is not empty holds something of the user's.


def clear_temporaries(folder: Path) -> None:
    """Delete what a killed process left on its way to its place, in a folder with a list."""
    known = FileList.read(folder)
    if known is None:
        return
    for path, own in list(walk(folder, known)):
        if own and TEMPORARY.fullmatch(path.name):
            _remove(path)


@contextmanager
def recording(folder: Path, *names: str) -> Iterator[None]:
    """List the files that a library writes below a folder, such as a logger's, when the block ends.

    Args:
        folder: The folder, which the user may put files into meanwhile.
        names: Patterns of the names that the library gives to what it puts there.
    """

    def files() -> set[Path]:
        made = [path for name in names for path in folder.glob(name)]
        below = [path for each in made for path in ([each] if each.is_file() else each.rglob("*"))]
        return {path for path in below if path.is_file() and not path.is_symlink()}

    before = files()
    try:
        yield
    finally:
        known = FileList.of(folder)
        if known is not None:
            known.add((known.name(path), None) for path in sorted(files() - before))
