"""``attar new``."""

from __future__ import annotations

from pathlib import Path

from attar.cli import tables
from attar.scaffold import package_files, write_package
from attar.settings import Record

__all__ = ["Written", "write"]


class Written(Record):
    """What ``attar new --json`` prints.

    Attributes:
        package: Folder of the package.
        files: Its files.
    """

    package: str
    files: tuple[str, ...]


def write(kind: str, name: str, out: Path, *, as_json: bool) -> None:
    """Write a package and say what comes next."""
    folder = write_package(kind, name, out)
    written = Written(package=str(folder), files=tuple(sorted(package_files(kind, name, ""))))
    if as_json:
        tables.print_json(written)
        return
    tables.print_pairs(
        {
            "package": written.package,
            "install": f"pip install -e '{folder}[test]'",
            "test": f"pytest '{folder}'",
            "change": "what is marked CHANGE in src",
        }
    )
