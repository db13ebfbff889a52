"""Commands of applications, which other distributions add."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, get_type_hints

import typer

from attar.cli.options import APPLICATIONS, LOOK
from attar.registry import Entry, Registry

__all__ = ["command_of", "with_applications"]


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
    whole = typer.Typer(**LOOK)
    whole.info = app.info
    whole.registered_callback = app.registered_callback
    whole.registered_commands = list(app.registered_commands)
    whole.registered_groups = list(app.registered_groups)
    for name in sorted({entry.name for entry in entries}):
        if name in called:
            registry.get("applications", name).register(whole)
        else:
            first = next(entry for entry in entries if entry.name == name)
            whole.command(name, help=_told(first), rich_help_panel=APPLICATIONS)(_placeholder())
    return whole


def command_of(app: typer.Typer) -> Any:
    """Return the command that a command line is, with the help of its arguments.

    Typer below 0.21, which Flower asks for, loses that help where click is new.
    """
    command = typer.main.get_command(app)
    _explain(command)
    return command


def _explain(command: Any) -> None:
    for each in getattr(command, "commands", {}).values():
        _explain(each)
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True) if command.callback else {}
    for parameter in command.params:
        said = [
            getattr(each, "help", None) for each in getattr(hints.get(parameter.name), "__metadata__", ())
        ]
        if parameter.param_type_name == "argument" and not getattr(parameter, "help", None) and any(said):
            parameter.help = next(filter(None, said))


def _told(entry: Entry) -> str:
    """Return what the distribution of an application says of itself, without loading it."""
    found = entry.point.dist
    summary = None if found is None else found.metadata["Summary"]
    return f"{summary or f'Added by {entry.distribution}'}."


def _placeholder() -> Callable[[], Any]:
    def placeholder() -> None:
        """Stand for a command that is not called."""

    return placeholder
