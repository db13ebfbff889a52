"""Packages of plugins, written so that they install, are found and keep the laws of their seam at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from attar.errors import UsageError
from attar.files import write_file
from attar.folders import staged_folder
from attar.registry import Registry
from attar.settings import unknown

__all__ = ["KINDS", "package_files", "write_package"]

KINDS: Mapping[str, str] = {
    "modality": "modalities",
    "objective": "objectives",
    "application": "applications",
}
"""What can be written, with the group that it is registered in."""

_COMMANDS = {
    "modality": "attar distill $name --data example --ipc 1 --out runs/first",
    "objective": "attar distill tensor --data digits --ipc 1 --method $name --out runs/first",
    "application": "attar demo --quick && attar $name attar-demo/ipc-1",
}
_ABOUT = {"modality": "a kind of data", "objective": "a method", "application": "a use of distilled sets"}


def package_files(kind: str, name: str, version: str) -> dict[str, str]:
    """Return the files of a package by their place in it.

    Args:
        kind: One of :data:`KINDS`.
        name: Name that the plugin is registered with.
        version: Version of the core that it asks for at least.

    Raises:
        UsageError: If there is no such kind, or the name is no name.
    """
    if kind not in KINDS:
        raise UsageError(unknown("kind of plugin", kind, KINDS))
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r} is no name of a plugin; write it in small letters, digits and hyphens")
    words = {
        "name": name,
        "package": f"attar_{name.replace('-', '_')}",
        "title": "".join(part.capitalize() for part in name.split("-")),
        "group": KINDS[kind],
        "about": f"{name}: {_ABOUT[kind]}",
        "version": version,
    }
    words["command"] = Template(_COMMANDS[kind]).substitute(words)
    places = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{words['package']}/__init__.py": f"{kind}.py",
        f"tests/test_{words['package']}.py": "test.py",
    }
    found = {place: _template(source).substitute(words) for place, source in places.items()}
    return {**found, f"src/{words['package']}/py.typed": ""}


def _template(name: str) -> Template:
    return Template((files(__name__) / "templates" / f"{name}.txt").read_text("utf-8"))


def write_package(
    kind: str, name: str, out: Path, *, force: bool = False, registry: Registry | None = None
) -> Path:
    """Write a package into a folder of its own below `out`, and return that folder.

    Args:
        kind: One of :data:`KINDS`.
        name: Name that the plugin is registered with.
        out: Folder below which the package is written.
        force: Whether a run or an artifact that stands there is replaced; anything else never is.
        registry: The plugins known.

    Raises:
        UsageError: If kind or name will not do, another plugin has the name, or the folder is taken.
    """
    from importlib.metadata import version

    made = package_files(kind, name, version("attar-core"))
    if name in (registry or Registry()).names(KINDS[kind]):
        raise UsageError(f"there is a plugin {name!r} among the {KINDS[kind]} already; choose another name")
    folder = out / f"attar-{name}"
    with staged_folder(folder, force=force, kind="package") as aside:
        for place, text in made.items():
            target = aside / place
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, text.encode())
    return folder
