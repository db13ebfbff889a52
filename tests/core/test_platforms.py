"""The branches for macOS, Windows and other C libraries, taken on whatever runs the tests."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import filelock
import numpy as np
import psutil
import pytest
import torch
from attar import allocator, cost, files, jobs, runs
from attar.cache import Store
from attar.cli import main as cli_main
from attar.cli import telling
from attar.devices import default_device, find_device, has_float64
from attar.errors import UsageError
from attar.files import disk_errors, move, portable_names, sync_folder, write_file
from attar.folders import staged_folder
from attar.owned import LIST
from attar.rng import derive, scoped
from attar.tensor import ArrayItems, Standardize
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def windows(monkeypatch):
    """Files behave as on Windows; collects the pauses."""
    pauses = []
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


def held(monkeypatch, times):
    """Let another program have a file open for some tries; collects all tries."""
    real, tries = os.replace, []

    def replace(source, target):
        tries.append(target)
        if len(tries) <= times:
            raise PermissionError(errno.EACCES, "Access is denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return tries


def test_windows_waits_for_a_program_that_lets_go(tmp_path, windows, monkeypatch):
    tries = held(monkeypatch, 3)
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (len(tries), windows) == (4, [0.05, 0.1, 0.2])


def test_windows_gives_up_in_one_sentence_and_keeps_the_old(tmp_path, windows, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    held(monkeypatch, 99)
    with pytest.raises(
        UsageError, match=r"cannot write '.*a': another program has it open.*close the program"
    ):
        write_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
    assert sum(windows) == pytest.approx(1.55)


def test_a_folder_that_windows_holds_open_stays_as_it_was(tmp_path, windows, monkeypatch):
    with staged_folder(tmp_path / "out") as aside:
        (aside / "old").write_bytes(b"")
    held(monkeypatch, 99)
    with (
        pytest.raises(UsageError, match="another program has it open"),
        staged_folder(tmp_path / "out", force=True) as aside,
    ):
        (aside / "new").write_bytes(b"")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {
        "out",
        os.path.join("out", LIST),
        os.path.join("out", "old"),
    }


def test_elsewhere_a_refusal_is_final(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WINDOWS", False)
    monkeypatch.setattr("time.sleep", None)
    tries = held(monkeypatch, 1)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(PermissionError):
        move(tmp_path / "a", tmp_path / "b")
    assert len(tries) == 1


def test_windows_waits_for_nothing_but_permission(tmp_path, windows):
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "missing", tmp_path / "b")
    assert windows == []


def test_windows_syncs_no_folder(tmp_path, windows, monkeypatch):
    monkeypatch.setattr(os, "open", None)
    sync_folder(tmp_path)


def test_a_path_that_is_too_long_for_windows_is_told(tmp_path, windows):
    path = tmp_path / ("long" * 60)
    with (
        pytest.raises(UsageError, match="longer than Windows allows; choose a folder nearer"),
        disk_errors(path),
    ):
        raise FileNotFoundError(errno.ENOENT, "No such file")
    with pytest.raises(UsageError, match="No such file; choose another folder"), disk_errors(Path("short")):
        raise FileNotFoundError(errno.ENOENT, "No such file")


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_that_syncs_no_folders_is_good_enough(tmp_path, monkeypatch, error):
    monkeypatch.setattr(files, "WINDOWS", False)

    def fsync(handle):
        raise OSError(error, "")

    monkeypatch.setattr(os, "fsync", fsync)
    sync_folder(tmp_path)


def test_a_disk_that_is_full_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WINDOWS", False)

    def fsync(handle):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="28"):
        sync_folder(tmp_path)


NAMES = [
    ("cat", "cat"),
    ("a/b", "a_b"),
    ('<>:"/\\|?*', "_________"),
    ("CON", "_CON"),
    ("nul.txt", "_nul.txt"),
    ("COM¹", "_COM¹"),
    ("console", "console"),
    ("", "_"),
    ("..", "_"),
    (".hidden", "_hidden"),
    ("--force", "_-force"),
    ("end. ", "end"),
    (" mid dle ", "mid dle"),
    ("tab\there\n", "tab_here_"),
    ("🔵 'quoted'", "🔵 'quoted'"),
    ("e\N{COMBINING ACUTE ACCENT}", "é"),
    ("\udcff", "_"),
    ("é" * 80, "é" * 50),
]


@pytest.mark.parametrize(("text", "name"), NAMES, ids=[ascii(text)[:20] for text, _ in NAMES])
def test_names_that_every_platform_takes(text, name):
    assert portable_names([text]) == (name,)


def test_names_differ_where_case_does_not_count():
    assert portable_names(["Cat", "cat", "CAT", "a?", "a*"]) == ("Cat", "cat-2", "CAT-3", "a_", "a_-2")


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_names_are_taken_apart_and_can_be_written(texts):
    names = portable_names(texts)
    assert len({name.casefold() for name in names}) == len(texts)
    for name in names:
        assert 0 < len(name.encode()) < 130
        assert name == name.strip(" ").rstrip(".")
        assert not set(name) & set('<>:"/\\|?*\0')


def test_windows_says_its_peak_memory_by_another_name(monkeypatch):
    monkeypatch.setattr(cost, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "resource", None)
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=12345))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    assert cost.peak_memory() == 12345


def test_linux_tells_the_peak_of_this_process_and_not_of_the_one_that_started_it(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmPeak:\t99 kB\nVmHWM:\t  12 kB\n")
    monkeypatch.setattr(cost, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(cost, "sys", SimpleNamespace(platform="linux"))
    assert cost.peak_memory() == 12 * 1024


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_linux_counts_memory_in_kibibytes_and_macos_in_bytes(monkeypatch, tmp_path, platform, unit):
    monkeypatch.setattr(cost, "_STATUS", tmp_path / "missing")
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=7))
    monkeypatch.setitem(sys.modules, "resource", usage)
    monkeypatch.setattr(cost, "sys", SimpleNamespace(platform=platform))
    assert cost.peak_memory() == 7 * unit


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_only_glibc_is_told_to_keep_memory(monkeypatch, platform):
    monkeypatch.setattr(allocator, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert not allocator.tunable()
    assert not allocator.keep_memory()


def test_a_c_library_without_the_function_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.tunable()
    assert not allocator.keep_memory()


@pytest.mark.parametrize(("answers", "told"), [((1, 1), True), ((0, 1), False), ((1, 0), False)])
def test_glibc_is_told_twice(monkeypatch, answers, told):
    calls, left = [], list(answers)

    def mallopt(what, value):
        calls.append((what, value))
        return left.pop(0)

    monkeypatch.setattr(allocator, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert allocator.tunable()
    assert calls == []
    assert allocator.keep_memory() is told
    assert calls == [(-4, 0), (-1, 2**31 - 1)]


@pytest.mark.parametrize(
    ("maps", "variable", "name"),
    [
        ("7f00 r-xp /usr/lib/libc.so.6", "", None),
        ("7f00 r-xp /usr/lib/libjemalloc.so.2", "", "jemalloc"),
        ("7f00 r-xp /usr/lib/libtcmalloc_minimal.so.4", "", "tcmalloc"),
        (None, "/opt/lib/libmimalloc.dylib", "mimalloc"),
        (None, "", None),
    ],
)
def test_an_allocator_that_was_preloaded_is_named(monkeypatch, maps, variable, name):
    def read_text(self, *rest, **named):
        if maps is None:
            raise FileNotFoundError
        return maps

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setenv("DYLD_INSERT_LIBRARIES", variable)
    assert allocator.preloaded_allocator() == name


@pytest.mark.parametrize(
    ("cuda", "mps", "name"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_device_that_is_taken(monkeypatch, cuda, mps, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert default_device() == name


def test_only_the_gpu_of_apple_has_no_float64():
    assert [has_float64(torch.device(name)) for name in ("cpu", "cuda:1", "mps")] == [True, True, False]


def test_a_default_of_float64_rules_out_no_device(monkeypatch):
    asked = []
    real = torch.zeros

    def zeros(*shape, **named):
        asked.append(named)
        return real(*shape, **named)

    monkeypatch.setattr(torch, "zeros", zeros)
    assert find_device("cpu") == torch.device("cpu")
    assert asked == [{"dtype": torch.float32}]


def test_statistics_are_gathered_in_float64_on_the_cpu_and_models_take_float32():
    values = np.random.default_rng(0).normal(1e6, 1, (64, 3)).astype(np.float32)
    fitted = Standardize.fit(ArrayItems(values, np.zeros(64, dtype=np.int64)))
    assert fitted.mean == pytest.approx(values.astype(np.float64).mean(0), rel=1e-12)
    assert fitted.std == pytest.approx(values.astype(np.float64).std(0), rel=1e-6)
    assert fitted.encode(torch.from_numpy(values).double()).dtype == torch.float32


@pytest.fixture
def apple(monkeypatch):
    """The generator of Apple's GPU, as far as PyTorch says."""
    state = {"now": torch.tensor([7])}
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state["now"])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new: state.update(now=new))
    return state


