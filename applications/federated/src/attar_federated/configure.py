"""From what a user says, on the command line or in the configuration of a Flower app, to a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from attar.api import load_task
from attar.cli.nested import check_code, put, read_values
from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import CacheMode
from attar.quantities import parse_bytes
from attar.recipe import Recipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.settings import parse

from attar_federated.settings import FederatedRecipe

__all__ = ["KEYS", "Located", "read_run", "recipe_of"]

KEYS: Mapping[str, Any] = {
    "modality": "",
    "data": "",
    "root": "",
    "protocol": "one-shot",
    "clients": 10,
    "partition": "iid",
    "distiller": "dm",
    "ipc": 0,
    "size": 0,
    "ratio": 0.0,
    "budget": "",
    "steps": 0,
    "model": "",
    "rounds": 0,
    "target": 0.0,
    "wire": "float32",
    "robust": False,
    "privacy": False,
    "seed": 0,
    "set": "",
    "out": "",
    "timeout": 3600.0,
    "wait": 60.0,
}
"""What a run is configured by, with what stands for nothing said; named as the options of the command."""

_TABLES = ("data", "objective", "parameterization", "local", "training", "robust", "privacy", "run", "size")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    # Names of a protocol's settings may have dots of their own.
    put(values, key, value, fields=FederatedRecipe.model_fields, tables=_TABLES, dotted=("training",))


def recipe_of(
    said: Mapping[str, Any], name: str, changes: Mapping[str, str] | None = None
) -> FederatedRecipe:
    """Return the run that is meant.

    Args:
        said: Values by name, of :data:`KEYS`; the name of the data is `name`.
        name: What a recipe calls the data, without a path.
        changes: Further settings by name, as of ``--set``.

    Raises:
        UsageError: If a name is unknown or a value does not fit.
    """
    given = {**KEYS, **said}
    size: dict[str, Any] = {
        "ipc": given["ipc"] or None,
        "total": given["size"] or None,
        "ratio": given["ratio"] or None,
        "bytes": parse_bytes(given["budget"]) if given["budget"] else None,
        "policy": "cap",
    }
    if not any(size[key] for key in ("ipc", "total", "ratio", "bytes")):
        size["ipc"] = 10
    values: dict[str, Any] = {
        "data": {"modality": given["modality"], "name": name},
        "size": size,
        "objective": {"steps": given["steps"]} if given["steps"] else {},
        "run": {"seed": given["seed"]},
        "robust": {} if given["robust"] else None,
        "privacy": {} if given["privacy"] else None,
        **{key: given[key] for key in ("protocol", "clients", "partition", "distiller", "model", "rounds")},
        **{key: given[key] for key in ("target", "wire")},
    }
    for key, value in {**_listed(str(given["set"])), **(changes or {})}.items():
        _put(values, key, value)
    return parse(FederatedRecipe, values, "")


def read_run(path: Path, changes: Mapping[str, str]) -> FederatedRecipe:
    """Read, change and validate the recipe of a run, as its folder has it.

    Args:
        path: The file, or the folder of a run.
        changes: Settings that the user gives himself.

    Raises:
        UsageError: If it is missing, no TOML, or a key is unknown or does not fit; and if it names
            code that the user has not named himself, since recipes come from strangers.
    """
    file, values = read_values(path)
    for key, value in changes.items():
        _put(values, key, value)
    recipe = parse(FederatedRecipe, values, "")
    check_code(file, recipe.model, recipe.objective, changes)
    return recipe


def _listed(text: str) -> dict[str, str]:
    """Return the settings in a text such as ``lr=0.1 local.epochs=5``."""
    found = {}
    for part in re.split(r"\s+", text.strip()) if text.strip() else []:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(f"set: {part!r} is not understood; write it as lr=0.1")
        found[key] = value
    return found


@lru_cache(maxsize=2)
def _loaded(source: Located) -> Task:
    """Return the data of a source; a process that plays server and clients loads them once."""
    return source.load()


class Located:
    """Loads the data of a run: a value that other processes can be sent.

    Args:
        recipe: The run.
        data: Name of known data, or a path.
        root: Folder of known data.
        cache: Whether what is decoded is kept.
        download: Whether known data may be downloaded.
        show: Whether progress is shown.
    """

    def __init__(
        self,
        recipe: FederatedRecipe,
        data: str,
        root: str | None,
        cache: CacheMode = "auto",
        *,
        download: bool = False,
        show: bool = False,
    ) -> None:
        self._recipe, self._data = recipe, data
        # Processes that load the data do not stand where this one does.
        self._root = None if root is None else str(Path(root).absolute())
        if Path(data).exists():
            self._data = str(Path(data).absolute())
        self._cache, self._download, self._show = cache, download, show
        self._key = (recipe.data.model_dump_json(), self._data, self._root, cache)

    def __call__(self) -> Task:
        """Return the data, which this process may have read before."""
        return _loaded(self)

    def load(self) -> Task:
        """Return the data, read anew."""
        wanted = Recipe(data=self._recipe.data, size=SizeRecipe(ipc=1), method="random")
        return load_task(
            resolve(wanted, Registry()),
            self._data,
            self._root,
            self._download,
            cache=self._cache,
            show=self._show,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Located) and other._key == self._key
