"""The text of an architecture: a name and settings, typed by the factory's annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from attar.errors import UsageError
from attar.settings import unknown

__all__ = ["literal", "parse", "typed"]


def parse(text: str, what: str = "architecture") -> tuple[str, dict[str, str]]:
    """Split ``"name,key=value,…"`` into the name and the settings, still strings.

    Raises:
        UsageError: If a setting has no ``=`` or stands twice.
    """
    name, *parts = [part.strip() for part in text.split(",")]
    settings: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key or key in settings:
            raise UsageError(
                f"the {what} {text!r} is not understood at {part!r}; write it as 'name,key=value,key=value'"
            )
        settings[key.strip()] = value.strip()
    return name, settings


def literal(text: str) -> int | float | bool | str:
    """Return the number or truth value that a text stands for, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a factory takes after the feature shape and the number of classes."""
    try:
        after = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        # Functions written in C may have no signature; they say themselves what they refuse.
        return {"settings": inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)}
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [parameter for parameter in after if parameter.kind in positional][:2]
    return {
        parameter.name: parameter
        for parameter in after
        if parameter not in taken
        and parameter.kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    }


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    # A class is described by its constructor.
    target = getattr(factory, "__init__") if inspect.isclass(factory) else factory  # noqa: B009
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # Annotations that name what exists for type checkers only say nothing here.
        return {}


def typed(name: str, factory: Callable[..., Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return settings with the types of the factory's annotations.

    A setting without an annotation is a number or a truth value where it reads as one.

    Raises:
        UsageError: If a setting is unknown or does not fit.
    """
    parameters, hints = _parameters(factory), _hints(factory)
    kinds = [parameter.kind for parameter in parameters.values()]
    anything = inspect.Parameter.VAR_KEYWORD in kinds
    known = [key for key, each in parameters.items() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known and not anything:
            raise UsageError(
                unknown(f"setting of {name!r}", key, known)
                if known
                else f"unknown setting of {name!r} {key!r}: it has no settings"
            )
        if key not in known or key not in hints:
            values[key] = literal(value)
            continue
        try:
            adapter = TypeAdapter(hints[key], config=ConfigDict(arbitrary_types_allowed=True))
            values[key] = adapter.validate_python(value)
        except PydanticUserError:
            # An annotation that is no type to validate by.
            values[key] = literal(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UsageError(
                f"{name},{key}={value} does not fit: {reason[:1].lower() + reason[1:]}"
            ) from error
    return values
