from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import attar.evaluation_jobs
import pytest
import torch
from attar.api import distill, evaluate
from attar.architectures import adopt, code_of, source
from attar.architectures.source import closure, digest, installed
from attar.evaluation_jobs import EvaluationSettings, Evaluator, train_and_test
from attar.protocols import Protocol
from attar.registry import Registry
from attar.rng import derive

SHORT = Protocol(name="short", epochs=1, networks=1)

PLAIN = """
from torch import nn
def plain(feature, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(feature[0], 4), nn.Linear(4, classes))
def maker():
    return lambda feature, classes: plain(feature, classes)
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes files into the working directory, and forgets what was imported from it."""
    monkeypatch.chdir(tmp_path)
    # Files of a test are younger than the process that runs it.
    monkeypatch.setattr(source, "began", lambda: time.time() + 1000)

    def write(contents):
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    yield write
    write({})


def code(text="nets:plain"):
    return code_of(text, {})


def test_the_same_code_has_the_same_digest(files):
    files({"nets.py": PLAIN})
    assert code() == code("nets:plain,width=3")
    assert len(code()) == 32


def test_another_line_gives_another_digest(files):
    files({"nets.py": PLAIN})
    before = code()
    files({"nets.py": PLAIN.replace("4", "5")})
    assert code() != before


@pytest.mark.parametrize(
    "line",
    [
        "import parts",
        "from parts import x",
        "import parts.deep",
        "from parts import deep",
        "def f():\n  import parts",
    ],
)
def test_what_is_imported_from_the_same_place_counts(files, line):
    files({"nets.py": f"{line}\n{PLAIN}", "parts/__init__.py": "x = 1", "parts/deep.py": ""})
    before = code()
    files({"parts/__init__.py": "x = 2"})
    assert code() != before
    files({"parts/__init__.py": "x = 1", "other.py": "x = 2"})
    assert code() == before


def test_imports_are_followed_relative_and_in_circles(files, tmp_path):
    files(
        {
            "a/__init__.py": "",
            "a/b.py": "from . import c\nfrom .d.e import f\nfrom .. import nothing",
            "a/c.py": "from a import b\nimport torch",
            "a/d/__init__.py": "",
            "a/d/e.py": "from ..g import *",
            "a/g.py": "",
            "a/other.py": "",
        }
    )
    found = [path.relative_to(tmp_path).as_posix() for path in closure("a.b", tmp_path)]
    assert found == ["a/__init__.py", "a/b.py", "a/c.py", "a/d/__init__.py", "a/d/e.py", "a/g.py"]


def test_a_file_changed_after_the_process_began_has_no_digest(files, monkeypatch):
    files({"nets.py": PLAIN})
    assert code() is not None
    monkeypatch.setattr(source, "began", lambda: time.time() - 1000)
    assert code() is None


def test_this_process_has_begun():
    assert 0 < time.time() - source.began() < 1e6


def test_a_file_that_can_no_longer_be_read_has_no_digest(files, tmp_path):
    files({"nets.py": PLAIN})
    assert code() is not None
    (tmp_path / "nets.py").write_text("def plain(")
    assert digest("nets") is None
    (tmp_path / "nets.py").unlink()
    assert digest("nets") is None


@pytest.mark.parametrize("module", ["__main__", "_json", "sys", "never.imported"])
def test_what_has_no_source_has_no_digest(module):
    assert digest(module) is None


def test_installed_code_is_known_by_its_file_and_version(monkeypatch):
    import torchvision.models.resnet as module

    before = digest(module.__name__)
    assert before is not None
    monkeypatch.setattr("torchvision.__version__", "999")
    assert digest(module.__name__) not in (None, before)


def test_libraries_are_told_from_own_code(tmp_path):
    assert installed(Path(torch.__file__))
    assert installed(Path(json.__file__))
    assert not installed(Path(__file__))
    assert not installed(tmp_path / "nets.py")


def learned(function, blobs):
    task, text = adopt(blobs(), function)
    return code_of(text, task.architectures)


def test_a_function_is_known_by_its_module(files, blobs):
    files({"nets.py": PLAIN})
    expected = code()
    assert learned(sys.modules["nets"].plain, blobs) == expected


def test_a_function_made_by_another_has_no_digest(files, blobs):
    files({"nets.py": PLAIN})
    code()
    assert learned(sys.modules["nets"].maker(), blobs) is None


# What evaluations keep.


@pytest.fixture
def score(blobs, tmp_path, monkeypatch):
    """Evaluates a set on own code and says how many networks were trained."""
    task = blobs()
    artifact = distill(task, ipc=1, steps=1, model="mlp,width=3")
    trained = []
    train = attar.evaluation_jobs._train_and_test

    def counted(job):
        trained.append(job.row)
        return train(job)

    monkeypatch.setattr(attar.evaluation_jobs, "_train_and_test", counted)

    def call(model="nets:plain", baselines=("herding",)):
        trained.clear()
        quick = {"workers": 1, "cache": tmp_path / "kept", "protocol": SHORT}
        evaluate(artifact, task, model=model, baselines=baselines, **quick)
        return len(trained)

    return call


def test_results_of_own_code_are_kept_until_it_changes(files, score):
    files({"nets.py": PLAIN})
    # The set, and herding in three feature spaces.
    assert (score(), score()) == (4, 0)
    files({"nets.py": PLAIN.replace("4", "5")})
    assert (score(), score()) == (4, 0)
    files({"nets.py": PLAIN})
    assert score() == 0


def test_results_of_code_that_cannot_be_read_are_not_kept(files, score, monkeypatch):
    files({"nets.py": PLAIN})
    monkeypatch.setattr(source, "began", lambda: 0.0)
    # The network that chose herding's feature space is trained again to be evaluated.
    assert (score(), score()) == (5, 5)


def test_results_of_registered_architectures_are_kept_as_ever(score, monkeypatch):
    monkeypatch.setattr(source, "began", lambda: 0.0)
    assert (score("mlp,width=3"), score("mlp,width=3")) == (4, 0)


def test_a_result_whose_code_has_changed_meanwhile_is_not_kept(files, blobs, tmp_path):
    files({"nets.py": PLAIN})
    task = blobs()
    evaluator = Evaluator(task, EvaluationSettings(protocol=SHORT, cache=tmp_path / "kept"), Registry())
    samples = task.draw(1, derive(0), [0, 1, 2])
    [job] = evaluator.jobs(("set",), samples, "nets:plain", 1, key={})
    files({"nets.py": PLAIN.replace("4", "5")})
    train_and_test(job)
    assert evaluator.store.get(job.key) is None
    files({"nets.py": PLAIN})
    train_and_test(job)
    assert evaluator.store.get(job.key) is not None