def test_the_generator_of_apple_s_gpu_is_left_as_it_was(apple):
    def fail():
        with scoped(derive(0, "test")):
            apple["now"] = torch.tensor([8])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert apple["now"].item() == 7


@pytest.mark.parametrize(("platform", "workers"), [("linux", 128), ("win32", 61)])
def test_windows_waits_for_at_most_61_processes(monkeypatch, platform, workers):
    monkeypatch.setattr("joblib.cpu_count", lambda: 128)
    monkeypatch.setattr(jobs.processes, "sys", SimpleNamespace(platform=platform))
    assert jobs.default_workers() == workers


@pytest.mark.slow
def test_workers_are_started_without_fork(monkeypatch):
    # Windows has none, and threads of PyTorch do not survive it elsewhere.
    monkeypatch.delattr(os, "fork", raising=False)
    found = sorted(jobs.results(abs, [-1, -2], 2))
    assert found == [(0, 1), (1, 2)]


def signals(monkeypatch, *names):
    """Let a platform have these signals alone; returns what is set, by name."""
    handlers = dict.fromkeys(names, signal.SIG_DFL)
    numbers = {name: getattr(signal, name, name) for name in names}

    def change(kind, handler):
        name = next(name for name, number in numbers.items() if number == kind)
        before, handlers[name] = handlers[name], handler
        return before

    kinds = SimpleNamespace(
        SIG_IGN=signal.SIG_IGN,
        SIG_DFL=signal.SIG_DFL,
        Signals=signal.Signals,
        signal=change,
        getsignal=lambda kind: handlers[next(name for name, number in numbers.items() if number == kind)],
        **numbers,
    )
    monkeypatch.setattr(runs, "signal", kinds)
    return handlers


