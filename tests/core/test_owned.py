"""No command replaces or removes a file that Attar did not write."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys

import pytest
from attar.checkpoint import Checkpoint, Checkpoints
from attar.errors import UsageError
from attar.files import write_file
from attar.folders import OutputFolder, check_free, staged_folder
from attar.owned import LIST, LOCK, FileList, adopt, check_replaceable, claim, discard, recording, remove


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def make(path, content=b"new", *, force=False, kind="run"):
    with staged_folder(path, force=force, kind=kind) as aside:
        (aside / "one").write_bytes(content)
        (aside / "below").mkdir()
        (aside / "below" / "two").write_bytes(content)


@pytest.fixture
def made(tmp_path):
    make(tmp_path / "out", b"old")
    return tmp_path / "out"


FOREIGN = [
    "thesis.docx",
    ".env",
    ".git/HEAD",
    "below/notes.txt",
    ".one.attar-new",
    "recipe.toml",
    ".x.12345678",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_a_file_of_the_user_s_is_not_replaced(made, name):
    mine = made / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"dear")
    before = names(made)
    with pytest.raises(
        UsageError, match=r"which Attar did not write or which was changed since.*move it away"
    ):
        make(made, force=True)
    assert names(made) == before
    assert mine.read_bytes() == b"dear"
    assert (made / "one").read_bytes() == b"old"


def test_a_file_that_was_changed_is_the_user_s(made):
    (made / "one").write_bytes(b"corrected by hand")
    with pytest.raises(UsageError, match="holds 'one', which"):
        make(made, force=True)


def test_an_empty_folder_of_the_user_s_stays(made):
    (made / "mine").mkdir()
    with pytest.raises(UsageError, match="holds 'mine', which"):
        make(made, force=True)


def test_links_are_not_followed(made, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "two").write_bytes(b"dear")
    (made / "below" / "two").unlink()
    (made / "below").rmdir()
    (made / "below").symlink_to(tmp_path / "home")
    with pytest.raises(UsageError, match="holds 'below', which"):
        check_replaceable(made)
    discard(made)
    assert (tmp_path / "home" / "two").read_bytes() == b"dear"


@pytest.mark.parametrize("name", ["recipe.toml", "manifest.json", "shown.json", "ipc-1", "plan.json"])
def test_a_name_that_attar_uses_makes_no_folder_attar_s(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not written by Attar"):
        check_free(tmp_path / "out", force=True)


def test_a_folder_of_another_kind_is_not_replaced(made):
    with pytest.raises(UsageError, match="is of the kind 'run', not 'export'"):
        make(made, force=True, kind="export")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "no json", '{"attar": 2, "kind": "run"}', '{"attar": 1}', "[" * 100_000],
    ids=range(7),
)
def test_a_list_that_is_not_valid_makes_no_folder_attar_s(made, text):
    (made / LIST).write_text(text)
    with pytest.raises(UsageError, match="was not written by Attar"):
        check_free(made, force=True)


@pytest.mark.parametrize(
    "name", ["../mine", "/etc/passwd", "below/../../mine", "C:\\mine", "a\\b", "", 3, None]
)
def test_a_list_names_nothing_outside_its_folder(tmp_path, name):
    (tmp_path / "mine").write_bytes(b"dear")
    claim(tmp_path / "out", "run")
    with open(tmp_path / "out" / LIST, "a") as file:
        file.write(f"\n{json.dumps([name, None])}")
    assert FileList.read(tmp_path / "out").files == {}
    discard(tmp_path / "out")
    assert (tmp_path / "mine").read_bytes() == b"dear"


@pytest.mark.parametrize("name", [LIST, ".attar-lock"])
@pytest.mark.parametrize("how", ["file", "symlink", "hardlink"])
def test_a_file_of_the_user_s_with_a_name_of_attar_s_is_not_written_over(tmp_path, name, how):
    thesis, folder = tmp_path / "thesis.txt", tmp_path / "out"
    folder.mkdir()
    thesis.write_text("years of work")
    match how:
        case "file":
            (folder / name).write_text("years of work")
        case "symlink":
            (folder / name).symlink_to(thesis)
        case "hardlink":
            os.link(thesis, folder / name)
    with pytest.raises(UsageError), OutputFolder(folder, "run") as opened:
        opened.begin()
    with pytest.raises(UsageError), staged_folder(folder, force=True):
        pass
    assert (folder / name).read_text() == thesis.read_text() == "years of work"


def test_a_line_that_was_cut_short_hides_no_other(tmp_path):
    known = claim(tmp_path, "run")
    with open(tmp_path / LIST, "a") as file:
        file.write('\n["log.js')
    known.add([("log.jsonl", None)])
    assert FileList.read(tmp_path).files == {"log.jsonl": {None}}


def test_files_written_into_a_folder_join_its_list(tmp_path):
    claim(tmp_path / "run", "run")
    write_file(tmp_path / "run" / "recipe.toml", b"x")
    write_file(tmp_path / "run" / "evaluations" / "cpu-1.json", b"{}")
    make(tmp_path / "run" / "artifact")
    assert set(FileList.read(tmp_path / "run").files) == {
        "recipe.toml",
        "evaluations/cpu-1.json",
        "artifact/one",
        "artifact/below/two",
    }
    assert not (tmp_path / "run" / "artifact" / LIST).exists()
    make(tmp_path / "run" / "artifact", b"newer", force=True)
    assert discard(tmp_path / "run")


def test_a_file_of_the_user_s_is_not_overwritten_in_a_run_s_folder(tmp_path):
    claim(tmp_path, "run")
    (tmp_path / "log.jsonl").write_bytes(b"my diary")
    with pytest.raises(UsageError, match=r"'.*log.jsonl' was not written by Attar, or was changed since"):
        write_file(tmp_path / "log.jsonl", b"")
    assert (tmp_path / "log.jsonl").read_bytes() == b"my diary"


def test_a_file_behind_a_link_is_not_removed(tmp_path):
    claim(tmp_path / "run", "run")
    write_file(tmp_path / "run" / "a.json", b"same")
    (tmp_path / "thesis").write_bytes(b"same")
    (tmp_path / "run" / "a.json").unlink()
    (tmp_path / "run" / "a.json").symlink_to(tmp_path / "thesis")
    remove(tmp_path / "run" / "a.json")
    assert (tmp_path / "run" / "a.json").is_symlink()


def test_nothing_is_resumed_through_a_link(tmp_path):
    with OutputFolder(tmp_path / "run", "run") as folder:
        folder.begin()
        Checkpoints(folder.path / "checkpoint").save(Checkpoint(1, {}, {}))
    (tmp_path / "run" / "checkpoint").rename(tmp_path / "mine")
    (tmp_path / "run" / "checkpoint").symlink_to(tmp_path / "mine")
    with (
        pytest.raises(UsageError, match=r"checkpoint' is a link"),
        OutputFolder(tmp_path / "run", "run") as folder,
    ):
        folder.resume()
    assert (tmp_path / "mine" / "step-000000001" / "state.json").is_file()


def test_only_checkpoints_are_dropped(tmp_path):
    claim(tmp_path, "run")
    kept = Checkpoints(tmp_path / "checkpoint", keep=1)
    for name in ("step-notes", "step-1", "mine"):
        (tmp_path / "checkpoint" / name).mkdir(parents=True)
    for step in (1, 2, 3):
        kept.save(Checkpoint(step=step, state={}, meta={}))
        (tmp_path / "checkpoint" / f"step-{step:09d}" / "why.txt").write_bytes(b"dear")
    assert kept.newest().step == 3
    left = names(tmp_path / "checkpoint")
    assert left >= {"step-notes", "step-1", "mine", "step-000000001/why.txt", "step-000000002/why.txt"}
    assert "step-000000002/state.json" not in left


def test_what_a_logger_writes_is_listed(tmp_path):
    claim(tmp_path, "run")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "mine").write_bytes(b"")
    with recording(tmp_path / "csv", "*.csv"):
        (tmp_path / "csv" / "results.csv").write_bytes(b"")
        (tmp_path / "csv" / "thesis.txt").write_bytes(b"of the user")
    assert set(FileList.read(tmp_path).files) == {"csv/results.csv"}


def test_a_run_counts_as_part_of_a_comparison_only_if_that_made_it(tmp_path):
    claim(tmp_path / "table", "comparison")
    for name in ("own", "other"):
        claim(tmp_path / "table" / "runs" / name, "run")
        write_file(tmp_path / "table" / "runs" / name / "recipe.toml", b"")
    adopt(tmp_path / "table", tmp_path / "table" / "runs" / "own")
    with pytest.raises(UsageError, match="holds 'runs/other', which"):
        check_replaceable(tmp_path / "table")
    assert not discard(tmp_path / "table")
    assert names(tmp_path / "table") == {"runs", "runs/other", f"runs/other/{LIST}", "runs/other/recipe.toml"}


def begun(path, *, force=False):
    with OutputFolder(path, "run", force=force) as folder:
        folder.begin()
        write_file(folder.path / "recipe.toml", b"mine")
        yield folder


def test_what_a_killed_process_left_is_cleared_and_nothing_else(tmp_path):
    list(begun(tmp_path))
    (tmp_path / ".recipe.toml.0123abcd.attar-new").write_bytes(b"half")
    (tmp_path / ".checkpoint.0123abcd.attar-old").mkdir()
    (tmp_path / ".checkpoint.0123abcd.attar-old" / "x").write_bytes(b"half")
    for name in (".env", ".recipe.toml.0123abcd", ".git"):
        (tmp_path / name).write_bytes(b"dear")
    with OutputFolder(tmp_path, "run") as folder:
        folder.resume()
    assert names(tmp_path) == {LIST, "recipe.toml", ".env", ".recipe.toml.0123abcd", ".git"}


def test_a_replaced_folder_may_be_given_files_until_the_end(tmp_path):
    list(begun(tmp_path / "out"))
    for folder in begun(tmp_path / "out", force=True):
        (tmp_path / "out" / "late.txt").write_bytes(b"dear")
        with pytest.raises(UsageError, match=r"holds 'late.txt'"):
            folder.take_place()
    assert (tmp_path / "out" / "late.txt").read_bytes() == b"dear"
    assert (tmp_path / ".out.forced" / "recipe.toml").is_file()


def test_a_folder_beside_is_only_replaced_if_it_is_attar_s(tmp_path):
    list(begun(tmp_path / "out"))
    (tmp_path / ".out.forced").mkdir()
    (tmp_path / ".out.forced" / "x").write_bytes(b"dear")
    with pytest.raises(UsageError, match=r"\.out\.forced' was not written by Attar"):
        list(begun(tmp_path / "out", force=True))
    assert (tmp_path / ".out.forced" / "x").read_bytes() == b"dear"


def test_a_linked_folder_is_replaced_where_it_is(tmp_path):
    list(begun(tmp_path / "disk" / "out"))
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    for folder in begun(tmp_path / "out", force=True):
        folder.take_place()
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "disk") == {"out", f"out/{LIST}", "out/recipe.toml"}


def test_two_processes_do_not_share_a_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from attar.folders import OutputFolder\n"
        "with OutputFolder(Path(sys.argv[1]), 'run') as folder: print('in'); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(UsageError, match="another process is writing into"):
            OutputFolder(tmp_path / "out", "run")
        claim(tmp_path / "out", "run")
        write_file(tmp_path / "out" / "recipe.toml", b"of the other")
        with pytest.raises(UsageError, match="another process is writing into"):
            OutputFolder(tmp_path / "out", "run", force=True)
        other.stdin.close()
        other.wait()
    with OutputFolder(tmp_path / "out", "run", force=True) as folder:
        folder.begin()


def test_a_command_that_is_refused_leaves_no_folder(tmp_path):
    with OutputFolder(tmp_path / "a" / "out", "run") as folder:
        folder.begin()
        assert (tmp_path / "a" / "out" / LOCK).exists()
    assert names(tmp_path) == set()


def test_random_files_everywhere_survive_everything(tmp_path, caplog):
    """Files of random names appear at random places and moments of runs that are replaced and resumed."""
    caplog.set_level(logging.ERROR)
    draw = random.Random(0)
    stems = [
        "recipe",
        "log",
        "step-000000002",
        "artifact",
        "checkpoint",
        ".git",
        ".env",
        "état",
        "manifest",
        "x y",
    ]
    ends = ["", ".toml", ".json", ".jsonl", ".txt", ".attar", ".0123abcd", ".lock", "~", ".forced"]
    mine = {}

    def scatter(root):
        places = [root, *(path for path in root.rglob("*") if path.is_dir() and ".attar-" not in path.name)]
        for _ in range(draw.randrange(3)):
            path = draw.choice(places) / (draw.choice(stems) + draw.choice(ends))
            if draw.random() < 0.3:
                path = path / "inside"
            if path.exists() or path.parent.is_file():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(str(len(mine)).encode())
            mine[path.stat().st_ino] = (path, path.read_bytes())

    def work(folder, root):
        write_file(folder.path / "recipe.toml", b"recipe")
        checkpoints = Checkpoints(folder.path / "checkpoint", keep=1)
        for step in range(3):
            scatter(root)
            checkpoints.save(Checkpoint(step=step, state={}, meta={}))
            write_file(folder.path / "log.jsonl", str(step).encode(), grows=True)
        make(folder.path / "artifact", force=True)
        scatter(root)
        folder.take_place()

    outcomes = set()
    for number in range(60):
        root = tmp_path / str(number)
        list(begun(root / "out"))
        for _ in range(3):
            force = draw.random() < 0.5
            try:
                with OutputFolder(root / "out", "run", force=force) as folder:
                    folder.start(resume=True)
                    work(folder, root)
                outcomes.add(force)
            except UsageError:
                outcomes.add("refused")
    left = {path.stat().st_ino: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert outcomes == {True, False, "refused"}
    assert len(mine) > 100
    assert [path for key, (path, content) in mine.items() if left.get(key) != content] == []
