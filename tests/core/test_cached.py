"""Looking at the cache folder and clearing it."""

from __future__ import annotations

import os
import time

import pytest
from attar.cache import BEGUN, Store, cache_root
from attar.cached import SECTIONS, cache_info, clear_cache
from attar.errors import UsageError
from filelock import FileLock

HASH = "0123456789abcdef" * 2


@pytest.fixture
def filled():
    store = Store(cache_root() / "evaluations")
    for number in range(3):
        store.compute({"number": number}, lambda: {"value": 1})
    (cache_root() / "decoded").mkdir(parents=True)
    (cache_root() / "decoded" / f"{HASH}.npy").write_bytes(bytes(1000))
    (cache_root() / "data").mkdir()
    (cache_root() / "data" / "downloaded").write_text("precious")
    return store


def counts():
    return {section.name: section.files for section in cache_info().sections}


def test_an_empty_cache_holds_nothing():
    assert counts() == dict.fromkeys(SECTIONS, 0)
    assert clear_cache().files == 0


def test_info_counts_files_and_bytes(filled):
    assert counts() == {"evaluations": 3, "selections": 0, "experts": 0, "decoded": 1, "hub": 0, "plugins": 0}
    assert next(section.bytes for section in cache_info().sections if section.name == "decoded") == 1000
    assert cache_info().folder == str(cache_root())


def test_clearing_leaves_what_was_downloaded(filled):
    cleared = clear_cache()
    assert (cleared.files, cleared.kept) == (4, 0)
    assert counts() == dict.fromkeys(SECTIONS, 0)
    assert (cache_root() / "data" / "downloaded").read_text() == "precious"
    assert list(cache_root().rglob("*.lock")) == []


@pytest.mark.parametrize(
    "name",
    [
        "hub/my--thesis.txt",
        "hub/notes--2024/t.txt",
        "decoded/IMG_2024010112000001.jpg",
        "plugins/invoice-20240101-1234567890123456.pdf",
        f"experts/{HASH}.txt",
    ],
)
def test_clearing_leaves_files_of_the_user_s(name):
    path = cache_root() / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert clear_cache().files == 0
    assert path.read_text() == "mine"


def test_one_section_can_be_cleared(filled):
    assert clear_cache("decoded").bytes == 1000
    assert counts() == {"evaluations": 3, "selections": 0, "experts": 0, "decoded": 0, "hub": 0, "plugins": 0}


def test_an_unknown_section_is_refused(filled):
    with pytest.raises(UsageError, match="unknown section of the cache 'decode': did you mean 'decoded'"):
        clear_cache("decode")


def test_what_is_being_made_stays(filled):
    path = filled.path({"number": 1})
    with FileLock(f"{path}.lock"):
        cleared = clear_cache("evaluations")
    assert (cleared.files, cleared.kept) == (2, 1)
    assert path.is_file()


def test_what_is_new_can_stay(filled):
    path = filled.path({"number": 1})
    long_ago = time.time() - 10 * 86_400
    os.utime(path, (long_ago, long_ago))
    assert clear_cache(older_than_days=5).files == 1
    assert not path.exists()


def test_what_is_cleared_is_made_again(filled):
    clear_cache()
    assert filled.compute({"number": 1}, lambda: {"value": 2}) == {"value": 2}


@pytest.fixture
def begun():
    folder = cache_root() / "experts" / f"{HASH}-000{BEGUN}"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(bytes(500))
    return folder


def test_what_was_begun_and_stopped_is_cleared(begun):
    assert next(section for section in cache_info().sections if section.name == "experts").bytes == 500
    cleared = clear_cache("experts")
    assert (cleared.files, cleared.bytes, begun.exists()) == (1, 500, False)


def test_what_is_going_on_stays(begun):
    with FileLock(str(begun.with_name(f"{HASH}-000.safetensors.lock"))):
        assert clear_cache("experts").kept == 1
    assert begun.is_dir()


def test_what_plugins_keep_and_what_was_fetched_is_cleared_too(filled):
    for place in (f"plugins/text-{HASH}/000000/vectors.npy", f"hub/nobody--set-{HASH}/newest/manifest.json"):
        path = cache_root() / place
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(10))
    (cache_root() / "plugins" / f"text-{HASH}.lock").touch()
    found = counts()
    assert (found["plugins"], found["hub"]) == (1, 1)
    with FileLock(str(cache_root() / "plugins" / f"text-{HASH}.lock")):
        assert clear_cache("plugins").kept == 1
    assert (cache_root() / "plugins" / f"text-{HASH}" / "000000" / "vectors.npy").is_file()
    clear_cache()
    assert counts() == dict.fromkeys(SECTIONS, 0)
    assert (cache_root() / "data" / "downloaded").read_text() == "precious"


def test_a_user_s_files_in_a_folder_of_the_same_name_stay(filled, tmp_path):
    """The cache may be anywhere, such as in a home folder with an ``experts`` or ``plugins`` of its own."""
    mine = [
        cache_root() / name for name in ("plugins/vim", "experts/cv.pdf", "hub/mine", "decoded/.git/HEAD")
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("dear")
    (cache_root() / "plugins" / HASH).symlink_to(tmp_path)
    clear_cache()
    assert [path.read_text() for path in mine] == ["dear"] * 4
    assert (cache_root() / "plugins" / HASH).is_symlink()
