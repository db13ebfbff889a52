from __future__ import annotations

import pytest


@pytest.fixture
def run(cli, tmp_path):
    """A run of two steps on the generated sentences."""
    assert (
        cli("distill", "text", "--data", "notes", "--ipc", "1", "--steps", "2", "--out", "run", "-q").code
        == 0
    )
    return tmp_path / "run"


def test_show_names_the_nearest_training_texts(cli, run):
    shown = cli("show", run, "--data", "notes", "--nearest", "2")
    assert "nearest real samples" in shown.out
    found = cli("show", run, "--data", "notes", "--nearest", "2", "--json").json
    assert found["data"]["name"] == "notes"
    assert len(found["samples"]) == 4
    for sample in found["samples"]:
        first, second = sample["nearest"]
        assert first["distance"] <= second["distance"]
        assert len(first["caption"].split()) > 4


def test_show_without_data_lists_no_samples(cli, run):
    assert "samples" not in cli("show", run, "--json").json


def test_show_in_token_mode_says_tokens(cli, table, encoder, tmp_path):
    table("own.csv")
    options = ["--set", "data.mode=token", "--set", f"data.encoder={encoder}", "--set", "data.augment=false"]
    made = cli(
        "distill",
        "text",
        "--data",
        "own.csv",
        "--ipc",
        "1",
        "--method",
        "random",
        *options,
        "--out",
        "run",
        "-q",
    )
    assert made.code == 0
    shown = cli("show", "run", "--set", f"data.encoder={encoder}", "--json").json
    assert all("the" in sample["described"] for sample in shown["samples"])
    assert cli("show", "run").code == 0
    assert "'tiny' is not on this machine" in cli("show", "run", "--set", "data.augment=false").refusal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "protocol.networks=1"], "a set is shown with settings 'data.…'"),
        (["--data", "nothing"], "unknown data 'nothing'"),
        (["--set", "data.nope=1"], "data.options.nope"),
    ],
)
def test_what_does_not_fit_is_refused(cli, run, arguments, words):
    assert words in cli("show", run, *arguments).refusal


def test_several_runs_have_no_samples(cli, run):
    assert (
        "samples are shown of one run"
        in cli("show", run, run, "--plot", "ipc", "--out", "p.png", "--data", "notes").refusal
    )


def test_an_evaluation_needs_the_path_of_own_data_and_of_an_encoder(cli, table, encoder):
    table("own.csv")
    assert (
        cli(
            "distill",
            "text",
            "--data",
            "own.csv",
            "--ipc",
            "1",
            "--steps",
            "1",
            "--set",
            f"data.encoder={encoder}",
            "--out",
            "run",
            "-q",
        ).code
        == 0
    )
    assert "'tiny' is not on this machine" in cli("evaluate", "run", "--data", "own.csv").refusal
    few = [
        "--set",
        "protocol.networks=1",
        "--set",
        "protocol.epochs=2",
        "--baselines",
        "random",
        "--workers",
        "1",
    ]
    report = cli(
        "evaluate", "run", "--data", "own.csv", "--set", f"data.encoder={encoder}", *few, "--json"
    ).json
    assert report["accuracy"]["n"] == 1


def test_nothing_that_is_written_tells_the_folder_of_an_encoder(cli, table, encoder, tmp_path):
    table("own.csv")
    options = ["--set", f"data.encoder={encoder}", "--steps", "2", "--seeds", "1", "--set", "per_class=4"]
    few = ["--set", "protocol.networks=1", "--set", "protocol.epochs=2", "--baselines", "random"]
    made = cli("distill", "text", "--data", "own.csv", "--ipc", "1", *options[:4], "--out", "run", "-q")
    assert made.code == 0
    compared = cli(
        "compare", "text", "--data", "own.csv", "--ipc", "1", *options, *few, "--methods", "dm,kip",
        "--out", "all", "--no-equal-bytes", "--workers", "2", "-q",
    )  # fmt: skip
    assert compared.code == 0
    for path in [*(tmp_path / "run").rglob("*"), *(tmp_path / "all").rglob("*")]:
        assert not path.is_file() or str(encoder.parent).encode() not in path.read_bytes(), path
