"""What installed distributions ask for and do not find."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import InvalidRequirement, Requirement

__all__ = ["unmet"]


def _missing(text: str) -> str | None:
    """Return a requirement with what is there instead; None for one that is met or asks for nothing here."""
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return f"{text!r}, which is no requirement"
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name}{wanted.specifier}, which is not installed"
    if wanted.specifier.contains(found, prereleases=True):
        return None
    return f"{wanted.name}{wanted.specifier}, and {found} is installed"


def unmet(names: Iterable[str]) -> list[str]:
    """Return a sentence for each requirement of some distributions that is not met.

    An installer meets all; they come apart when one is told to leave dependencies alone, or when
    something else is installed later.

    Args:
        names: Names of distributions; those that are not installed are passed over.
    """
    said = []
    for name in sorted(set(names)):
        try:
            owner = distribution(name)
        except PackageNotFoundError:
            continue
        for text in owner.requires or ():
            missing = _missing(text)
            if missing is not None:
                said.append(f"{name} {owner.version} asks for {missing}")
    return said
