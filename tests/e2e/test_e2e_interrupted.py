from __future__ import annotations

import json
import random
import signal
import time
from itertools import pairwise

import psutil
import pytest

DATA = "artifact/data.safetensors"
STEPS = 600
OPTIONS = (
    *("distill", "tensor", "--data", "digits", "--ipc", 1, "--steps", STEPS, "--threads", 1),
    *("--model", "mlp,width=32", "--set", "run.checkpoint_every=50"),
)


def logged(run):
    """Return the steps in the log, without a line that is being written."""
    if not (run / "log.jsonl").is_file():
        return []
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def wait_for(run, step, process):
    limit = time.monotonic() + 120
    while not (steps := logged(run)) or steps[-1] < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.fixture
def whole(cli, tmp_path):
    """The values that the run ends at when nothing interrupts it."""
    assert cli(*OPTIONS, "--out", "whole").code == 0
    return (tmp_path / "whole" / DATA).read_bytes()


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bytes(cli, process, whole, tmp_path):
    run = tmp_path / "run"
    started = process(*OPTIONS, "--out", "run")
    wait_for(run, random.Random(7).randrange(60, STEPS // 2), started)
    started.send_signal(signal.SIGKILL)
    assert started.wait(60) == -signal.SIGKILL
    assert not (run / "artifact").exists()
    assert cli("evaluate", "run").code == 2
    assert cli(*OPTIONS, "--out", "run", "--resume").code == 0
    assert (run / DATA).read_bytes() == whole
    assert all(one < other for one, other in pairwise(logged(run)))
    assert logged(run)[-1] == STEPS


@pytest.mark.slow
def test_one_ctrl_c_saves_and_the_run_is_resumed_to_the_same_bytes(cli, process, whole, tmp_path):
    run = tmp_path / "run"
    started = process(*OPTIONS, "--out", "run", "--json")
    wait_for(run, random.Random(8).randrange(60, STEPS // 2), started)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, "")
    assert "--resume" in err
    assert "Traceback" not in err
    stopped = int(err.split("stopped after ")[1].split()[0])
    assert logged(run)[-1] <= stopped
    assert (run / "checkpoint" / f"step-{stopped:09d}").is_dir()
    assert cli(*OPTIONS, "--out", "run", "--resume").code == 0
    assert (run / DATA).read_bytes() == whole
    assert all(one < other for one, other in pairwise(logged(run)))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(cli, tmp_path):
    few = ("--data", "digits", "--ipc", 1, "--steps", 5, "--model", "convnet,width=8,depth=2")
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        assert cli("distill", "tensor", *few, "--seed", seed, "--out", name).code == 0
    one, two, three = ((tmp_path / name / DATA).read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert one != three


WORKING = {
    "evaluate": (
        *("evaluate", "made", "--baselines", "random", "--set", "protocol.epochs=30000"),
        "the same command goes on from the networks that are finished",
    ),
    "compare": (
        *("compare", "tensor", "--data", "digits", "--methods", "dm", "--ipc", 1, "--seeds", 2),
        *("--set", "dm.steps=1000000", "--baselines", "none", "--out", "all"),
        "the same command goes on from what is finished",
    ),
    "experts": (
        *("experts", "tensor", "--data", "digits", "--method", "mtt", "--set", "count=4"),
        *("--set", "epochs=100000", "--out", "experts"),
        "continue with the same command",
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the platform ends processes otherwise")
@pytest.mark.parametrize("command", WORKING)
def test_what_ends_a_command_ends_its_workers(cli, process, command):
    assert (
        cli("distill", "tensor", "--data", "digits", "--method", "random", "--ipc", 1, "--out", "made").code
        == 0
    )
    *arguments, sentence = WORKING[command]
    started = process(*arguments, "--workers", 2)
    parent = psutil.Process(started.pid)
    limit = time.monotonic() + 240
    # Workers that have taken that much time are at work; starting takes less.
    kids = []
    while sum(each.cpu_times().user > 6 for each in kids) < 2:
        kids = parent.children(recursive=True)
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < limit
        time.sleep(0.2)
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert sentence in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(kids, timeout=10)
    assert not alive
