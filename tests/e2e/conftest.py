from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def process(tmp_path):
    """Starts the command line in a process of its own, which is ended with the test."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-c", "from attar.cli import main; main()", *map(str, arguments)]
        started.append(
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()
