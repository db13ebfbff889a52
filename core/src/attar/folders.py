"""Folders that appear whole or not at all, and the folders that long commands work in."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attar.errors import UsageError
from attar.files import beside, disk_errors, move, sync_folder
from attar.owned import (
    LIST,
    LOCK,
    TEMPORARY,
    FileList,
    check_replaceable,
    claim,
    clear_temporaries,
    discard,
    file_digest,
    listing,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["OutputFolder", "check_free", "staged_folder", "swap"]

logger = logging.getLogger(__name__)


def _occupied(path: Path) -> bool:
    with disk_errors(path):
        if path.is_file():
            raise UsageError(f"{str(path)!r} is a file; choose another --out")
        return path.exists() and not all(_ours(each) for each in path.iterdir())


def _ours(path: Path) -> bool:
    """Return whether a file is a list or a lock of Attar's, and not a user's own of that name."""
    if path.name == LIST:
        return FileList.read(path.parent) is not None
    if path.name.startswith(LIST) and TEMPORARY.fullmatch(path.name):
        return True  # A process was killed while it began the list.
    return path.name == LOCK and not path.is_symlink() and path.is_file() and not path.stat().st_size


def check_free(path: Path, force: bool, kind: str = "") -> None:
    """Refuse a folder that exists, unless it is empty, or `force` is given and all in it is Attar's.

    Args:
        path: The folder.
        force: Whether it may be replaced.
        kind: What may be replaced, such as ``run``; by default anything of Attar's.

    Raises:
        UsageError: If the folder holds anything that must stay, or is a file.
    """
    if not _occupied(path):
        return
    if not force:
        raise UsageError(
            f"the folder {str(path)!r} exists and is not empty; choose another --out, "
            f"continue it with --resume, or replace it with --force"
        )
    with disk_errors(path):
        check_replaceable(path, kind)


@contextmanager
def staged_folder(
    path: Path, *, force: bool = False, kind: str = "", compared: bool = True
) -> Iterator[Path]:
    """Yield an empty folder beside `path` that becomes `path` when the block ends well.

    With `force`, what stood there is moved away first and deleted last. Its files are put on the list of the
    folder that it is a part of, or, if there is none, on one of its own.

    Args:
        path: The folder.
        force: Whether a folder of Attar's is replaced.
        kind: What it will be, such as ``artifact``; a folder of another kind is not replaced.
        compared: Whether its files are never changed, so that changed ones are the user's.

    Raises:
        UsageError: If `path` is occupied and `force` is not given, holds files that are not Attar's, or
            the disk refuses.
    """
    path = _real(path)
    check_free(path, force, kind)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = beside(path, "new")
        aside.mkdir()
        try:
            yield aside
            _list_files(aside, path, kind, compared)
            _sync_tree(aside)
            swap(aside, path, kind)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _list_files(aside: Path, path: Path, kind: str, compared: bool) -> None:
    """Put the files of a staged folder on the list that they will belong to."""
    files = sorted(each for each in aside.rglob("*") if each.is_file())
    digests = [file_digest(each) if compared else None for each in files]
    names = [each.relative_to(aside).as_posix() for each in files]
    known = FileList.of(path)
    if known is None:
        known, above = claim(aside, kind or "folder"), ""
    else:
        above = f"{known.name(path)}/"
    known.add((f"{above}{name}", digest) for name, digest in zip(names, digests, strict=True))


def _real(path: Path) -> Path:
    """Return a path that can be moved: not ".", "..", or a link to a folder."""
    return Path(os.path.realpath(path)) if path.name in ("", "..") or path.is_symlink() else path


def _sync_tree(path: Path) -> None:
    """Make every file below a folder durable."""
    for place, _, names in os.walk(path):
        for name in names:
            # Windows syncs only files that are open for writing.
            with open(Path(place) / name, "rb+") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def swap(new: Path, path: Path, kind: str = "") -> None:
    """Move `new` to `path`; what stood there is moved away before, and deleted last.

    Raises:
        UsageError: If anything in `path` is not Attar's: both folders stay.
    """
    old = beside(path, "old")
    replacing = path.exists()
    listed = None
    if replacing:
        # Once more: work can take days, in which files may have been added.
        check_replaceable(path, kind)
        listed = listing(path)
        move(path, old)
    try:
        move(new, path)
    except OSError:
        if replacing:
            old.rename(path)
        raise
    sync_folder(path.parent)
    if replacing and not discard(old, listed):
        logger.warning("%s holds files that were added meanwhile", old)


class OutputFolder:
    """Folder that a command works in for long: its place, or one beside it that takes its place at the end.

    While it is open, no other process can open it.

    Args:
        out: Where the result is to be.
        kind: What it is, such as ``run``.
        force: Whether a folder of this kind is replaced, once the new one is complete.

    Attributes:
        target: Where the result is to be.
        kind: What it is.
        path: Where to write.

    Raises:
        UsageError: If a folder that is to be replaced holds files that are not Attar's, or another process
            writes there.
    """

    def __init__(self, out: Path, kind: str, *, force: bool = False) -> None:
        if force:
            check_free(out, True, kind)
        self.target, self.kind = _real(out), kind
        replaces = force and _occupied(out)
        self.path = self.target.with_name(f".{self.target.name}.forced") if replaces else self.target
        if replaces:
            _check_unused(self.target)
        self._made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        self._lock = _locked(self.path)

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *problem: object) -> None:
        self._release()
        with suppress(OSError):
            # A command that is refused before it wrote anything leaves no trace.
            if self.path.is_dir() and not _occupied(self.path):
                (self.path / LIST).unlink(missing_ok=True)
            for place in self._made:
                place.rmdir()

    def _release(self) -> None:
        _unlock(self._lock, self.path)
        self._lock = None

    def start(self, *, resume: bool) -> None:
        """Resume if asked to and something was begun there; start anew otherwise."""
        if resume and _occupied(self.path):
            self.resume()
        else:
            self.begin()

    def begin(self) -> None:
        """Start anew: what an earlier call left beside the target is deleted.

        Raises:
            UsageError: If anything else is there.
        """
        if self.path != self.target:
            check_free(self.path, True, self.kind)
            discard(self.path, keep=(LOCK,))
        else:
            check_free(self.path, False)
        with disk_errors(self.path):
            claim(self.path, self.kind)

    def resume(self) -> None:
        """Go on in a folder that was begun, without what a killed process left half written.

        Raises:
            UsageError: If no command of this kind wrote it.
        """
        known = FileList.read(self.path)
        if known is None or known.kind != self.kind:
            raise UsageError(
                f"the folder {str(self.path)!r} has no {LIST} of a {self.kind}, so it cannot be resumed; "
                f"start again in another folder"
            )
        link = known.link()
        if link is not None:
            raise UsageError(
                f"{str(link)!r} is a link, which nothing is written through; put the folder itself there, or "
                f"start again in another"
            )
        with disk_errors(self.path):
            clear_temporaries(self.path)

    def take_place(self) -> None:
        """Let a folder that replaces another take its place, once it is complete."""
        if self.path != self.target:
            # Windows moves no folder in which a file is open.
            self._release()
            _check_unused(self.target)
            with disk_errors(self.target):
                swap(self.path, self.target, self.kind)


def _locked(folder: Path) -> BaseFileLock | None:
    """Return the lock of a folder, held, or None where the disk has no locks."""
    from filelock import FileLock, Timeout

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(folder / LOCK) and not _ours(folder / LOCK):
            raise UsageError(
                f"{str(folder / LOCK)!r} is no lock of Attar's; move it away, or choose another --out"
            )
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"another process is writing into {str(folder)!r}; wait until it ends, or choose another --out"
        ) from error
    except (OSError, NotImplementedError):
        # Some network disks have none; one that cannot be written says so when something is written.
        return None
    return lock


def _unlock(lock: BaseFileLock | None, folder: Path) -> None:
    if lock is not None:
        # Windows deletes no file that is open.
        with suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def _check_unused(folder: Path) -> None:
    """Refuse to replace a folder that another process writes into."""
    _unlock(_locked(folder), folder)
