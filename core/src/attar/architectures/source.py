"""What code is, by content: cached results depend on it.

Of code that is nobody's library, the file and all that it imports from the same place are
hashed; of an installed library, the file and the library's version.
"""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

__all__ = ["closure", "digest", "installed"]


@cache
def _libraries() -> frozenset[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [*(sysconfig.get_path(name) for name in names), site.getusersitepackages()]
    return frozenset(Path(place).resolve() for place in places)


def installed(path: Path) -> bool:
    """Return whether a file belongs to Python or to an installed library."""
    return not _libraries().isdisjoint(path.resolve().parents)


def began() -> float:
    """Return when this process began, in seconds since the epoch."""
    import psutil

    return float(psutil.Process().create_time())


def _files(parts: Sequence[str], root: Path) -> Iterator[Path]:
    """Yield the files below `root` that importing a module runs, packages first."""
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                yield path


def _imports(path: Path, root: Path) -> Iterator[list[str]]:
    """Yield the modules that a file may import, as their parts."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(root).parts
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            # What is imported from a package may be a module of it.
            yield from ([*base, alias.name] for alias in node.names if alias.name != "*")
            yield base


def closure(module: str, root: Path) -> list[Path]:
    """Return the files below `root` that a module is made of: its own, and those it imports.

    Args:
        module: Dotted name.
        root: Folder that it is imported from.
    """
    waiting = list(_files(module.split("."), root))
    known: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in known:
            continue
        known.add(path)
        for parts in _imports(path, root):
            waiting += _files(parts, root)
    return sorted(known)


def digest(module: str) -> str | None:
    """Return a hash of the code of an imported module, or None where it cannot be known.

    It cannot be known of scripts and notebooks, of compiled modules, and of files that were
    changed after this process began, since what was imported may be older than what is read.
    """
    loaded = sys.modules.get(module)
    path = Path(getattr(loaded, "__file__", None) or "")
    if module == "__main__" or path.suffix != ".py" or not path.is_file():
        return None
    parts = module.split(".")
    hashed = hashlib.blake2b(digest_size=16)
    root = path.absolute().parents[len(parts) if path.name == "__init__.py" else len(parts) - 1]
    if installed(path):
        files = [path]
        hashed.update(str(getattr(sys.modules.get(parts[0]), "__version__", "")).encode())
    else:
        try:
            files = closure(module, root)
        except (OSError, SyntaxError, ValueError):
            return None
    for file in files:
        seen = file.stat()
        if max(seen.st_mtime, seen.st_ctime) > began():
            return None
        content = file.read_bytes()
        hashed.update(f"{file.absolute().relative_to(root).as_posix()} {len(content)} ".encode())
        hashed.update(content)
    return hashed.hexdigest()
