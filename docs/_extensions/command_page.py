"""Every command of ``attar`` with its arguments and options, as Markdown.

The parser itself is asked, so the page cannot differ from ``attar COMMAND --help``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attar.cli.applications import command_of, with_applications
from attar.cli.main import app
from attar.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator


def _words(text: str) -> str:
    """Return a text on one line that Markdown takes as it is, with options as code."""
    # Typer escapes the brackets of defaults for the terminal.
    told = " ".join(text.replace("\\[", "[").split())
    plain = re.sub(r"([\\`*_<>\[\]|$#])", r"\\\1", told)
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", plain)


def _code(text: str) -> str:
    """Return a text as code that stays within its cell of a table."""
    return "`" + " ".join(text.replace(" range>", ">").split()).replace("|", "\\|") + "`"


def _command(name: str, command: Any) -> Iterator[str]:
    """Yield a section about a command, in Markdown, and then those of its subcommands."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    records = [each.get_help_record(context) for each in command.get_params(context) if each.name != "help"]
    yield f"## {name}\n\n{_words(command.help or '')}\n\n```console\n{usage}\n```\n"
    rows = [record for record in records if record is not None]
    if rows:
        yield "| | |\n| --- | --- |"
    for names, text in rows:
        yield f"| {_code(names)} | {_words(text or '')} |"
    yield ""
    for subname, subcommand in getattr(command, "commands", {}).items():
        if not getattr(subcommand, "hidden", False):
            yield from _command(f"{name} {subname}", subcommand)


def commands() -> str:
    """Return the sections of all commands, in Markdown."""
    registry = Registry()
    whole = with_applications(app, registry.names("applications"), registry)
    return "\n".join(_command("attar", command_of(whole)))
