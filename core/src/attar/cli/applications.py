"""Commands of applications, which other distributions add."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import typer

from attar.registry import Entry, Registry

__all__ = ["with_applications"]


def with_applications(app: typer.Typer, called: Collection[str], registry: Registry) -> typer.Typer:
    """Return a command line with the commands of all applications that are installed.

    Only those that are called are loaded; the others are announced by what their distributions
    say of themselves, so that help stays quick and a broken one keeps no other command from
    working.

    Args:
        app: The command line of the core, which is left as it is.
        called: Names of the applications that are called.
        registry: The plugins known.
    """
    entries = registry.entries("applications")
    if not entries:
        return app
    whole = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    whole.info = app.info
    whole.registered_callback = app.registered_callback
    whole.registered_commands = list(app.registered_commands)
    whole.registered_groups = list(app.registered_groups)
    for name in sorted({entry.name for entry in entries}):
        if name in called:
            registry.get("applications", name).register(whole)
        else:
            first = next(entry for entry in entries if entry.name == name)
            whole.command(name, help=_told(first))(_placeholder())
    return whole


def _told(entry: Entry) -> str:
    """Return what the distribution of an application says of itself, without loading it."""
    found = entry.point.dist
    summary = None if found is None else found.metadata["Summary"]
    return f"{summary or f'Added by {entry.distribution}'}."


def _placeholder() -> Callable[[], Any]:
    def placeholder() -> None:
        """Stand for a command that is not called."""

    return placeholder