@pytest.mark.parametrize(
    "names",
    [("SIGINT", "SIGTERM"), ("SIGINT", "SIGTERM", "SIGBREAK"), ("SIGINT", "SIGTERM", "SIGHUP")],
    ids=" ".join,
)
def test_every_signal_that_a_platform_has_ends_a_run(monkeypatch, names):
    handlers = signals(monkeypatch, *names)
    with runs.interruptible() as stop:
        for handler in handlers.values():
            assert callable(handler)
        assert not stop()
        handlers[names[-1]](0, None)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            handlers["SIGINT"](0, None)
    assert set(handlers.values()) == {signal.SIG_DFL}


def test_what_nohup_told_to_ignore_stays_ignored(monkeypatch):
    handlers = signals(monkeypatch, "SIGINT", "SIGTERM", "SIGHUP")
    handlers["SIGHUP"] = signal.SIG_IGN
    with runs.interruptible():
        assert handlers["SIGHUP"] == signal.SIG_IGN
        assert callable(handlers["SIGTERM"])
    assert handlers["SIGHUP"] == signal.SIG_IGN


def test_a_handler_that_python_did_not_set_becomes_the_default(monkeypatch):
    handlers = signals(monkeypatch, "SIGINT", "SIGTERM")
    handlers["SIGTERM"] = None
    with runs.interruptible():
        pass
    assert handlers["SIGTERM"] == signal.SIG_DFL


def test_a_cache_on_a_disk_without_locks_is_one_sentence(tmp_path, monkeypatch):
    def acquire(self, *rest, **named):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(UsageError, match="has no file locks; set ATTAR_CACHE to a folder on a local disk"):
        Store(tmp_path / "cache").compute({"a": 1}, lambda: 1)


def test_a_cache_that_cannot_be_locked_is_one_sentence(tmp_path, monkeypatch):
    def acquire(self, *rest, **named):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "WINDOWS", False)
    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(UsageError, match=r"cannot write '.*cache': writing there is not permitted"):
        Store(tmp_path / "cache").compute({"a": 1}, lambda: 1)


def test_a_lock_is_given_back_when_the_work_fails(tmp_path):
    store = Store(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyError):
            store.compute({"a": 1}, {}.popitem)


@pytest.mark.parametrize(
    ("platform", "error", "code"),
    [
        ("linux", BrokenPipeError(errno.EPIPE, ""), 0),
        ("win32", OSError(errno.EINVAL, "Invalid argument"), 0),
        ("win32", OSError(errno.EINVAL, "Invalid argument", "a?b"), 2),
        ("linux", OSError(errno.EINVAL, "Invalid argument"), 2),
    ],
)
def test_a_reader_that_goes_away_is_no_mistake_on_windows_either(cli_module, platform, error, code):
    cli_module.sys.platform = platform
    assert cli_module._refused(error) == code
    assert (cli_module.sys.stderr.getvalue() == "") is (code == 0)


@pytest.fixture
def cli_module(monkeypatch):
    """The module of the command line, on a platform to be chosen, with nothing redirected."""
    module = sys.modules[cli_main.__module__]
    stdout = SimpleNamespace(fileno=lambda: 1)
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="", stdout=stdout, stderr=io.StringIO()))
    monkeypatch.setattr(telling, "sys", module.sys)
    redirected = SimpleNamespace(devnull="", O_WRONLY=0, open=lambda *rest: 9, dup2=lambda *handles: None)
    monkeypatch.setattr(module, "os", redirected)
    return module


def test_a_terminal_that_went_away_is_told_nothing(cli_module):
    def write(text):
        raise OSError(errno.EIO, "Input/output error")

    cli_module.sys.stderr = SimpleNamespace(write=write)
    telling.tell("something")


def test_what_apple_s_gpu_cannot_do_is_done_on_the_cpu(monkeypatch):
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    # Noted, so that it is removed again.
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "")
    del os.environ["PYTORCH_ENABLE_MPS_FALLBACK"]
    with pytest.raises(SystemExit):
        cli_main(["--version"])
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
