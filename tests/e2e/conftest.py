from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from attar.cli import main, work


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path, tmp_path_factory):
    """Calls the command line in this process and leaves its logging and threads as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTAR_DATA", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("logs")))
    monkeypatch.setattr(work, "keep_memory", lambda: False)
    root = logging.getLogger()
    handlers, level, threads = root.handlers[:], root.level, torch.get_num_threads()

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(ended.value.code, out, err)

    yield call
    root.handlers[:] = handlers
    root.setLevel(level)
    torch.set_num_threads(threads)


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
