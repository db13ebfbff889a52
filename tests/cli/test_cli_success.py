from __future__ import annotations

import io
import json
import sys

import attar
import pytest
from attar.api import distill as distill_task
from attar.artifact import Manifest
from attar.cli import demo
from attar.cli.listing import PluginList
from attar.cli.work import DistillResult
from attar.protocols import protocol
from attar.recipe import Recipe
from attar.reports import Report
from PIL import Image


def test_distill_speaks_to_people(distill, tmp_path):
    result = distill("run")
    assert (result.code, result.err) == (0, "")
    assert "3 (1 per class)" in result.out
    assert "run/artifact" in result.out
    assert sorted(path.name for path in (tmp_path / "run" / "artifact").iterdir()) == [
        "README.md",
        "data.safetensors",
        "manifest.json",
        "preview.png",
        "recipe.toml",
    ]


def test_distill_speaks_json(distill, tmp_path):
    result = distill("run", "--json")
    made = DistillResult.model_validate(result.json)
    assert (made.method, made.run, made.seed, made.ipc, made.samples) == ("dm", "run", 0, 1, 3)
    assert made.bytes_on_disk == (tmp_path / "run" / "artifact" / "data.safetensors").stat().st_size


def test_run_speaks_json(cli, finished):
    made = DistillResult.model_validate(cli("run", finished, "--out", "again", "--json").json)
    assert made.samples == 3


def test_a_selection_speaks_json(select):
    made = DistillResult.model_validate(select("run", "herding", "--json").json)
    assert (made.method, made.ipc, made.samples) == ("herding", 2, 6)


def test_show_speaks_to_people(cli, finished):
    result = cli("show", finished)
    assert (result.code, result.err) == (0, "")
    for word in ("distilled by dm", "iris", "setosa, versicolor, virginica", "1 per class", "preview.png"):
        assert word in result.out.replace("\n", " ")


@pytest.mark.parametrize("place", ["", "artifact"])
def test_show_speaks_json(cli, finished, place):
    manifest = Manifest.model_validate(cli("show", finished / place, "--json").json)
    assert manifest.data.name == "iris"


def test_show_draws(cli, finished, tmp_path):
    assert cli("show", finished, "--out", "deep/own.png").code == 0
    with (
        Image.open(tmp_path / "deep" / "own.png") as picture,
        Image.open(finished / "artifact" / "preview.png") as preview,
    ):
        assert picture.tobytes() == preview.tobytes()


def test_show_draws_and_speaks_json(cli, finished, tmp_path):
    assert cli("show", finished, "--out", "own.png", "--json").json["kind"] == "distilled"


def test_plugins_speak_to_people(cli):
    result = cli("plugins")
    assert (result.code, result.err) == (0, "")
    for word in ("tensor", "dm", "plain", "herding", "attar-image"):
        assert word in result.out


def test_plugins_speak_json(cli):
    found = PluginList.model_validate(cli("plugins", "--json").json)
    assert {"dm", "herding", "k-center", "k-means", "random"} <= set(found.methods)
    states = [state for group in (found.modalities, found.objectives, found.selectors) for state in group]
    assert {state.status for state in states} == {"ok"}


def test_plugins_can_be_listed_unloaded(cli):
    found = PluginList.model_validate(cli("plugins", "--no-load", "--json").json)
    assert {state.status for state in found.modalities} == {"unloaded"}


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("artifact", Manifest),
        ("distill", DistillResult),
        ("evaluate", Report),
        ("plugins", PluginList),
        ("recipe", Recipe),
    ],
)
def test_schema_prints_the_schema_of_what_is_printed(cli, command, model):
    assert cli("schema", command).json == model.model_json_schema()


@pytest.mark.parametrize("command", ["run", "show", "demo"])
def test_every_command_that_speaks_json_has_a_schema(cli, command):
    assert cli("schema", command).json["type"] == "object"


def test_version(cli):
    assert cli("--version").out.startswith("attar-core 0.")


