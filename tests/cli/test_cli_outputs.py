from __future__ import annotations

import os

import pytest
from attar.checkpoint import Checkpoints
from attar.owned import LIST


def test_an_occupied_folder_is_left_alone(distill, finished, contents):
    before = contents(finished)
    said = distill(finished, "--json").refusal
    assert str(finished) in said
    assert "--force" in said
    assert contents(finished) == before


def test_a_folder_of_something_else_is_left_alone(distill, tmp_path, contents):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    assert "exists and is not empty" in distill(tmp_path / "letters").refusal
    assert contents(tmp_path / "letters") == {"love.txt": b"dear"}


def test_force_replaces_a_run(distill, finished, tmp_path):
    made = distill(finished, "--force", "--json", "--seed", 7).json
    assert made["seed"] == 7
    assert "seed = 7" in (finished / "recipe.toml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]


def test_force_replaces_only_once_the_new_run_is_complete(distill, finished, contents, ctrl_c):
    before = contents(finished)
    ctrl_c(2)
    assert distill(finished, "--force", "--seed", 7, steps=4).code == 130
    assert contents(finished) == before


def test_a_forced_run_that_was_stopped_is_continued_by_the_same_command(distill, finished, ctrl_c, tmp_path):
    ctrl_c(2)
    assert distill(finished, "--force", "--seed", 7, steps=4).code == 130
    assert distill(finished, "--force", "--seed", 7, "--resume", "--json", steps=4).json["seed"] == 7
    assert distill("whole", "--seed", 7, steps=4).code == 0
    data = "artifact/data.safetensors"
    assert (finished / data).read_bytes() == (tmp_path / "whole" / data).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finished", "whole"]


def test_a_forced_run_that_fails_leaves_the_old_one(distill, finished, contents):
    before = contents(finished)
    assert distill(finished, "--force", "--set", "objective.lr=1e30", steps=20).refusal
    assert contents(finished) == before


def test_force_on_an_unknown_setting_leaves_the_old_one(distill, finished, contents):
    before = contents(finished)
    assert distill(finished, "--force", "--set", "objective.nope=1").refusal
    assert contents(finished) == before


def test_an_empty_folder_is_used(distill, tmp_path):
    (tmp_path / "run").mkdir()
    assert distill("run").code == 0
    assert (tmp_path / "run" / "artifact" / "manifest.json").is_file()


def test_the_working_folder_is_used_if_it_is_empty(distill, tmp_path):
    assert distill(".").code == 0
    assert (tmp_path / "artifact" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "out",
    ["note", "note/run", "/proc/attar/run", "x" * 300, "/dev/null", "link"],
    ids=["file", "below a file", "read-only", "long", "device", "loop"],
)
def test_a_place_that_cannot_be_written_is_named(distill, tmp_path, out):
    (tmp_path / "note").write_text("keep")
    (tmp_path / "link").symlink_to("link")
    assert out[:100] in distill(out).refusal
    assert (tmp_path / "note").read_text() == "keep"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(distill, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "not permitted" in distill(tmp_path / "locked" / "run").refusal


@pytest.mark.parametrize("number", ["EACCES", "EROFS", "ENOSPC", "EDQUOT", "EIO"])
def test_what_the_disk_refuses_is_one_sentence(distill, monkeypatch, number):
    import errno

    def refuse(*arguments, **named):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert "cannot write 'run'" in distill("run").refusal


@pytest.mark.parametrize("step", [4, 6])
def test_a_full_disk_at_a_checkpoint_loses_nothing(distill, tmp_path, disk_full, step):
    saving = ("--set", "run.checkpoint_every=2")
    run = tmp_path / "run"
    with disk_full(run / "checkpoint" / f"step-{step - 2:09d}"):
        assert "disk is full" in distill(run, *saving, steps=8).refusal
    assert Checkpoints(run / "checkpoint").newest().step == step - 2
    assert not (run / "artifact").exists()
    assert distill(run, *saving, "--resume", steps=8).code == 0
    assert distill("whole", *saving, steps=8).code == 0
    data = "artifact/data.safetensors"
    assert (run / data).read_bytes() == (tmp_path / "whole" / data).read_bytes()


def test_a_full_disk_at_the_artifact_loses_nothing(distill, tmp_path, disk_full):
    run = tmp_path / "run"
    with disk_full(run / "checkpoint" / "step-000000003"):
        assert "disk is full" in distill(run).refusal
    assert Checkpoints(run / "checkpoint").newest().step == 3
    assert not (run / "artifact").exists()
    assert distill(run, "--resume").code == 0
    assert sorted(path.name for path in run.iterdir()) == [
        LIST,
        "artifact",
        "checkpoint",
        "log.jsonl",
        "recipe.toml",
    ]


def test_a_full_disk_at_a_report_leaves_the_run(evaluate, finished, disk_full, contents):
    before = contents(finished)
    with disk_full(finished):
        assert "disk is full" in evaluate(finished).refusal
    assert contents(finished) == before


def test_files_of_an_artifact_are_made_durable(distill, tmp_path, monkeypatch):
    synced, sync = set(), os.fsync

    def fsync(handle):
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert distill("run").code == 0
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != "log.jsonl"]
    assert [path.name for path in files if path.stat().st_ino not in synced] == []


def test_nothing_is_left_beside_a_run(distill, tmp_path):
    assert distill("run").code == 0
    assert [path for path in tmp_path.rglob(".*")] == [tmp_path / "run" / LIST]


def test_a_picture_is_not_overwritten(cli, finished, tmp_path):
    (tmp_path / "own.png").write_bytes(b"keep")
    assert "'own.png'" in cli("show", finished, "--out", "own.png").refusal
    assert (tmp_path / "own.png").read_bytes() == b"keep"
    assert cli("show", finished, "--out", "own.png", "--force").code == 0
    assert (tmp_path / "own.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_does_not_take_the_place_of_a_folder(cli, finished, tmp_path):
    (tmp_path / "place.png").mkdir()
    assert "'place.png'" in cli("show", finished, "--out", "place.png", "--force").refusal
    assert (tmp_path / "place.png").is_dir()


def test_a_shown_set_does_not_take_the_place_of_a_folder_of_others(cli, finished, tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "note").write_text("keep")
    assert "was not written by Attar" in cli("show", finished, "--out", "place", "--force").refusal
    assert (tmp_path / "place" / "note").read_text() == "keep"
    assert cli("show", finished, "--out", "new").code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"picture.png", "shown.json", LIST}


def test_a_cache_that_cannot_be_written_is_named(evaluate, finished, monkeypatch, tmp_path):
    (tmp_path / "note").write_text("keep")
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path / "note" / "cache"))
    assert "note" in evaluate(finished).refusal


def test_the_demo_leaves_an_occupied_folder_alone(cli, tmp_path):
    (tmp_path / "attar-demo").mkdir()
    (tmp_path / "attar-demo" / "note").write_text("keep")
    assert "attar-demo" in cli("demo", "--quick").refusal
