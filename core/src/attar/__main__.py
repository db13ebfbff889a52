"""``python -m attar``: the command line, as ``torchrun -m attar`` starts it."""

from attar.cli import main

main()
