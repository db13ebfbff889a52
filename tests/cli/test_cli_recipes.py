from __future__ import annotations

import json
import tomllib

import pytest
import tomli_w

RECIPE = {"data": {"modality": "tensor", "name": "iris"}, "size": {"ipc": 1}, "method": "random"}


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe with changes and returns its path; None takes a key away."""

    def write(**changes):
        values = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
        path = tmp_path / "own.toml"
        path.write_text(tomli_w.dumps(values))
        return path

    return write


def same(one, other):
    """Whether two artifacts differ in nothing but what making them cost."""
    pair = [json.loads((run / "artifact" / "manifest.json").read_text()) for run in (one, other)]
    for manifest in pair:
        manifest.pop("cost")
    data = [(run / "artifact" / "data.safetensors").read_bytes() for run in (one, other)]
    pictures = [(run / "artifact" / "preview.png").read_bytes() for run in (one, other)]
    return pair[0] == pair[1] and data[0] == data[1] and pictures[0] == pictures[1]


def test_a_recipe_runs(cli, recipe, tmp_path):
    assert cli("run", recipe(), "--out", "run", "--json").json["method"] == "random"
    assert (tmp_path / "run" / "artifact" / "manifest.json").is_file()


def test_without_a_place_a_run_gets_a_name_of_its_own(cli, recipe, tmp_path):
    made = cli("run", recipe(), "--json").json
    assert made["run"] == "runs/iris-random-ipc1-seed0"
    assert (tmp_path / made["run"] / "artifact").is_dir()


@pytest.mark.parametrize(
    "size", [{"total": 1234567}, {"total": 1234568}, {"ratio": 0.05}, {"bytes": 100_000}]
)
def test_names_of_runs_tell_sizes_apart(cli, recipe, size):
    plan = cli("run", recipe(size={**size, "policy": "cap"}), "--dry-run", "--json").json
    assert str(next(iter(size.values()))) in plan["run"]


def test_the_recipe_of_a_run_repeats_it(cli, finished, tmp_path):
    assert cli("run", finished / "recipe.toml", "--out", "again", "--threads", 1).code == 0
    assert same(finished, tmp_path / "again")


def test_the_recipe_in_an_artifact_repeats_it(cli, finished, tmp_path):
    assert cli("run", finished / "artifact" / "recipe.toml", "--out", "again", "--threads", 1).code == 0
    assert same(finished, tmp_path / "again")


def test_the_folder_of_a_run_repeats_it(cli, finished, tmp_path):
    assert cli("run", finished, "--out", "again", "--threads", 1).code == 0
    assert same(finished, tmp_path / "again")
    assert (tmp_path / "again" / "recipe.toml").read_text() == (finished / "recipe.toml").read_text()


def test_a_recipe_with_every_setting_changed_repeats_it(distill, cli, tmp_path):
    changes = ["objective.lr=0.3", "objective.momentum=0", "objective.reuse=2", "objective.subjects=2"]
    changes += ["objective.init=herding", "objective.per_class=8", "run.dtype=float16", "run.seed=5"]
    changes += ["data.options.validation=0.2", "data.options.split_seed=3", "size.balance=proportional"]
    pairs = [part for change in changes for part in ("--set", change)]
    assert distill("run", *pairs).code == 0
    assert cli("run", "run", "--out", "again", "--threads", 1).code == 0
    assert same(tmp_path / "run", tmp_path / "again")


def test_settings_can_be_changed_when_a_recipe_is_repeated(cli, finished, tmp_path):
    assert cli("run", finished, "--out", "again", "--set", "run.seed=4", "--json").json["seed"] == 4
    assert tomllib.loads((tmp_path / "again" / "recipe.toml").read_text())["run"]["seed"] == 4


def test_no_path_is_kept_in_a_recipe(chosen, npz, tmp_path):
    path = npz("deep/own.npz")
    assert chosen(path).code == 0
    kept = b"".join(file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert b"deep" not in kept
    assert str(tmp_path).encode() not in kept


def test_own_data_are_given_again_by_path(cli, chosen, npz, tmp_path):
    path = npz("deep/own.npz")
    assert chosen(path).code == 0
    said = cli("run", "run", "--out", "again").refusal
    assert "--data" in said
    assert cli("run", "run", "--data", path, "--out", "again").code == 0
    assert same(tmp_path / "run", tmp_path / "again")


def test_other_data_are_told_by_their_fingerprint(cli, chosen, npz):
    path = npz()
    assert chosen(path).code == 0
    result = cli("run", "run", "--data", npz(y_train=[2, 1, 0] * 10), "--out", "again")
    assert result.code == 0
    assert "fingerprint" in result.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no = = toml", "no valid TOML"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "'data' is missing"),
        (b"data = 3\n[size]\nipc = 1", "data = 3"),
    ],
    ids=["no toml", "no text", "empty", "wrong type"],
)
def test_a_file_that_is_no_recipe_is_refused(cli, tmp_path, content, words):
    (tmp_path / "own.toml").write_bytes(content)
    assert words in cli("run", "own.toml", "--json").refusal


def test_a_folder_without_a_recipe_is_refused(cli, tmp_path):
    assert "recipe.toml" in cli("run", tmp_path).refusal


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nope": 1}, ["'nope'", "objective", "parameterization", "size"]),
        ({"out": "/tmp/elsewhere"}, ["'out'"]),
        ({"data": {**RECIPE["data"], "path": "/etc"}}, ["'data.path'", "data.name"]),
        ({"data": {**RECIPE["data"], "name": "../iris"}}, ["data.name", "--data"]),
        ({"data": {**RECIPE["data"], "name": "/etc/passwd"}}, ["data.name", "--data"]),
        ({"data": {**RECIPE["data"], "name": "a\\b"}}, ["data.name", "--data"]),
        ({"data": {**RECIPE["data"], "name": ".."}}, ["data.name", "--data"]),
        ({"data": {**RECIPE["data"], "options": {"nope": 1}}}, ["'data.options.nope'", "validation"]),
        ({"data": {**RECIPE["data"], "modality": "os"}}, ["unknown modality 'os'"]),
        ({"data": {"name": "iris"}}, ["'data.modality' is missing"]),
        ({"size": {"ipc": "few"}}, ["size.ipc", "'few'", "integer"]),
        ({"size": {"ipc": 1, "total": 3}}, ["exactly one", "ipc and total"]),
        ({"size": {}}, ["exactly one"]),
        ({"size": {"ipc": 1.5}}, ["size.ipc", "1.5"]),
        ({"method": "nope"}, ["unknown method 'nope'", "dm"]),
        ({"method": ""}, ["method"]),
        ({"method": 3}, ["method", "string"]),
        ({"method": "os.system"}, ["unknown method 'os.system'"]),
        ({"method": "dm", "objective": {"lr": "fast"}}, ["objective.lr", "'fast'"]),
        ({"method": "dm", "objective": {"steps": -1}}, ["objective.steps"]),
        ({"run": {"seed": -1}}, ["run.seed"]),
        ({"run": {"threads": 1}}, ["'run.threads'"]),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_wrong_key_is_named(cli, recipe, tmp_path, changes, words):
    said = cli("run", recipe(**changes), "--out", tmp_path / "run", "--json").refusal
    assert [word for word in words if word not in said] == []
    assert not (tmp_path / "run").exists()
