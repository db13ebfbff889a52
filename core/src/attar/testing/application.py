"""The conformance kit of the seam ``attar.applications``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.files import write_file
from attar.plugins import Pages
from attar.testing.laws import Check, make_checks, require, run_checks
from attar.testing.shared import law_plugin_is_complete, subject

__all__ = ["APPLICATION_LAWS", "check_application", "checks_for_application"]


@dataclass(frozen=True)
class ApplicationCase:
    """An application under test.

    Attributes:
        plugin: The application.
        name: The command that it adds, or None if any will do.
    """

    plugin: Any
    name: str | None
    group: str = "applications"

    def commands(self) -> dict[str, Any]:
        """Return the commands of a command line that the application was added to."""
        import typer

        app = typer.Typer(name="attar", add_completion=False)
        app.callback()(lambda: None)
        app.command("already-there")(_nothing)
        self.plugin.register(app)
        found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        return found


def _nothing() -> None:
    """Stand for a command of the core."""


def law_one_command_is_added(case: ApplicationCase) -> None:
    """Registering adds one command, under the application's own name."""
    added = sorted(set(case.commands()) - {"already-there"})
    named = len(added) == 1 and case.name in (None, added[0])
    require(named, f"it adds the commands {added}, not one named {case.name or 'as it is registered'!r}")


def law_other_commands_are_left_alone(case: ApplicationCase) -> None:
    """Registering leaves the commands that are there as they are."""
    known = case.commands().get("already-there")
    help_text = getattr(known, "help", None)
    require(
        help_text == "Stand for a command of the core.", "it replaces or removes a command that was there"
    )


def law_pages_are_of_its_own_runs(case: ApplicationCase) -> None:
    """A page is offered of no folder that is empty or holds another's run."""
    if not isinstance(case.plugin, Pages):
        return
    with tempfile.TemporaryDirectory() as place:
        empty = case.plugin.part(Path(place))
        require(empty is None, "it offers a page of an empty folder")
        write_file(Path(place) / "recipe.toml", b'method = "dm"\n')
        foreign = case.plugin.part(Path(place))
        require(foreign is None, "it offers a page of a run that is not its own")


APPLICATION_LAWS: tuple[Callable[[ApplicationCase], None], ...] = (
    law_plugin_is_complete,
    law_one_command_is_added,
    law_other_commands_are_left_alone,
    law_pages_are_of_its_own_runs,
)


def checks_for_application(plugin: Any, *, name: str | None = None) -> list[Check]:
    """Return a check for each law of an application.

    Args:
        plugin: The application.
        name: Name that it is registered under, which its command bears.
    """
    case = ApplicationCase(plugin, name)
    return make_checks(subject("application", plugin, name), APPLICATION_LAWS, case, plugin)


def check_application(plugin: Any, *, name: str | None = None) -> None:
    """Try every law of an application.

    Args:
        plugin: The application.
        name: Name that it is registered under, which its command bears.

    Raises:
        LawBroken: Naming each law that is broken, and how.
    """
    run_checks(checks_for_application(plugin, name=name))
