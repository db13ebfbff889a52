from __future__ import annotations

import pytest
from attar.cache import Store, cache_root


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def counting():
    calls = []

    def function():
        calls.append(1)
        return {"value": len(calls)}

    return function, calls


def test_a_value_is_computed_once(store):
    function, calls = counting()
    assert [store.compute({"a": 1}, function) for _ in range(3)] == [{"value": 1}] * 3
    assert len(calls) == 1


def test_keys_are_told_apart_but_not_by_their_order(store):
    store.put({"a": 1, "b": 2}, "x")
    assert store.get({"b": 2, "a": 1}) == "x"
    assert store.get({"a": 1}) is None
    assert store.get({"a": 1, "b": "2"}) is None


def test_there_is_nothing_at_first(store, tmp_path):
    assert store.get({"a": 1}) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff"])
def test_a_damaged_file_counts_as_none(store, content):
    store.put({"a": 1}, "old")
    store.path({"a": 1}).write_bytes(content)
    assert store.get({"a": 1}) is None
    assert store.compute({"a": 1}, lambda: "new") == "new"
    assert store.get({"a": 1}) == "new"


def test_a_computation_that_fails_leaves_nothing(store):
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        store.compute({"a": 1}, fail)
    assert store.compute({"a": 1}, lambda: 3) == 3


def test_the_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("ATTAR_CACHE")
    assert cache_root().name == "attar"
