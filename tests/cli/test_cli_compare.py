from __future__ import annotations

import json
import signal

import pytest
from attar.cli import leaderboard
from attar.comparison import sets
from attar.owned import LIST
from attar.run_folder import RunFolder

FILES = {
    LIST,
    "accuracy-bytes.png",
    "accuracy-cpu.png",
    "comparison.json",
    "plan.json",
    "runs",
    "table.csv",
    "table.md",
    "table.tex",
}
QUICK = ("--set", "protocol.epochs=1", "--set", "protocol.networks=1", "--workers", 1)


@pytest.fixture
def compare(cli, monkeypatch):
    """Compares as quickly as it can be done."""
    monkeypatch.setattr(leaderboard, "keep_memory", lambda: False)

    def call(*more, data="iris", methods="dm", ipc="1", seeds=1, steps=2, baselines="random"):
        tiny = ("--methods", methods, "--ipc", ipc, "--seeds", seeds, "--steps", steps)
        named = () if data is None else ("--data", data)
        plain = ("--model", "mlp,width=4", "--baselines", baselines, "--out", "board")
        return cli("compare", "tensor", *named, *tiny, *plain, *QUICK, *more)

    return call


def test_tables_are_printed_and_written(compare, tmp_path):
    result = compare("--quiet", methods="dm,frepo,random", ipc="1,2")
    assert result.code == 0, result.err
    for word in ("1 per class", "2 per class", "dm", "frepo *", "random", "equal bytes", "table.tex"):
        assert word in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    assert {path.name for path in (tmp_path / "board").iterdir()} == FILES
    assert len(list((tmp_path / "board" / "runs").iterdir())) == 4


def test_json_is_one_object_that_fits_its_schema(compare, cli, tmp_path):
    found = compare("--json", "--no-equal-bytes").json
    assert found == json.loads((tmp_path / "board" / "comparison.json").read_text())
    schema = cli("schema", "compare").json
    assert set(schema["required"]) <= set(found) <= set(schema["properties"])
    assert found["equal_bytes"] == []
    assert {row["method"] for row in found["rows"]} == {"dm", "random"}


def test_a_run_of_a_comparison_is_a_run(compare, cli, tmp_path):
    [row] = [row for row in compare("--json").json["rows"] if row["method"] == "dm"]
    run = tmp_path / "board" / row["runs"][0]
    assert cli("show", run, "--json").json["method"]["name"] == "dm"
    report = cli("evaluate", run, "--baselines", "none", "--model", "mlp,width=4", *QUICK, "--json").json
    assert report["accuracy"] == row["accuracy"]


def test_a_grid_is_tried_on_validation_data(compare, tmp_path):
    found = compare("--grid", "lr=0.1,10", "--tune-seeds", 2, "--json").json
    assert [trial["settings"] for trial in found["tuning"]] == [{"lr": "0.1"}, {"lr": "10"}]
    assert found["tune_seeds"] == [0, 1]
    assert (tmp_path / "board" / "tuning.csv").is_file()
    assert "settings chosen on validation data" in compare("--grid", "lr=0.1,10", "--tune-seeds", 2).out


def test_values_with_commas_are_parted_by_semicolons(compare):
    found = compare("--grid", "dm.model=mlp,width=4;mlp,width=5", "--json").json
    tried = [trial["settings"]["dm.model"] for trial in found["tuning"]]
    assert tried == ["mlp,width=4", "mlp,width=5"]


def test_a_dry_run_makes_nothing(compare, tmp_path):
    plan = compare("--dry-run", "--json", "--grid", "lr=0.1,1", methods="dm,idc", seeds=3).json
    assert (plan["sets"], plan["trials"], plan["networks"]) == (4, 2, 4)
    assert "cuts positions" in plan["refused"]["idc"]
    assert plan["expected"]["sets_cpu"] > 0
    assert plan["expected"]["wall"] > plan["expected"]["networks_cpu"] / 2
    said = compare("--dry-run", methods="dm,idc").out
    assert "would compare" in said
    assert "do not fit these data" in said
    assert not (tmp_path / "board").exists()


