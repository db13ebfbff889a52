"""The command line. Importing it loads neither torch nor numpy."""

from attar.cli.entry import main

__all__ = ["main"]