@pytest.mark.parametrize("command", ["demo", "distill", "evaluate", "plugins", "run", "schema", "show"])
def test_every_command_has_help(cli, command):
    result = cli(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Usage:" in result.out


def test_a_dry_run_writes_nothing(distill, tmp_path):
    result = distill("run", "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert "would distill" in result.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_what_the_run_then_does(distill, tmp_path):
    plan = distill("run", "--dry-run", "--json", "--set", "run.dtype=float16").json
    assert list(tmp_path.iterdir()) == []
    made = distill("run", "--json", "--set", "run.dtype=float16").json
    assert plan["bytes"] == made["bytes"]
    assert sum(plan["per_class"]) == made["samples"]
    assert (plan["run"], plan["steps"], plan["model"]) == ("run", 3, "mlp,width=4")
    assert plan["training_samples"] == 108
    assert plan["expected"]["tried"] == 3


def test_a_dry_run_of_a_recipe_writes_nothing(cli, finished, tmp_path, contents):
    before = contents(tmp_path)
    assert cli("run", finished, "--dry-run", "--json").json["method"] == "dm"
    assert contents(tmp_path) == before


def test_the_modality_may_be_an_option(cli):
    named = ("--data", "iris", "--method", "random", "--ipc", 1)
    assert cli("distill", "--modality", "tensor", *named, "--out", "run", "--json").json["samples"] == 3


def test_the_objective_is_another_name_of_the_method(cli):
    named = ("--data", "iris", "--objective", "random", "--ipc", 1)
    assert cli("distill", "tensor", *named, "--out", "run", "--json").json["method"] == "random"


@pytest.mark.parametrize("method", ["random", "herding", "k-center", "k-means"])
def test_selectors_are_methods(select, method, tmp_path):
    assert select("run", method, "--json").json["samples"] == 6
    manifest = json.loads((tmp_path / "run" / "artifact" / "manifest.json").read_text())
    assert manifest["kind"] == "selected"
    assert len(set(manifest["method"]["rows"])) == 6


@pytest.mark.parametrize("space", ["input", "random"])
def test_selectors_have_feature_spaces(select, tmp_path, space):
    spaces = ("--set", f"objective.space={space}", "--model", "mlp,width=4")
    assert select("run", "herding", *spaces).code == 0
    manifest = json.loads((tmp_path / "run" / "artifact" / "manifest.json").read_text())
    assert manifest["method"]["feature_space"] == space


def test_half_precision_halves_the_bytes_of_values(distill):
    whole = distill("whole", "--json").json
    half = distill("half", "--json", "--set", "run.dtype=float16").json
    assert (whole["bytes"], half["bytes"]) == (3 * 4 * 4 + 3, 3 * 4 * 2 + 3)


@pytest.mark.parametrize(
    ("size", "samples", "ipc"),
    [
        (("--ipc", 2), 6, 2),
        (("--size", 6), 6, 2),
        (("--size", 7), 7, None),
        (("--ratio", 0.05), 5, None),
        (("--budget", "102B"), 6, 2),
        (("--budget", "0.11KB"), 6, 2),
        (("--budget", "0.1KiB"), 6, 2),
        (("--budget", "101"), 5, None),
    ],
    ids=str,
)
def test_sizes(distill, size, samples, ipc):
    made = distill("run", "--json", size=size).json
    assert (made["samples"], made["ipc"]) == (samples, ipc)
    assert made["bytes"] == samples * 17


def test_the_place_of_a_run_is_chosen_by_its_recipe(cli, tmp_path):
    named = ("--data", "iris", "--method", "random")
    first = cli("distill", "tensor", *named, "--ipc", 1, "--json").json["run"]
    other = cli("distill", "tensor", *named, "--ipc", 1, "--seed", 1, "--json").json["run"]
    assert (first, other) == ("runs/iris-random-ipc1-seed0", "runs/iris-random-ipc1-seed1")


def test_progress_is_for_people_only(distill, monkeypatch):
    monkeypatch.setattr("attar.progress._QUIET_SECONDS", 0.0)
    assert "distilling iris with dm: 1/3" in distill("told").err
    assert distill("quiet", "--quiet").err == ""
    assert distill("machine", "--json").err == ""


def test_verbose_says_more(distill, finished):
    assert "complete already" in distill(finished, "--resume", "--verbose").err


def test_output_survives_a_terminal_that_knows_no_unicode(cli, finished, monkeypatch):
    path = finished / "artifact" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["data"]["classes"][0] = "círculo 🔵"
    path.write_text(json.dumps(manifest))
    for more in ((), ("--json",)):
        plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", plain)
        assert cli("show", finished, *more).code == 0
        plain.flush()
        text = plain.buffer.getvalue().decode("ascii")
        assert "versicolor" in text
    assert json.loads(text)["data"]["classes"][0] == "círculo 🔵"


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(cli, finished):
    path = finished / "artifact" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["data"]["classes"][0] = "\x1b[2J\x1b]0;owned\x07 [red]set[/red]"
    path.write_text(json.dumps(manifest))
    shown = cli("show", finished)
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "[red]set[/red]" in shown.out


@pytest.fixture
def short_demo(monkeypatch):
    """Makes the demo quicker than --quick."""
    quick = {"networks": 1, "epochs": 1, "steps": 2}
    monkeypatch.setattr(demo, "protocol", lambda name, changes, known: protocol(name, quick, known))
    monkeypatch.setattr(attar, "distill", lambda task, **named: distill_task(task, **{**named, "steps": 2}))
    monkeypatch.setattr("attar.selectors.spaces.FEATURE_TRAINING", protocol("cpu-1", quick))
    monkeypatch.setattr(demo, "keep_memory", lambda: False)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_the_demo(cli, short_demo, tmp_path, as_json):
    result = cli("demo", "--quick", "--workers", 1, *(["--json"] if as_json else []))
    assert (result.code, result.err) == (0, "")
    if as_json:
        assert [Report.model_validate(report).n_sets for report in json.loads(result.out).values()] == [1, 1]
    else:
        assert "1 per class" in result.out
        assert "10 per class" in result.out
    for ipc in ("ipc-1", "ipc-10"):
        with Image.open(tmp_path / "attar-demo" / ipc / "artifact" / "preview.png") as picture:
            picture.load()
        Report.model_validate_json((tmp_path / "attar-demo" / ipc / "report.json").read_text())
