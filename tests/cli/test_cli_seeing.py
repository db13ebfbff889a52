"""Pictures, animations, plots, trackers and the cache on the command line."""

from __future__ import annotations

import json

import pytest
from PIL import Image


def kind(path):
    with Image.open(path) as image:
        return image.format


@pytest.fixture
def evaluated(distill, evaluate):
    """Two evaluated runs of different sizes."""
    for name, ipc in (("one", 1), ("two", 2)):
        distill(name, size=("--ipc", ipc))
        evaluate(name, baselines="random")
    return "one", "two"


@pytest.mark.parametrize("plot", ["ipc", "cpu"])
def test_runs_are_compared_in_a_plot(cli, evaluated, tmp_path, plot):
    assert cli("show", *evaluated, "--plot", plot, "--out", "plot.png").code == 0
    assert kind(tmp_path / "plot.png") == "PNG"


def test_a_confusion_matrix_is_drawn_of_one_run(cli, evaluated, tmp_path):
    assert cli("show", "one", "--plot", "confusion", "--out", "plot.png").code == 0
    assert kind(tmp_path / "plot.png") == "PNG"
    refused = cli("show", *evaluated, "--plot", "confusion", "--out", "other.png").refusal
    assert refused == "a confusion matrix is drawn of one run; name one"


def test_a_run_that_was_not_evaluated_says_how(cli, finished):
    assert (
        "has not been evaluated; run 'attar evaluate"
        in cli("show", finished, "--plot", "cpu", "--out", "plot.png").refusal
    )


def test_a_damaged_evaluation_is_named(cli, evaluated, tmp_path):
    path = next((tmp_path / "one" / "evaluations").glob("*.json"))
    path.write_text(json.dumps({"method": "dm"}))
    assert (
        "is damaged; evaluate the run again"
        in cli("show", "one", "--plot", "cpu", "--out", "plot.png").refusal
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--plot", "ipx", "--out", "p.png"), "unknown plot 'ipx': did you mean 'ipc'?"),
        (("--plot", "ipc"), "say where the plot is to be written, as in --plot ipc --out ipc.png"),
        (("--out", "p.gif"), "has no frames; distill it with --frames 40"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(cli, finished, tmp_path, arguments, sentence):
    assert sentence in cli("show", finished, *arguments).refusal
    assert not (tmp_path / "p.png").exists()


def test_several_runs_have_no_single_picture(cli, evaluated):
    assert "several runs are shown by --plot" in cli("show", *evaluated).refusal
    assert "a picture is drawn of one run" in cli("show", *evaluated, "--out", "p.png").refusal


def test_frames_become_an_animation(cli, distill, tmp_path):
    assert distill("run", "--frames", 3, "--quiet", steps=6).code == 0
    assert len(list((tmp_path / "run" / "frames").iterdir())) == 4
    assert kind(tmp_path / "run" / "evolution.gif") == "GIF"
    assert cli("show", "run", "--out", "again.gif").code == 0
    assert (tmp_path / "again.gif").read_bytes() == (tmp_path / "run" / "evolution.gif").read_bytes()


def test_frames_change_nothing_that_is_distilled(distill, tmp_path):
    distill("plain")
    distill("drawn", "--frames", 3)
    plain, drawn = (tmp_path / name / "artifact" / "data.safetensors" for name in ("plain", "drawn"))
    assert plain.read_bytes() == drawn.read_bytes()


def test_an_unknown_tracker_is_refused_before_any_work(distill, tmp_path):
    assert (
        "unknown tracker 'nope': choose from mlflow, tensorboard, wandb"
        in distill("run", "--log", "nope").refusal
    )
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_a_folder_of_the_run(distill, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    assert distill("run", "--log", "tensorboard", "--quiet").code == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_labels_may_follow_the_data(distill):
    made = distill("run", "--balance", "proportional", "--json", size=("--size", 10)).json
    assert made["samples"] == 10
    assert "'balanced' or 'proportional'" in distill("other", "--balance", "even").refusal


def test_an_unknown_cache_mode_is_refused(distill):
    assert "unknown cache 'off': choose from auto, disk, none" in distill("run", "--cache", "off").refusal


def test_the_cache_is_shown_and_cleared(cli, evaluated):
    before = {each["name"]: each["files"] for each in cli("cache", "info", "--json").json["sections"]}
    assert before["evaluations"] > 0
    assert "evaluations" in cli("cache", "info").out
    assert cli("cache", "clear", "evaluations", "--json").json["files"] == before["evaluations"]
    after = {each["name"]: each["files"] for each in cli("cache", "info", "--json").json["sections"]}
    assert after["evaluations"] == 0
    assert "deleted" in cli("cache", "clear").out


def test_an_unknown_section_of_the_cache_is_refused(cli):
    assert "unknown section of the cache 'picture'" in cli("cache", "clear", "picture").refusal


def test_the_accuracy_of_each_class_is_shown_if_asked(cli, evaluated):
    quick = (
        "--baselines",
        "none",
        "--workers",
        1,
        "--set",
        "protocol.epochs=1",
        "--set",
        "protocol.networks=1",
    )
    plain = cli("evaluate", "one", *quick).out
    asked = cli("evaluate", "one", *quick, "--per-class").out
    assert "each class" in asked
    assert "setosa" in asked
    assert "setosa" not in plain
