"""Architectures by name: ``"convnet,width=64,depth=2"`` and what it is checked against."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Generator, nn

from attar.errors import UsageError
from attar.rng import scoped
from attar.settings import unknown

__all__ = ["Architecture", "build", "capability", "coupled", "parse"]

Architecture: TypeAlias = Callable[..., nn.Module]
"""Called with the feature shape, the number of classes and keyword settings."""


def parse(text: str) -> tuple[str, dict[str, str]]:
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
                f"the architecture {text!r} is not understood at {part!r}; "
                f"write it as 'convnet,width=64,depth=2'"
            )
        settings[key.strip()] = value.strip()
    return name, settings


def _typed(name: str, factory: Architecture, settings: Mapping[str, str]) -> dict[str, Any]:
    parameters = inspect.signature(factory).parameters
    # A class is described by its constructor.
    target = getattr(factory, "__init__") if inspect.isclass(factory) else factory  # noqa: B009
    hints = get_type_hints(target, include_extras=True)
    known = [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    typed: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise UsageError(unknown(f"setting of {name!r}", key, known))
        try:
            adapter = TypeAdapter(hints.get(key, str), config=ConfigDict(arbitrary_types_allowed=True))
            typed[key] = adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UsageError(
                f"{name},{key}={value} does not fit: {reason[:1].lower() + reason[1:]}"
            ) from error
    return typed


def build(
    text: str,
    architectures: Mapping[str, Architecture],
    feature: Sequence[int],
    classes: int,
    gen: Generator,
) -> nn.Module:
    """Return a fresh model, initialized from `gen` whatever the global generators hold.

    Args:
        text: Name and settings.
        architectures: The factories known.
        feature: Shape of one sample.
        classes: Number of classes.
        gen: Source of the initialization.

    Raises:
        UsageError: If the name or a setting is unknown or does not fit.
    """
    name, settings = parse(text)
    if name not in architectures:
        raise UsageError(unknown("architecture", name, architectures))
    factory = architectures[name]
    typed = _typed(name, factory, settings)
    with scoped(gen):
        return factory(tuple(feature), classes, **typed)


def coupled(model: nn.Module) -> bool:
    """Return whether rows of a batch influence one another, as with BatchNorm or on a graph.

    A model that does not say so is taken to be coupled: it is then never split.
    """
    return bool(getattr(model, "coupled", True))


def capability(model: nn.Module, name: str) -> Callable[..., Any]:
    """Return the method `name` of a model.

    Raises:
        UsageError: If the model lacks it.
    """
    method: Callable[..., Any] | None = getattr(model, name, None)
    if not callable(method):
        raise UsageError(
            f"the model {type(model).__name__} has no method {name!r}, which this method needs; "
            f"choose another architecture"
        )
    return method
