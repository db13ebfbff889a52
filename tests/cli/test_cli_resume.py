from __future__ import annotations

import json
import signal

import pytest

SAVING = ("--set", "run.checkpoint_every=2")
DATA = "artifact/data.safetensors"


def steps(run):
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def stopped(distill, tmp_path, ctrl_c):
    """A run of six steps, stopped after the third."""
    ctrl_c(3)
    assert distill("run", *SAVING, steps=6).code == 130
    return tmp_path / "run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_how_to_continue(distill, ctrl_c, number):
    ctrl_c(3, number)
    result = distill("run", steps=6)
    assert (result.code, result.out) == (130, "")
    assert result.err.count("\n") == 1
    assert "stopped after 3 steps" in result.err
    assert "--resume" in result.err


def test_ctrl_c_before_the_first_step_says_that_it_stopped(distill, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("attar.cli.work.load_task", interrupted)
    result = distill("run")
    assert (result.code, result.out) == (130, "")
    assert "stopped" in result.err


def test_a_stopped_run_ends_as_the_whole_one_does(distill, stopped, tmp_path):
    assert distill("run", *SAVING, "--resume", steps=6).code == 0
    assert distill("whole", *SAVING, steps=6).code == 0
    assert (stopped / DATA).read_bytes() == (tmp_path / "whole" / DATA).read_bytes()
    assert steps(stopped) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6])
def test_a_crash_in_any_step_changes_nothing(distill, crash, tmp_path, step):
    crash(step)
    assert distill("run", *SAVING, steps=6).code == 137
    assert distill("run", *SAVING, "--resume", steps=6).code == 0
    assert distill("whole", *SAVING, steps=6).code == 0
    assert (tmp_path / "run" / DATA).read_bytes() == (tmp_path / "whole" / DATA).read_bytes()
    assert steps(tmp_path / "run") == [1, 2, 3, 4, 5, 6]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(distill, stopped, tmp_path):
    (stopped / "checkpoint" / "step-000000003" / "state.safetensors").write_bytes(b"cut")
    assert distill("run", *SAVING, "--resume", steps=6).code == 0
    assert distill("whole", *SAVING, steps=6).code == 0
    assert (stopped / DATA).read_bytes() == (tmp_path / "whole" / DATA).read_bytes()


def test_damaged_checkpoints_are_told_apart_from_none(distill, stopped):
    for path in stopped.glob("checkpoint/*/state.json"):
        path.write_bytes(b"{")
    assert "damaged" in distill("run", *SAVING, "--resume", steps=6).refusal


def test_a_log_cut_short_is_mended(distill, stopped):
    with open(stopped / "log.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    assert distill("run", *SAVING, "--resume", steps=6).code == 0
    assert steps(stopped) == [1, 2, 3, 4, 5, 6]


def test_there_must_be_a_run_to_resume(distill, tmp_path):
    said = distill("run", "--resume").refusal
    assert "no run to resume in" in said
    assert "run'" in said
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_repeated(distill, finished, contents):
    before = contents(finished)
    assert distill(finished, "--resume", "--json").json["samples"] == 3
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--seed", 1), ["run.seed is 0 there and 1 here"]),
        (("--set", "objective.lr=0.5"), ["objective.lr is 1.0 there and 0.5 here"]),
        (("--set", "data.options.validation=0.2"), ["data.options.validation is 0.1 there and 0.2 here"]),
        (("--set", "run.dtype=float16"), ["run.dtype"]),
        (("--set", "size.ipc=2"), ["size.ipc is 1 there and 2 here"]),
        (("--precision", "bf16"), ["run.precision"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_other_settings_are_named(distill, stopped, contents, more, words):
    before = contents(stopped)
    said = distill("run", *SAVING, "--resume", *more, steps=6).refusal
    assert [word for word in words if word not in said] == []
    assert contents(stopped) == before


def test_other_settings_are_named_for_a_finished_run(distill, finished):
    assert "run.seed is 0 there and 9 here" in distill(finished, "--resume", "--seed", 9).refusal


def test_other_threads_are_refused_unless_allowed(distill, stopped):
    said = distill("run", *SAVING, "--resume", "--threads", 2, steps=6).refusal
    assert "threads 1, now it is 2" in said
    assert "--allow-inexact" in said
    allowed = distill("run", *SAVING, "--resume", "--threads", 2, "--allow-inexact", steps=6)
    assert allowed.code == 0


def test_the_interval_of_checkpoints_may_change(distill, stopped):
    assert distill("run", "--set", "run.checkpoint_every=5", "--resume", steps=6).code == 0


def test_other_data_under_the_same_name_do_not_go_unnoticed(cli, npz, ctrl_c):
    quick = ("--ipc", 1, "--steps", 6, "--model", "mlp,width=4", "--out", "run")
    ctrl_c(3)
    path = npz()
    assert cli("distill", "tensor", "--data", path, *quick).code == 130
    with_other = npz(y_train=[2, 1, 0] * 10)
    result = cli("distill", "tensor", "--data", with_other, *quick, "--resume")
    assert "fingerprint" in result.err


def test_a_selection_can_be_resumed_after_it_failed(select, tmp_path, disk_full):
    with disk_full(tmp_path / "run" / "recipe.toml"):
        assert "disk is full" in select("run", "herding").refusal
    assert select("run", "herding", "--resume").code == 0


def test_a_run_is_resumed_by_its_recipe(cli, stopped, distill, tmp_path):
    assert cli("run", stopped, "--out", stopped, "--resume", "--threads", 1).code == 0
    assert distill("whole", *SAVING, steps=6).code == 0
    assert (stopped / DATA).read_bytes() == (tmp_path / "whole" / DATA).read_bytes()


def test_a_second_ctrl_c_ends_at_once(distill, at_step, tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_step(3, twice)
    result = distill("run", *SAVING, steps=6)
    assert result.code == 130
    assert "stopped" in result.err
    assert steps(tmp_path / "run") == [1, 2, 3]
    assert distill("run", *SAVING, "--resume", steps=6).code == 0