def test_data_and_run_settings_are_taken(compare):
    found = compare("--set", "data.validation=0", "--set", "run.dtype=float16", "--json").json
    [row] = [row for row in found["rows"] if row["method"] == "dm"]
    assert row["validation"] is None
    assert row["bytes"] == 3 * 4 * 2 + 3


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--ipc", "1,x"), "--ipc '1,x' is not understood; write it as --ipc 1,10"),
        (("--ipc", "0"), "each number of samples per class must be at least 1"),
        (("--ipc", "1000"), "are asked for, but it has"),
        (("--ipc-policy", "no"), "unknown ipc policy 'no': choose from cap, error, repeat"),
        (("--grid", "lr"), "--grid 'lr' is not understood; write it as --grid lr=0.1,1"),
        (("--grid", "lr=1,"), "--grid 'lr=1,' is not understood"),
        (("--grid", "lr=1,2", "--grid", "lr=3"), "--grid 'lr' is given twice"),
        (("--grid", "nope=1"), "unknown setting 'nope'"),
        (("--grid", "data.augment=a,b"), "unknown setting 'data.augment'"),
        (("--grid", "lr=1,2", "--set", "data.validation=0"), "a grid is chosen from on validation data"),
        (("--set", "run.seed=1"), "unknown setting 'run.seed'"),
        (("--set", "run.dtype=int8"), "run.dtype = 'int8' does not fit"),
        (("--set", "protocol.nope=1"), "unknown setting 'protocol.nope'"),
        (("--methods", "nope"), "unknown method 'nope'"),
        (("--methods", ""), "there is nothing to compare"),
        (("--baselines", "nope"), "unknown baseline 'nope'"),
        (("--precision", "fp8"), "run.precision = 'fp8' does not fit"),
        (("--seeds", "0"), "seeds"),
        (("--ranking",), "the ranking compares with the baselines whole and random; add whole"),
        (("--resume", "--force"), "--resume goes on with a comparison and --force replaces it"),
    ],
)
def test_a_mistake_is_one_sentence(compare, tmp_path, more, words):
    assert words in compare(*more).refusal
    assert not (tmp_path / "board").exists()


def test_data_are_named(compare):
    assert "name the data with --data" in compare(data=None).refusal


def test_a_modality_is_named(cli):
    assert "name a modality, as in 'attar compare image'" in cli("compare", "--data", "iris").refusal


def test_ctrl_c_stops_and_the_same_command_goes_on(compare, tmp_path, monkeypatch, ctrl_c):
    ctrl_c(3)
    stopped = compare(steps=6, seeds=2)
    assert (stopped.code, stopped.out) == (130, "")
    assert "the same command goes on from what is finished (board)" in stopped.err
    assert list((tmp_path / "board" / "runs").glob("*/checkpoint/step-000000003"))
    steps = []
    note = RunFolder.note
    monkeypatch.setattr(
        RunFolder, "note", lambda self, record: steps.append(record.step) or note(self, record)
    )
    assert compare("--resume", "--json", steps=6, seeds=2).json["rows"]
    assert steps == [4, 5, 6, 1, 2, 3, 4, 5, 6]


@pytest.mark.skipif(not hasattr(signal, "SIGTERM"), reason="the platform has no such signal")
def test_a_request_to_end_is_obeyed_between_steps_too(compare, monkeypatch):
    def end(*arguments, **named):
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("attar.comparison.leaderboard.make_plan", end)
    assert compare().code == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_force_replaces_and_a_strangers_folder_is_kept(compare, tmp_path, monkeypatch):
    assert compare(seeds=2).code == 0
    made = []
    make = sets.make_set
    monkeypatch.setattr(sets, "make_set", lambda job, **more: made.append(job) or make(job, **more))
    assert compare(seeds=2).code == 0
    assert made == []
    assert compare("--force").code == 0
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
    assert len(list((tmp_path / "board" / "runs").iterdir())) == 1
    (tmp_path / "board" / "runs" / "thesis.docx").write_text("keep")
    assert "holds 'runs/thesis.docx', which Attar did not write" in compare("--force").refusal
