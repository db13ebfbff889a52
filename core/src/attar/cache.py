"""Results kept by content: a JSON value is computed once for a key, by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attar.errors import UsageError
from attar.files import disk_errors, read_json, to_json, write_file

__all__ = ["BEGUN", "Store", "cache_root", "locked"]

BEGUN = ".partial"
"""Suffix of a folder that holds what was begun and can go on."""


def cache_root() -> Path:
    """Return the folder of caches: ``$ATTAR_CACHE``, else the platform's cache folder."""
    given = os.environ.get("ATTAR_CACHE")
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("attar", appauthor=False))


class Store:
    """Values by key in a folder.

    Args:
        folder: The folder; made when something is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: Mapping[str, Any]) -> Path:
        """Return the file of a key."""
        text = json.dumps(key, sort_keys=True)
        return self._folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.json"

    def get(self, key: Mapping[str, Any]) -> Any | None:
        """Return the value stored under a key, or None; a damaged file counts as none."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            return read_json(path)["value"]
        except (UsageError, KeyError, TypeError):
            return None

    def put(self, key: Mapping[str, Any], value: Any) -> None:
        """Store a JSON value under a key."""
        write_file(self.path(key), to_json({"key": dict(key), "value": value}))

    def compute(self, key: Mapping[str, Any], function: Callable[[], Any]) -> Any:
        """Return the value of a key, computing it under a file lock if there is none."""
        found = self.get(key)
        if found is not None:
            return found
        with locked(self.path(key)):
            found = self.get(key)
            if found is None:
                found = function()
                self.put(key, found)
        return found


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Keep other processes from computing what a file will hold.

    Args:
        path: The file.
        timeout: Seconds to wait for another process; -1 for as long as it takes.

    Raises:
        filelock.Timeout: If another process does not end in time.
        UsageError: If the disk refuses.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(f"{path}.lock")
    busy: Timeout | None = None
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=timeout)
        except Timeout as error:
            # Not the disk's fault, though an OSError.
            busy = error
        except NotImplementedError as error:
            raise UsageError(
                f"the disk of the cache {str(path.parent)!r} has no file locks; set ATTAR_CACHE to a folder "
                f"on a local disk"
            ) from error
    if busy is not None:
        raise busy
    try:
        yield
    finally:
        lock.release()
