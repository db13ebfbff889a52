"""What was decided for the user is said after a run and where the set is looked at, with what comes next."""

from __future__ import annotations

import shlex

import pytest
from PIL import Image

SPLITS = "14 training, 2 validation samples; validation and test were drawn from the data given"
SHAPE = "3 × 32 × 32 (channel, height, width): 32 × 32 pixels in color, by the median of the shorter sides"


@pytest.fixture
def made(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("cat", "dog"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (40, 50), (20 * index, 90, 200)).save(
                tmp_path / "my photos" / name / f"{index}.png"
            )
    asked = ("distill", "image", "--data", "my photos", "--method", "random", "--ipc", 1, "--out", "run")
    return cli(*asked)


def test_a_run_says_what_was_decided(made):
    assert (made.code, made.err) == (0, "")
    assert SPLITS in made.out
    assert SHAPE in made.out
    assert "data.size chooses another" in made.out
    assert "cpu, " in made.out


def test_a_run_says_what_comes_next_with_its_own_paths(made, cli):
    commands = [shlex.split(line) for line in made.out.splitlines() if line.strip().startswith("attar ")]
    assert [words[1] for words in commands] == ["show", "evaluate", "evaluate", "report", "train", "export"]
    assert ["attar", "evaluate", "run", "--data", "my photos", "--dry-run"] in commands
    for words in commands:
        if words[1] in ("show", "report", "export") or words[-1] == "--dry-run":
            assert cli(*words[1:]).code == 0, words


def test_known_data_need_no_path_again(cli):
    out = cli("distill", "tensor", "--data", "iris", "--method", "random", "--ipc", 1, "--out", "run").out
    assert "attar evaluate run\n" in out


@pytest.mark.parametrize("command", [("show", "run"), ("report", "run")])
def test_it_is_said_wherever_the_set_is_looked_at(made, cli, command, tmp_path):
    out = cli(*command).out
    if command[0] == "report":
        out = (tmp_path / "report.html").read_text("utf-8")
    assert SPLITS in out
    assert SHAPE in out


def test_json_has_it_too(cli):
    asked = (
        "distill",
        "tensor",
        "--data",
        "iris",
        "--method",
        "random",
        "--ipc",
        1,
        "--out",
        "run",
        "--json",
    )
    found = cli(*asked).json
    assert found["splits"] == {"train": 108, "validation": 12}
    assert (found["shape"], found["device"], found["precision"]) == ([4], "cpu", "fp32")
