"""The directive ``attar-commands``: every command of ``attar`` with its arguments and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_page import commands
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class AttarCommands(SphinxDirective):
    """Inserts the sections of all commands."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed sections."""
        self.env.note_reread()
        return self.parse_text_to_nodes(commands(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("attar-commands", AttarCommands)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
