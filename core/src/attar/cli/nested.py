"""Settings of applications: given by dotted key, and read from the folder of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attar.errors import UsageError
from attar.recipe import DataRecipe, read_toml

__all__ = ["check_code", "put", "read_values"]


def put(
    values: dict[str, Any],
    key: str,
    value: Any,
    *,
    fields: Collection[str],
    tables: Collection[str],
    dotted: Collection[str] = (),
) -> None:
    """Place a setting given as ``KEY=VALUE`` in the values of a recipe.

    Args:
        values: The recipe, changed in place.
        key: Its name, such as ``learn.epochs``; a bare one is of the recipe or else of the method.
        value: Its value.
        fields: Names of the recipe's own settings.
        tables: Names of those that hold settings.
        dotted: Those of them whose settings have names with dots.

    Raises:
        UsageError: If there is no such setting.
    """
    *parents, last = key.split(".")
    if not parents and last not in fields:
        parents = ["objective"]
    if parents == ["data"] and last not in DataRecipe.model_fields:
        parents = ["data", "options"]
    if parents and parents[0] not in tables:
        raise UsageError(f"the setting {key!r} is unknown; settings stand in {', '.join(tables)}")
    if parents and parents[0] in dotted:
        parents, last = [parents[0]], ".".join([*parents[1:], last])
    node = values
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise UsageError(f"the setting {key!r} is unknown: {parent!r} has no settings below it")
    node[last] = value


def read_values(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the recipe of a run, a file or the folder of a run, and what it says.

    Raises:
        UsageError: If it is missing or no TOML.
    """
    file = path / "recipe.toml" if path.is_dir() else path
    return file, read_toml(file)


def check_code(file: Path, model: str, objective: Mapping[str, Any], changes: Mapping[str, str]) -> None:
    """Refuse a recipe that names code, since recipes come from strangers.

    Args:
        file: The recipe.
        model: The network that it names.
        objective: The method's settings that it names.
        changes: Settings that the user gives himself, which may name code.

    Raises:
        UsageError: Naming the setting.
    """
    named = {"model": model, **{f"objective.{key}": each for key, each in objective.items()}}
    for key, each in named.items():
        if ":" in str(each) and not {key, key.removeprefix("objective.")} & changes.keys():
            raise UsageError(
                f"the recipe {str(file)!r} names code, {key} = {each!r}; if you trust that code, name it "
                f"yourself with --set {key}=…"
            )
