"""Limits on what a file from outside may ask for, checked before anything is allocated.

A small file can stand for a large table: archives compress zeros a thousandfold, Parquet stores a value
that is repeated once. What a file unpacks to is therefore compared with what it takes on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from attar.errors import UsageError

__all__ = [
    "MOST_COLUMNS",
    "MOST_LINE",
    "check_columns",
    "check_unpacked",
    "first_line",
    "lines_of",
    "read_limited",
]

MOST_COLUMNS = 2**16
"""Columns of a table; each takes kilobytes however short it is."""

MOST_LINE = 2**24
"""Characters of a line."""

_ALWAYS = 2**28
_TIMES = 256


def check_unpacked(need: int, taken: int, where: str) -> None:
    """Refuse what unpacks to much more than the file takes; a quarter of a gigabyte is always permitted.

    Args:
        need: Bytes that it unpacks to.
        taken: Bytes of the file.
        where: What it is called in errors.

    Raises:
        UsageError: If it is more than 256 times as large.
    """
    if need > max(_ALWAYS, _TIMES * taken):
        raise UsageError(
            f"{where} takes {taken:,} bytes and unpacks to {need:,}; files that grow more than {_TIMES}-fold "
            f"are refused, so store it uncompressed if its contents are really so"
        )


def check_columns(count: int, where: str) -> None:
    """Refuse a table of too many columns.

    Raises:
        UsageError: If there are more than 65,536.
    """
    if count > MOST_COLUMNS:
        raise UsageError(
            f"{where} has {count:,} columns, more than the {MOST_COLUMNS:,} that a table may have; give such "
            f"data as an .npz file"
        )


def first_line(path: Path, encoding: str = "utf-8-sig") -> str:
    """Return the first line of a text file without its end.

    Raises:
        UsageError: If it is longer than 16 million characters.
        OSError: If the file cannot be read.
        UnicodeDecodeError: If it is no such text.
    """
    with open(path, encoding=encoding) as file:
        return next(lines_of(file, repr(str(path))), "").rstrip("\r\n")


def lines_of(file: IO[str], where: str) -> Iterator[str]:
    """Yield the lines of a text file.

    Args:
        file: The file.
        where: What it is called in errors.

    Raises:
        UsageError: If one is longer than 16 million characters.
    """
    number = 0
    while line := file.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE:
            raise UsageError(
                f"line {number} of {where} is longer than {MOST_LINE:,} characters; this is no such table, "
                f"or it lacks its ends of lines"
            )
        yield line


def read_limited(path: Path, most: int) -> bytes:
    """Return the bytes of a file that is small.

    Raises:
        UsageError: If it has more than `most` bytes.
        OSError: If it cannot be read, or is no file.
    """
    if path.exists() and not path.is_file():
        # Opening a pipe waits for whoever writes, and a device may never end.
        raise UsageError(f"{str(path)!r} cannot be read, since it is no file; give one")
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        size = max(path.stat().st_size, most + 1)
        raise UsageError(f"{str(path)!r} has {size:,} bytes, more than the {most:,} allowed; restore it")
    return content
