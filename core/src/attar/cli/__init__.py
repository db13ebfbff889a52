"""The command line. Importing it loads neither torch nor numpy."""

from attar.cli.main import main

__all__ = ["main"]
