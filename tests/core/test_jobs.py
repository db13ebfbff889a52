from __future__ import annotations

import os
import threading
from functools import partial

import pytest
import torch
from attar.errors import UsageError
from attar.jobs import default_workers, results

PID = partial(eval, "__import__('os').getpid()")
THREADS = partial(eval, "__import__('torch').get_num_threads()")

FOLDER = partial(eval, "__import__('os').getcwd()")
CACHE = partial(eval, "__import__('os').environ.get('ATTAR_CACHE')")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_carry_the_place_of_their_item():
    assert sorted(results(abs, [-3, 2, -1], 2)) == [(0, 3), (1, 2), (2, 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_work_runs_with_one_thread_and_leaves_this_process_as_it_was(two_threads, workers):
    assert [found for _, found in results(THREADS, [{}, {}], workers)] == [1, 1]
    assert torch.get_num_threads() == 2


def test_several_workers_are_other_processes():
    assert os.getpid() not in {found for _, found in results(PID, [{}, {}], 2)}


def test_there_is_at_least_one_worker():
    assert default_workers() >= 1


def test_what_cannot_be_sent_is_named():
    with pytest.raises(UsageError, match=r"cannot be sent to worker processes.*workers=1"):
        list(results(str, [threading.Lock(), threading.Lock()], 2))


@pytest.mark.parametrize("name", ["one", "two"])
def test_workers_that_are_there_follow_to_another_folder(tmp_path, monkeypatch, name):
    # Whoever changes folders between two comparisons, as in a notebook, finds the same workers again.
    place = tmp_path / name
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("ATTAR_CACHE", name)
    assert {found for _, found in results(FOLDER, [{}, {}], 2)} == {os.getcwd()}
    assert {found for _, found in results(CACHE, [{}, {}], 2)} == {name}
    monkeypatch.delenv("ATTAR_CACHE")
    assert {found for _, found in results(CACHE, [{}, {}], 2)} == {None}
