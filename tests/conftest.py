from __future__ import annotations

import json
import logging
from dataclasses import dataclass

import pytest
import torch
from attar import registry
from attar.cli import main, work
from hypothesis import settings

# Machines are busy: no test may fail for being slow, and a failure must come again.
settings.register_profile("attar", deadline=None, derandomize=True)
settings.load_profile("attar")


def pytest_collection_modifyitems(items):
    """Begin with the tests that take minutes: at the end, all others would wait for them."""
    items.sort(key=lambda item: item.path.name != "test_wheels.py")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests run side by side: threads that wait for a busy processor only slow each other down."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or leaves results in the user's cache."""
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path_factory.mktemp("cache")))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self.err
        assert self.err == ""
        return json.loads(self.out)

    @property
    def refusal(self):
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        assert self.err.startswith("attar: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err.removeprefix("attar: ").strip()


@pytest.fixture
def uninstalled(monkeypatch):
    """The name of a part of Attar that is not installed, as a modality of ours could be."""
    monkeypatch.setitem(registry._INSTALL, "scent", "attar-scent")
    return "scent"


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
