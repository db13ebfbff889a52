from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from attar.cli import main
from attar.run_folder import RunFolder


@pytest.fixture
def distill(cli):
    """Distills iris in a few quick steps, with more options added."""

    def call(out, *more, steps=3, size=("--ipc", 1)):
        tiny = ("--data", "iris", *size, "--steps", steps, "--model", "mlp,width=4", "--threads", 1)
        return cli("distill", "tensor", *tiny, "--out", out, *more)

    return call


@pytest.fixture
def select(cli):
    """Selects samples of iris by a rule."""

    def call(out, method, *more):
        return cli("distill", "tensor", "--data", "iris", "--method", method, "--ipc", 2, "--out", out, *more)

    return call


QUICK = ("--workers", 1, "--set", "protocol.epochs=1", "--set", "protocol.networks=1")


@pytest.fixture
def evaluate(cli):
    """Evaluates as quickly as it can be done."""

    def call(*what, baselines="none", more=()):
        return cli("evaluate", *what, "--baselines", baselines, *QUICK, *more)

    return call


def _main(*arguments):
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.fixture(scope="session")
def _finished(tmp_path_factory, one_thread):
    run = tmp_path_factory.mktemp("finished") / "run"
    tiny = ("--ipc", 1, "--steps", 3, "--model", "mlp,width=4", "--threads", 1)
    _main("distill", "tensor", "--data", "iris", *tiny, "--out", run, "--quiet")
    return run


@pytest.fixture
def finished(_finished, tmp_path):
    """A copy of a finished run, free to be damaged."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


@pytest.fixture
def npz(tmp_path):
    """Writes arrays as a data file and returns its path."""

    def write(name="own.npz", **arrays):
        rng = np.random.default_rng(0)
        labels = np.arange(30) % 3
        values = (rng.normal(size=(30, 4)) + labels[:, None]).astype(np.float32)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"x_train": values, "y_train": labels, **arrays}
        np.savez(path, **{key: value for key, value in kept.items() if value is not None})
        return path

    return write


@pytest.fixture
def chosen(cli):
    """Selects samples of own data at random."""

    def call(data, out="run", *more):
        return cli("distill", "tensor", "--data", data, "--method", "random", "--ipc", 1, "--out", out, *more)

    return call


@pytest.fixture
def at_step(monkeypatch):
    """Does something once, when a step has been logged."""

    def arrange(step, what):
        note, left = RunFolder.note, [what]

        def noted(self, record):
            note(self, record)
            if record.step == step and left:
                left.pop()()

        monkeypatch.setattr(RunFolder, "note", noted)

    return arrange


@pytest.fixture
def ctrl_c(at_step):
    """Presses Ctrl-C in a step, or sends another signal."""

    def arrange(step, number=signal.SIGINT):
        at_step(step, lambda: signal.raise_signal(number))

    return arrange


@pytest.fixture
def crash(at_step):
    """Ends the process, as far as a test can, in a step."""

    def fail():
        raise SystemExit(137)

    return lambda step: at_step(step, fail)


@pytest.fixture
def disk_full():
    """Is a context in which the disk is full as soon as a path exists."""

    @contextlib.contextmanager
    def after(path):
        sync, write = os.fsync, Path.write_bytes

        def check():
            if path.exists():
                raise OSError(errno.ENOSPC, "No space left on device")

        def fsync(handle):
            check()
            sync(handle)

        def write_bytes(self, content):
            check()
            return write(self, content)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            patch.setattr(Path, "write_bytes", write_bytes)
            yield

    return after


@pytest.fixture
def contents():
    """Returns every file below a folder with its bytes."""

    def read(folder):
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read
