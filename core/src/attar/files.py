"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import time
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attar.errors import UsageError
from attar.limits import read_limited
from attar.owned import FileList, content_digest

__all__ = [
    "beside",
    "disk_errors",
    "move",
    "portable_names",
    "read_json",
    "sync_folder",
    "to_json",
    "write_file",
]

WINDOWS = os.name == "nt"
"""Whether files behave as on Windows: what is open cannot be moved, deleted or replaced."""

_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait for a program that has a file open: scanners and indexers let go soon."""

_LONG_PATH = 248
"""Characters from which on Windows refuses a folder unless it was told to allow long paths."""

_RESERVED = frozenset(
    {"aux", "con", "nul", "prn"} | {f"{port}{i}" for port in ("com", "lpt") for i in "0123456789¹²³"}
)
"""Names of devices on Windows, with any suffix."""

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
    errno.EACCES: "writing there is not permitted; choose another folder",
    errno.EPERM: "writing there is not permitted; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EEXIST: "a part of the path is a file; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "a file became larger than is permitted; raise the limit or choose another folder",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {_reason(error, path)}") from error


def _reason(error: OSError, path: Path) -> str:
    if WINDOWS and isinstance(error, PermissionError):
        return (
            "another program has it open, or writing there is not permitted; close the program, or "
            "choose another folder"
        )
    # Windows says that a path which is too long does not exist.
    if WINDOWS and isinstance(error, FileNotFoundError) and len(os.path.abspath(path)) >= _LONG_PATH:
        return "the path is longer than Windows allows; choose a folder nearer to the top"
    other = f"{error.strerror or error}; choose another folder"
    return _REASONS.get(error.errno or 0, other)


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable, where the platform and the disk can."""
    if WINDOWS:
        return  # Windows cannot open a folder for syncing.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network disks sync files but no folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def move(source: Path, target: Path) -> None:
    """Move a file or a folder, replacing a file that stands there.

    Windows refuses while any program has either of them open, as virus scanners and indexers
    have for a moment after a file was written; there it is tried again for about 1.5 seconds.

    Raises:
        OSError: If the system refuses.
    """
    for pause in _PAUSES if WINDOWS else ():
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def write_file(path: Path, content: bytes, *, grows: bool = False) -> None:
    """Write a file aside, make it durable and move it into place.

    In a folder that has a list of Attar's files, the file is put on it.

    Args:
        path: The file.
        content: All of it.
        grows: Whether it will be appended to, so that its content is not compared later.

    Raises:
        UsageError: If the disk is full, the folder cannot be written, or a file of the user's is in the way.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        known = FileList.of(path)
        if known is not None:
            if os.path.lexists(path) and not known.holds(path, known.name(path)):
                raise UsageError(
                    f"the file {str(path)!r} was not written by Attar, or was changed since; move it away"
                )
            known.add([(known.name(path), None if grows else content_digest(content))])
        aside = beside(path, "new")
        try:
            with open(aside, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            move(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)


def beside(path: Path, what: str) -> Path:
    """Return a name beside a path for what is on its way there (``new``) or was there (``old``)."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.attar-{what}")


def to_json(value: Any) -> bytes:
    """Return `value` as JSON for people: indented, keys in order, no NaN."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, most: int = 32 * 2**20) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: If it is missing, larger than `most` bytes, or no JSON.
    """
    try:
        content = read_limited(path, most)
        value = json.loads(content)
        if b"\\ud" in content or b"\\uD" in content:
            # Half of a letter of two halves is no text that could be written again.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(path.parent)!r} has no {path.name}; it is no complete artifact or run"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{str(path)!r} is no valid JSON ({error}); restore it from where it came"
        ) from error


def portable_names(texts: Iterable[str], most: int = 100) -> tuple[str, ...]:
    """Return a file name for each text that every platform takes, no two alike in any case.

    Args:
        texts: Any texts, such as class names.
        most: Bytes of a name, before what tells it from another.
    """
    taken: set[str] = set()
    names = []
    for text in texts:
        name = stem = _portable(text, most)
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)


def _portable(text: str, most: int) -> str:
    # macOS takes the two spellings of an accented letter for one name.
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in text)
    text = text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore").strip(" ").rstrip(". ")
    # A leading dot hides a file, and a leading dash looks like an option.
    text = f"_{text[1:]}" if text.startswith((".", "-")) else text
    return f"_{text}" if not text or text.split(".")[0].rstrip().casefold() in _RESERVED else text
