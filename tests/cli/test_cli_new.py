"""Packages that are written for plugins install, are found and keep the laws of their seam at once."""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from attar.scaffold import KINDS, package_files


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_written_below_a_folder(cli, tmp_path, kind):
    found = cli("new", kind, "my-own", "--out", tmp_path, "--json").json
    assert found["package"] == str(tmp_path / "attar-my-own")
    for place in found["files"]:
        assert (tmp_path / "attar-my-own" / place).is_file()
    project = tomllib.loads((tmp_path / "attar-my-own" / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"] == {f"attar.{KINDS[kind]}": {"my-own": "attar_my_own:PLUGIN"}}
    assert "$" not in "".join(package_files(kind, "my-own", "1").values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_is_found_and_passes_its_tests(cli, tmp_path, kind):
    cli("new", kind, "my-own", "--out", tmp_path)
    package, place = tmp_path / "attar-my-own", tmp_path / "installed"

    def python(*arguments, **more):
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **more},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(package))
    plugins = json.loads(
        python("-c", "from attar.cli import main; main()", "plugins", "--json", PYTHONPATH=str(place))
    )
    (mine,) = [each for each in plugins[KINDS[kind]] if each["name"] == "my-own"]
    assert (mine["status"], mine["distribution"]) == ("ok", "attar-my-own")
    told = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(package), PYTHONPATH=str(place))
    assert "failed" not in told
    assert int(told.split(" passed")[0].split()[-1]) >= 3


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("modalty", "mine", "did you mean 'modality'"),
        ("objective", "My", "is no name of a plugin"),
        ("objective", "a--b", "is no name of a plugin"),
        ("objective", "../x", "is no name of a plugin"),
        ("objective", "dm", "there is a plugin 'dm' among the objectives already"),
        ("modality", "tensor", "there is a plugin 'tensor' among the modalities already"),
    ],
)
def test_mistakes_are_named(cli, tmp_path, kind, name, said):
    assert said in cli("new", kind, name, "--out", tmp_path).refusal
    assert not list(tmp_path.iterdir())


def test_what_stands_there_is_left_alone(cli, tmp_path):
    cli("new", "objective", "mine", "--out", tmp_path)
    before = (tmp_path / "attar-mine" / "README.md").read_text()
    assert "exists and is not empty" in cli("new", "objective", "mine", "--out", tmp_path).refusal
    assert (tmp_path / "attar-mine" / "README.md").read_text() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_formatted_as_this_project_is(tmp_path, kind):
    for place, text in package_files(kind, "my-own", "0.1.0").items():
        if not place.endswith(".py"):
            continue
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--line-length", "110", "--diff", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
