from __future__ import annotations

import errno
import os

import pytest
from attar.errors import UsageError
from attar.files import disk_errors, read_json, to_json, write_file
from attar.folders import check_free, staged_folder
from attar.owned import LIST


def refuse(monkeypatch, name, *, error=errno.ENOSPC, after=0):
    """Make a function of `os` fail after a number of calls."""
    real, calls = getattr(os, name), []

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise OSError(error, os.strerror(error))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, failing)


def tree(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LIST)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_write_file_makes_folders_and_replaces(tmp_path):
    write_file(tmp_path / "a" / "b", b"1")
    write_file(tmp_path / "a" / "b", b"2")
    assert tree(tmp_path) == {"a/b": b"2"}


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    write_file(tmp_path / "a", b"old")
    refuse(monkeypatch, name)
    with pytest.raises(UsageError, match=r"cannot write .*: the disk is full; free some space"):
        write_file(tmp_path / "a", b"new")
    assert tree(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "writing there is not permitted"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EFBIG, "a file became larger than is permitted"),
    ],
)
def test_what_the_disk_refuses_is_one_sentence(tmp_path, error, sentence):
    with pytest.raises(UsageError, match=f"cannot write '.*x': {sentence}"), disk_errors(tmp_path / "x"):
        raise OSError(error, "")


def test_other_errors_are_told_in_the_system_s_words(tmp_path):
    with pytest.raises(UsageError, match="No such thing; choose another folder"), disk_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such thing")


@pytest.mark.parametrize("below", ["file/x", "file/x/y"])
def test_a_file_in_the_way_is_one_sentence(tmp_path, below):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(UsageError, match="a part of the path is a file; choose another folder"):
        write_file(tmp_path / below, b"")
    with (
        pytest.raises(UsageError, match="a part of the path is a file; choose another folder"),
        staged_folder(tmp_path / below),
    ):
        pass
    assert tree(tmp_path) == {"file": b"mine"}


def fill(path, content=b"new", *, force=False, fails=False):
    with staged_folder(path, force=force) as aside:
        (aside / "one").write_bytes(content)
        assert tree(path).get("one") != content
        if fails:
            raise KeyError
        (aside / "two").write_bytes(content)


def test_a_staged_folder_appears_at_the_end(tmp_path):
    fill(tmp_path / "a" / "out")
    assert tree(tmp_path) == {"a/out/one": b"new", "a/out/two": b"new"}


@pytest.mark.parametrize("force", [False, True])
def test_a_staged_folder_that_fails_leaves_no_trace(tmp_path, force):
    if force:
        fill(tmp_path / "out", b"old")
    before = tree(tmp_path)
    with pytest.raises(KeyError):
        fill(tmp_path / "out", fails=True, force=force)
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if force else [])


def test_force_swaps_and_deletes_the_old(tmp_path):
    fill(tmp_path / "out", b"old")
    fill(tmp_path / "out", b"new", force=True)
    assert tree(tmp_path) == {"out/one": b"new", "out/two": b"new"}


def test_an_occupied_folder_is_refused_before_any_work(tmp_path):
    fill(tmp_path / "out", b"old")
    with pytest.raises(UsageError, match="exists and is not empty; choose another --out, continue it with"):
        fill(tmp_path / "out")
    assert tree(tmp_path) == {"out/one": b"old", "out/two": b"old"}


def test_a_swap_that_fails_halfway_keeps_the_old(tmp_path, monkeypatch):
    fill(tmp_path / "out", b"old")
    refuse(monkeypatch, "replace", after=1)
    with pytest.raises(UsageError, match="the disk is full"):
        fill(tmp_path / "out", force=True)
    assert tree(tmp_path / "out") == {"one": b"old", "two": b"old"}


def test_staged_files_are_durable_before_the_folder_appears(tmp_path, monkeypatch):
    synced = set()
    real, replace = os.fsync, os.replace

    def fsync(handle):
        synced.add(os.fstat(handle).st_ino)
        real(handle)

    def moved(source, target):
        missing = [path.name for path in source.rglob("*") if path.stat().st_ino not in synced]
        assert missing == []
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", moved)
    fill(tmp_path / "out")


def test_check_free(tmp_path):
    check_free(tmp_path / "missing", force=False)
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty", force=False)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is not empty"):
        check_free(tmp_path, force=False)
    with pytest.raises(UsageError, match="is a file; choose another --out"):
        check_free(tmp_path / "file", force=True)


def test_json_is_readable_and_has_no_nan():
    assert to_json({"a": "ä"}) == '{\n  "a": "ä"\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is no valid JSON"),
        (b"\xff", "is no valid JSON"),
        (b"[" * 200_000, "is no valid JSON"),
        (b"9" * 5000, "is no valid JSON"),
        (b" " * 101, "has 101 bytes, more than the 100 allowed"),
    ],
    ids=["cut", "no text", "too deep", "too long a number", "too large"],
)
def test_json_that_cannot_be_read_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        read_json(path, most=100 if len(content) == 101 else 2**20)


def test_json_that_is_missing_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"has no x\.json; it is no complete artifact or run"):
        read_json(tmp_path / "x.json")


def test_json_with_half_a_letter_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"name": "\\ud800"}', "utf-8")
    with pytest.raises(UsageError, match="is no valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_pipe_is_no_json_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UsageError, match="cannot be read, since it is no file"):
        read_json(tmp_path / "x.json")
