"""Typed settings: frozen, complete, and clear about what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from attar.errors import UsageError
from attar.plain import plain

__all__ = ["MOST", "Record", "Settings", "parse", "unknown"]


class Record(BaseModel):
    """A frozen record that refuses unknown keys: what results and manifests are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Settings(Record):
    """Settings of a plugin or a command; every key has a type and a default."""


MOST = 2**63 - 1
"""The largest whole number that is taken anywhere."""

_SHOWN = 200
"""Characters of a value or a key that are quoted."""
_MOST = 200
"""Choices that are looked through and listed."""

S = TypeVar("S", bound=BaseModel)


def unknown(thing: str, name: str, choices: Iterable[str]) -> str:
    """Return the sentence that refuses an unknown name and lists the choices."""
    known = sorted(choices)
    name = _short(name)
    same = next((each for each in known if each.lower() == name.lower()), None)
    if same is not None:
        # There is no doubt, so that a long list would only hide it.
        return f"unknown {thing} {name!r}: did you mean {same!r}?"
    # Comparing with thousands of columns takes long, and a list of them helps nobody.
    close = difflib.get_close_matches(name.lower(), known[:_MOST], n=1)
    if len(known) > _MOST:
        known = [*known[: _MOST // 4], f"… ({len(known):,} in all)"]

    meant = f"did you mean {close[0]!r}? " if close else ""
    rest = f"{meant}choose from {', '.join(known)}" if known else "there are none; leave it out"
    return f"unknown {thing} {name!r}: {rest}"


def parse(model: type[S], values: Mapping[str, Any], where: str) -> S:
    """Validate `values` as `model`.

    Args:
        model: The settings class.
        values: The values as a user wrote them; strings are converted.
        where: What the settings belong to, for the error, such as ``objective``.

    Raises:
        UsageError: Naming the first key that is wrong and what it may be.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(_sentence(model, error, where)) from error
    except (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        # What a validator of a plugin did not think of.
        raise UsageError(f"{where or 'the settings'} do not fit: {error}") from error


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = [_short(str(part)) for part in first["loc"]]
    key = ".".join([where, *path] if where else path)
    if first["type"] == "extra_forbidden":
        return unknown("setting", key, [f"{where}.{name}" if where else name for name in _keys(model, path)])
    if first["type"] == "missing":
        return f"the setting {key!r} is missing; add it"
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if first["type"] in ("model_type", "dict_type"):
        return f"{key} = {_short(repr(first['input']))} does not fit: it must be a table of settings"
    if isinstance(first["input"], dict):
        return f"{key or 'the settings'} do not fit: {reason}"
    return f"{key} = {_short(repr(first['input']))} does not fit: {reason}"


def _short(text: str) -> str:
    """Return a stranger's text without control characters, and of a long one its beginning."""
    return plain(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…").replace("\n", " ")


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys allowed where the last part of `path` stands."""
    prefix = ""
    for part in path[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
        prefix += f"{part}."
    return [prefix + name for name in model.model_fields]
