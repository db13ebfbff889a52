"""What the cache folder holds, and clearing it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attar.cache import BEGUN, cache_root
from attar.errors import UsageError
from attar.settings import Record, unknown

__all__ = ["SECTIONS", "CacheInfo", "Cleared", "SectionInfo", "cache_info", "clear_cache"]

SECTIONS = {
    "evaluations": "results of trained networks",
    "selections": "rows that coresets chose",
    "experts": "networks trained for methods that follow them",
    "decoded": "what was decoded from files, and hashes of the files",
    "hub": "artifacts fetched from the Hugging Face Hub",
    "plugins": "what plugins keep, such as vectors of texts",
}
"""What may be cleared: it is made again when it is needed. Downloaded data are no cache."""


class SectionInfo(Record):
    """One kind of cached things.

    Attributes:
        name: Name of its folder.
        summary: What it holds.
        files: Number of files, without locks.
        bytes: Their size.
    """

    name: str
    summary: str
    files: int
    bytes: int


class CacheInfo(Record):
    """What ``attar cache info --json`` prints.

    Attributes:
        folder: The cache folder.
        sections: What it holds.
    """

    folder: str
    sections: tuple[SectionInfo, ...]


class Cleared(Record):
    """What ``attar cache clear --json`` prints.

    Attributes:
        files: Files deleted.
        bytes: Their size.
        kept: Files that another process was using.
    """

    files: int
    bytes: int
    kept: int


_OWN = re.compile(r"(?:.+-)?[0-9a-f]{32}(?:-[0-9a-z]+)*(?:\.(?:json|npy|safetensors|partial))?")
"""Names in the cache: each has a hash in it. Others are of a user who keeps files in that folder too."""


def _kept(section: str) -> Iterator[Path]:
    """Return the files and folders of Attar's in a section, without locks."""
    folder = cache_root() / section
    if folder.is_dir():
        names = (path for path in sorted(folder.iterdir()) if _OWN.fullmatch(path.name))
        yield from (path for path in names if path.suffix != ".lock" and not path.is_symlink())


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def cache_info() -> CacheInfo:
    """Return what the cache folder holds."""
    found = []
    for name, summary in SECTIONS.items():
        sizes = [_size(path) for path in _kept(name)]
        found.append(SectionInfo(name=name, summary=summary, files=len(sizes), bytes=sum(sizes)))
    return CacheInfo(folder=str(cache_root()), sections=tuple(found))


@contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Hold the lock of a cached file, if it has one; yield whether nobody else does."""
    from filelock import FileLock, Timeout

    # What is begun is guarded by the lock of what it will be.
    guarded = path.with_suffix(".safetensors") if path.suffix == BEGUN else path
    lock = path.with_name(f"{guarded.name}.lock")
    if not lock.exists():
        yield True
        return
    try:
        with FileLock(str(lock), timeout=0):
            yield True
    except Timeout:
        yield False
        return
    # Whoever made the lock file meanwhile holds it; it is theirs then.
    lock.unlink(missing_ok=True)


def clear_cache(section: str | None = None, older_than_days: float = 0.0) -> Cleared:
    """Delete what is cached; what another process is using stays.

    Args:
        section: One of :data:`SECTIONS`, or None for all.
        older_than_days: Only files that were not written for so many days.

    Raises:
        UsageError: If the section is unknown, or a file cannot be deleted.
    """
    if section is not None and section not in SECTIONS:
        raise UsageError(unknown("section of the cache", section, SECTIONS))
    before = time.time() - older_than_days * 86_400
    files = size = kept = 0
    for name in SECTIONS if section is None else [section]:
        for path in _kept(name):
            if path.stat().st_mtime > before:
                continue
            found = _size(path)
            with _unused(path) as unused:
                if not unused or not _deleted(path):
                    kept += 1
                    continue
            files += 1
            size += found
    return Cleared(files=files, bytes=size, kept=kept)


def _deleted(path: Path) -> bool:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except PermissionError:
        # Windows keeps a file that another process has mapped.
        return False
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be deleted ({error.strerror}); delete it yourself") from error
    return True
