"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attar.errors import UsageError

__all__ = [
    "OWN",
    "check_free",
    "check_ours",
    "disk_errors",
    "read_json",
    "staged_folder",
    "swap",
    "sync_folder",
    "to_json",
    "write_file",
]

OWN = ("recipe.toml", "manifest.json", "ipc-1")
"""Files of which runs, artifacts and demos have one: ``--force`` deletes nothing else."""

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
        other = f"{error.strerror or error}; choose another folder"
        reason = _REASONS.get(error.errno or 0, other)
        raise UsageError(f"cannot write {str(path)!r}: {reason}") from error


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable, where the platform can."""
    if os.name == "nt":
        return  # Windows cannot open a folder for syncing.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes) -> None:
    """Write a file aside, make it durable and move it into place.

    Raises:
        UsageError: If the disk is full or the folder cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with open(aside, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)


def check_free(path: Path, force: bool) -> None:
    """Refuse a folder that exists, unless it is empty or `force` is given.

    Raises:
        UsageError: If the folder holds anything, or is a file.
    """
    with disk_errors(path):
        if path.is_file():
            raise UsageError(f"{str(path)!r} is a file; choose another --out")
        occupied = path.exists() and any(path.iterdir())
    if occupied and not force:
        raise UsageError(
            f"the folder {str(path)!r} exists and is not empty; choose another --out, "
            f"continue it with --resume, or replace it with --force"
        )


def check_ours(path: Path) -> None:
    """Refuse to replace a folder that no command of ours wrote.

    Raises:
        UsageError: If the folder holds anything else than a run, an artifact or a demo.
    """
    with disk_errors(path):
        if path.is_dir() and any(path.iterdir()) and not any((path / name).exists() for name in OWN):
            raise UsageError(
                f"the folder {str(path)!r} holds something else than a run or an artifact, so --force "
                f"does not delete it; choose another --out"
            )


@contextmanager
def staged_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `path` that becomes `path` when the block ends well.

    With `force`, what stood there is moved away first and deleted last.

    Raises:
        UsageError: If `path` is occupied and `force` is not given, or the disk refuses.
    """
    check_free(path, force)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        aside.mkdir()
        try:
            yield aside
            _sync_tree(aside)
            swap(aside, path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _sync_tree(path: Path) -> None:
    """Make every file below a folder durable."""
    for place, _, names in os.walk(path):
        for name in names:
            # Windows syncs only files that are open for writing.
            with open(Path(place) / name, "rb+") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def swap(new: Path, path: Path) -> None:
    """Move `new` to `path`; what stood there is moved away before, and deleted last."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    replacing = path.exists()
    if replacing:
        os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        if replacing:
            old.rename(path)
        raise
    sync_folder(path.parent)
    if replacing:
        shutil.rmtree(old, ignore_errors=True)


def to_json(value: Any) -> bytes:
    """Return `value` as JSON for people: indented, keys in order, no NaN."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, most: int = 64 * 2**20) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: If it is missing, larger than `most` bytes, or no JSON.
    """
    try:
        if path.stat().st_size > most:
            raise UsageError(f"{path.name} has {path.stat().st_size:,} bytes, more than the {most:,} allowed")
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(path.parent)!r} has no {path.name}; it is no complete artifact or run"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{str(path)!r} is no valid JSON ({error}); restore it from where it came"
        ) from error
