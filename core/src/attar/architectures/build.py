"""From the text of an architecture to a fresh model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import torch
from torch import Generator, nn
from torch.nn.parameter import is_lazy

from attar.architectures.adapt import adapted
from attar.architectures.own import defined_in, found, importable, is_code, told
from attar.architectures.source import digest
from attar.architectures.text import parse, typed
from attar.errors import UsageError
from attar.rng import scoped
from attar.settings import unknown

__all__ = ["Architecture", "Family", "build", "code_of", "find", "runs_code"]

Architecture: TypeAlias = Callable[..., nn.Module]
"""Called with the feature shape, the number of classes and keyword settings."""


@dataclass(frozen=True)
class Family:
    """The models of another library, which a task offers under one name: ``timm:resnet10t``.

    Attributes:
        member: Returns the factory of a member by its name; it refuses, in one sentence, a name
            that the library does not know, and offers nothing but random weights.
        example: Name of a member, for messages.
        distribution: Distribution whose version decides what a member is.
    """

    member: Callable[[str], Architecture]
    example: str
    distribution: str


def _family(name: str, architectures: Mapping[str, Architecture | Family]) -> tuple[Family, str] | None:
    prefix, colon, member = name.partition(":")
    family = architectures.get(prefix)
    return (family, member) if colon and isinstance(family, Family) else None


def find(name: str, architectures: Mapping[str, Architecture | Family]) -> Architecture:
    """Return the factory that a name stands for.

    Raises:
        UsageError: If there is none.
    """
    known = architectures.get(name)
    if isinstance(known, Family):
        raise UsageError(f"{name!r} names many architectures; name one, as in '{name}:{known.example}'")
    if known is not None:
        return known
    family = _family(name, architectures)
    if family is not None:
        return family[0].member(family[1])
    if is_code(name):
        return found(name)
    names = [f"{key}:NAME" if isinstance(each, Family) else key for key, each in architectures.items()]
    raise UsageError(f"{unknown('architecture', name, names)}, or name your own as package.module:factory")


def runs_code(text: str, architectures: Mapping[str, Architecture | Family]) -> bool:
    """Return whether building an architecture would run code that nobody has registered.

    Args:
        text: Name and settings.
        architectures: The factories and families known.
    """
    name = text.partition(",")[0].strip()
    return is_code(name) and name not in architectures and _family(name, architectures) is None


def code_of(text: str, architectures: Mapping[str, Architecture | Family]) -> str | None:
    """Return what a result depends on beside the text of an architecture.

    Args:
        text: Name and settings.
        architectures: The factories and families known.

    Returns:
        A hash of the user's own code, the version of a family's library, "" for what is
        registered, or None where the code cannot be read: such results must not be kept.
    """
    name = text.partition(",")[0].strip()
    if not is_code(name):
        return ""
    family = _family(name, architectures)
    if family is not None:
        return f"{family[0].distribution} {version(family[0].distribution)}"
    with importable():
        factory = find(name, architectures)
        module = name.partition(":")[0]
        if name in architectures and not defined_in(module, factory):
            return None
        return digest(module)


def build(
    text: str,
    architectures: Mapping[str, Architecture | Family],
    feature: Sequence[int],
    classes: int,
    gen: Generator,
) -> nn.Module:
    """Return a fresh model, initialized from `gen` whatever the global generators hold.

    A network of the user's own without ``embed`` gets one: see
    :func:`attar.architectures.adapted`.

    Args:
        text: Name and settings, or ``package.module:factory`` and settings.
        architectures: The factories and families known.
        feature: Shape of one sample.
        classes: Number of classes.
        gen: Source of the initialization.

    Raises:
        UsageError: If the name or a setting is unknown or does not fit, or the user's own code
            fails or returns no network.
    """
    name, settings = parse(text)
    if not is_code(name):
        factory = find(name, architectures)
        values = typed(name, factory, settings)
        with scoped(gen):
            return factory(tuple(feature), classes, **values)
    # What is registered under a plain name is tested by its authors; here mistakes are expected.
    with importable():
        factory = find(name, architectures)
        values = typed(name, factory, settings)
        _check_call(name, factory, values)
        with scoped(gen), told(f"{text!r} cannot be built for samples of shape {tuple(feature)}"):
            model = factory(tuple(feature), classes, **values)
            if not isinstance(model, nn.Module):
                raise UsageError(
                    f"{name!r} returned {_kind(model)}, not a network; let it return a torch.nn.Module"
                )
            _fill(model, feature)
    return adapted(model)


def _kind(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _check_call(name: str, factory: Architecture, values: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind((), 0, **values)
    except TypeError as error:
        called = ", ".join(["feature", "classes", *(f"{key}={value!r}" for key, value in values.items())])
        raise UsageError(
            f"{name!r} cannot be called with ({called}): {error}; let it take the shape of a sample and the "
            f"number of classes first"
        ) from error


def _fill(model: nn.Module, feature: Sequence[int]) -> None:
    """Give layers that learn their shapes from the first batch their weights, while draws are seeded."""
    if not any(is_lazy(parameter) for parameter in model.parameters()):
        return
    model.eval()  # running statistics stay as they are
    with torch.no_grad():
        model(torch.zeros(2, *feature))
    model.train()
