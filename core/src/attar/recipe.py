"""Recipes: everything that decides a run, as typed values, read from and written to TOML.

A recipe names data by name and content, never by path, and can name only registered
plugins: a stranger's recipe cannot reach outside of what is installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tomli_w
from pydantic import Field, ValidationInfo, field_validator, model_validator

from attar.contracts import StorageType
from attar.errors import UsageError
from attar.labels import label_kind
from attar.limits import read_limited
from attar.plugins import Method, MethodSettings, Modality
from attar.registry import Registry
from attar.settings import MOST, Settings, parse, unknown

__all__ = [
    "MOST_RECIPE",
    "DataRecipe",
    "Precision",
    "Recipe",
    "Resolved",
    "RunRecipe",
    "SizeRecipe",
    "read_recipe",
    "read_toml",
    "resolve",
    "stored_recipe",
    "with_settings",
    "without_none",
]

MOST_RECIPE = 2**20
"""Bytes of a recipe."""
_MOST_PARTS = 100

Precision: TypeAlias = Literal["fp32", "bf16", "auto"]
"""What models run in, or that it is to be decided."""


class DataRecipe(Settings):
    """Which data.

    Attributes:
        modality: Name of the modality.
        name: Name of a known data set, or the bare name of the user's own folder or file.
        fingerprint: Hash of the contents, once known; another one warns.
        options: The modality's settings.
    """

    modality: str
    name: str
    fingerprint: str = ""
    options: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _no_path(cls, value: str) -> str:
        if "/" in value or "\\" in value or value in ("", ".", ".."):
            raise ValueError("data are named without a path; give the path with --data")
        return value


class SizeRecipe(Settings):
    """How large the set is: exactly one of these.

    Attributes:
        ipc: Stored samples per class.
        total: Stored samples in all.
        ratio: Stored samples per training sample.
        bytes: Bytes of all stored tensors, at most.
        policy: What happens where a class has fewer samples than are asked for: ``error``
            refuses, ``cap`` takes as many as there are, ``repeat`` repeats samples with noise.
        balance: ``balanced`` gives every class as many; ``proportional`` follows the data,
            with at least one each.
    """

    ipc: int | None = Field(default=None, ge=1, le=MOST)
    total: int | None = Field(default=None, ge=1, le=MOST)
    ratio: float | None = Field(default=None, gt=0, le=1)
    bytes: int | None = Field(default=None, ge=1, le=MOST)
    policy: Literal["error", "cap", "repeat"] = "error"
    balance: Literal["balanced", "proportional"] = "balanced"

    @model_validator(mode="after")
    def _one(self) -> SizeRecipe:
        given = [name for name in ("ipc", "total", "ratio", "bytes") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of ipc, total, ratio and bytes, not {' and '.join(given) or 'none'}"
            )
        return self


def size_of(values: Mapping[str, Any], names: str) -> SizeRecipe:
    """Return the size that options ask for; ten samples per class where they ask for none.

    Classes with fewer samples then give what they have.

    Args:
        values: Values of :class:`SizeRecipe` by name.
        names: What the user calls the four sizes, for errors.

    Raises:
        UsageError: If more than one size is asked for, or a value does not fit.
    """
    asked = {"ipc", "total", "ratio", "bytes"} & values.keys()
    if len(asked) > 1:
        raise UsageError(f"give only one of {names}")
    if not asked:
        values = {**values, "ipc": 10}
        if values.get("policy", "error") == "error":
            values["policy"] = "cap"
    return parse(SizeRecipe, values, "size")


class RunRecipe(Settings):
    """What else decides the result.

    Attributes:
        seed: Seed that every draw is derived from.
        dtype: Type that values are stored in.
        precision: ``fp32``; ``bf16`` for models that run in bfloat16; ``auto`` for what
            :func:`attar.precision_choice.decided` finds, which a run writes down.
        checkpoint_every: Steps between checkpoints.
    """

    seed: int = Field(default=0, ge=0, le=MOST)
    dtype: StorageType = "float32"
    precision: Precision = "fp32"
    checkpoint_every: int = Field(default=100, ge=1, le=MOST)


class Recipe(Settings):
    """A run, repeatable.

    Attributes:
        data: Which data.
        size: How large the set is.
        method: Name of a method or of a selector.
        objective: The method's settings.
        parameterization: The parameterization's settings.
        run: What else decides the result.
    """

    data: DataRecipe
    size: SizeRecipe
    method: str = "dm"
    objective: dict[str, Any] = {}
    parameterization: dict[str, Any] = {}
    run: RunRecipe = RunRecipe()

    @field_validator("method")
    @classmethod
    def _named(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            raise ValueError("name a method")
        return value

    def digest(self) -> str:
        """Return a hash of everything that decides the result; the fingerprint is left out."""
        values = self.model_dump(mode="json")
        values["data"].pop("fingerprint")
        values["run"].pop("checkpoint_every")
        return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()

    def to_toml(self) -> str:
        """Return the recipe as TOML."""
        return tomli_w.dumps(without_none(self.model_dump(mode="json")))

    def difference(self, other: Recipe) -> str:
        """Return the first setting that differs, with both values, or ""."""
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        for key in sorted(mine.keys() | theirs.keys()):
            if key in ("data.fingerprint", "run.checkpoint_every"):
                continue
            if mine.get(key) != theirs.get(key):
                return f"{key} is {mine.get(key)!r} there and {theirs.get(key)!r} here"
        return ""


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is None, for which TOML has no value; an absent setting means the same."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@dataclass(frozen=True)
class Resolved:
    """A recipe whose names have been looked up and whose settings are complete.

    Attributes:
        recipe: The recipe with every setting filled in.
        modality: The modality.
        options: The modality's validated settings.
        method: The method, or None where a selector is named.
        settings: The method's validated settings, or None.
        selector: The selector, or None.
    """

    recipe: Recipe
    modality: Modality
    options: Settings
    method: Method | None
    settings: MethodSettings | None
    selector: Any


def resolve(recipe: Recipe, registry: Registry) -> Resolved:
    """Look up the plugins that a recipe names and validate their settings.

    Raises:
        UsageError: If a name is unknown or a setting does not fit.
    """
    modality = registry.get("modalities", recipe.data.modality)
    options = parse(modality.Options, recipe.data.options, "data.options")
    method = settings = selector = None
    if recipe.method in registry.names("selectors"):
        selector = registry.get("selectors", recipe.method)
        if recipe.objective.keys() - {"space", "model"}:
            odd = sorted(recipe.objective.keys() - {"space", "model"})[0]
            raise UsageError(
                f"the selector {recipe.method!r} has no setting 'objective.{odd}'; it has space and model"
            )
    else:
        # Both kinds are offered where the name is neither.
        choices = set(registry.names("objectives")) | set(registry.names("selectors"))
        if recipe.method not in choices:
            raise UsageError(unknown("method", recipe.method, choices))
        method = registry.get("objectives", recipe.method)
        settings = parse(method.Settings, recipe.objective, "objective")
        label_kind(method, settings)
        plugin = registry.get("parameterizations", settings.parameterization)
        stored = parse(plugin.Settings, recipe.parameterization, "parameterization")
        filled = {
            "objective": settings.model_dump(mode="json"),
            "parameterization": without_none(stored.model_dump(mode="json")),
        }
        recipe = recipe.model_copy(update=filled)
    data = recipe.data.model_copy(update={"options": options.model_dump(mode="json")})
    return Resolved(
        recipe=recipe.model_copy(update={"data": data}),
        modality=modality,
        options=options,
        method=method,
        settings=settings,
        selector=selector,
    )


def read_recipe(path: Path, changes: Mapping[str, str] | None = None) -> Recipe:
    """Read, change and validate a TOML recipe.

    Args:
        path: The file.
        changes: Settings by dotted key that the user gives himself, as for :func:`with_settings`.

    Raises:
        UsageError: If the file is missing, no TOML, or a key is unknown or does not fit; and if
            it names code that the user has not named himself, since recipes come from strangers.
    """
    recipe = stored_recipe(path)
    changes = {_in_full(key): value for key, value in (changes or {}).items()}
    if changes:
        recipe = with_settings(recipe, changes)
    values = {"objective": recipe.objective, "parameterization": recipe.parameterization}
    for key, value in _flat(values).items():
        if ":" in str(value) and key not in changes:
            raise UsageError(
                f"the recipe {str(path)!r} names code, {key} = {value!r}, but a recipe may name only what "
                f"is registered; if you trust that code, name it yourself with --set {key}=…"
            )
    return recipe


def stored_recipe(path: Path) -> Recipe:
    """Return a TOML recipe as it stands, to be compared with another but not to be carried out.

    Raises:
        UsageError: If the file is missing, no TOML, or a key is unknown or does not fit.
    """
    return parse(Recipe, read_toml(path), "")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML recipe says.

    Raises:
        UsageError: If the file is missing, too large, or no TOML.
    """
    try:
        text = read_limited(path, MOST_RECIPE).decode("utf-8")
        # Each part of a key is kept with all before it, which of thousands takes gigabytes.
        if any(part.count(".") > _MOST_PARTS for part in re.split(r"[\n,=\[\]{}]", text)):
            raise ValueError(f"a key has more than {_MOST_PARTS} parts")
        return tomllib.loads(text)
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"there is no recipe {str(path)!r}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe {str(path)!r} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, and brackets nested as deep, are no TOML for Python.
        raise UsageError(f"the recipe {str(path)!r} is no valid TOML: {error}") from error


def with_settings(recipe: Recipe, changes: Mapping[str, str]) -> Recipe:
    """Return the recipe with settings changed by key, such as ``objective.lr``, or ``lr`` for short.

    Raises:
        UsageError: If a key is unknown or a value does not fit.
    """
    values = recipe.model_dump(mode="json", exclude_none=True)
    for key, value in changes.items():
        node = values
        *parents, last = _in_full(key).split(".")
        if parents == ["data"] and last not in DataRecipe.model_fields:
            # An evaluation has no other settings of data, so both ways of writing are understood.
            parents = ["data", "options"]
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UsageError(f"the setting {key!r} is unknown: {parent!r} has no settings below it")
        node[last] = value
    return parse(Recipe, values, "")


def _in_full(key: str) -> str:
    """Return a setting of the method with its table, as a comparison understands it without one too."""
    return key if "." in key or key == "method" else f"objective.{key}"
