"""What an application must offer, and what it may."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel

if TYPE_CHECKING:
    import typer

    from attar.pages import Part

__all__ = ["Application", "Pages", "Recorded"]


class Application(Protocol):
    """Uses distilled sets; adds a command (group ``attar.applications``).

    Its module is imported whenever its command is called, ``--help`` included, and should leave
    heavy libraries until they are used.
    """

    api: int
    summary: str

    def register(self, app: typer.Typer) -> None:
        """Add one command, under the name that the application is registered with."""


@runtime_checkable
class Recorded(Protocol):
    """What an application offers beside, where its command prints JSON."""

    def record(self) -> type[BaseModel]:
        """Return what it prints with ``--json``, whose schema ``attar schema`` prints."""


@runtime_checkable
class Pages(Protocol):
    """What an application offers beside, where its runs can be read on a page of ``attar report``."""

    def part(self, run: Path) -> Part | None:
        """Return what a page says of a run; None for a folder that is no run of this application.

        Raises:
            UsageError: If it is one, but is not finished or is damaged.
        """
