"""Work in processes that die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from attar.errors import UsageError
from attar.jobs import TRIES, persistently, processes, results


def once(folder, name):
    """Return whether something is done for the first time, by whatever process."""
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def work_on(item):
    kind, folder, name = item
    with open(Path(folder) / f"{name}.begun", "a") as file:
        file.write("x")
    if kind == "dies" or (kind == "dies once" and once(folder, name)):
        # What the kernel does to a process when memory runs out.
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "leaves once" and once(folder, name):
        os._exit(1)
    if kind == "refused":
        raise UsageError(f"{name} does not fit")
    if kind == "full" or (kind == "full once" and once(folder, name)):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    if kind == "bug":
        raise RuntimeError("index out of range")
    return name


def outcomes(tmp_path, kinds, workers):
    items = [(kind, str(tmp_path), f"n{place}") for place, kind in enumerate(kinds)]
    return dict(persistently(work_on, items, workers))


def begun(tmp_path, name):
    return len((tmp_path / f"{name}.begun").read_text())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the platform kills otherwise")
@pytest.mark.parametrize("kind", ["dies once", "leaves once"])
def test_what_a_killed_worker_was_doing_is_done_again(tmp_path, kind):
    found = outcomes(tmp_path, ["fine", kind, "fine", "refused"], 2)
    assert [found[place].value for place in range(4)] == ["n0", "n1", "n2", None]
    assert found[3].problem == "n3 does not fit"
    assert begun(tmp_path, "n1") == 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the platform kills otherwise")
def test_what_kills_its_worker_each_time_is_given_up_and_nothing_else(tmp_path):
    found = outcomes(tmp_path, ["fine", "dies", "fine"], 2)
    assert (found[0].value, found[2].value) == ("n0", "n2")
    assert found[1].problem.startswith("its process was killed 3 times, most often for lack of memory")
    assert begun(tmp_path, "n1") == TRIES == 3


def test_a_refusal_is_not_tried_again(tmp_path):
    assert outcomes(tmp_path, ["refused"], 1)[0].problem == "n0 does not fit"
    assert begun(tmp_path, "n0") == 1


def test_refused_memory_is_tried_again(tmp_path):
    found = outcomes(tmp_path, ["full once", "full"], 1)
    assert found[0].value == "n0"
    assert found[1].problem == "there was not enough memory for it; lower --workers"
    assert begun(tmp_path, "n1") == TRIES


def test_a_bug_is_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="index out of range"):
        outcomes(tmp_path, ["bug"], 1)


def test_nothing_to_do_is_done():
    assert list(persistently(work_on, [], 2)) == []


def test_workers_that_die_at_once_are_not_started_for_ever(monkeypatch):
    started = []

    def broken(function, items, workers):
        started.append(workers)
        raise processes._KilledError

    monkeypatch.setattr(processes, "_side_by_side", broken)
    with pytest.raises(
        UsageError, match="worker processes are killed as soon as they start; lower --workers"
    ):
        list(persistently(work_on, [1, 2], 2))
    assert len(started) == TRIES


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the platform kills otherwise")
def test_results_come_although_a_worker_was_killed(tmp_path):
    items = [(kind, str(tmp_path), f"n{place}") for place, kind in enumerate(["fine", "dies once", "fine"])]
    assert sorted(results(work_on, items, 2)) == [(0, "n0"), (1, "n1"), (2, "n2")]


def test_a_refusal_ends_what_wants_all_results(tmp_path):
    items = [(kind, str(tmp_path), f"n{place}") for place, kind in enumerate(["fine", "refused"])]
    with pytest.raises(UsageError, match="n1 does not fit"):
        list(results(work_on, items, 2))
