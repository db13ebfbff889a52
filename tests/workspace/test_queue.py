"""The queue of long runs works in pieces, and leaves what is complete alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
method = "dm"
[data]
modality = "tensor"
name = "iris"
[size]
ipc = 1
[objective]
steps = 3
model = "mlp,width=4"
"""
QUEUE = """
[tiny]
recipe = "tiny.toml"
data = "iris"
seeds = [0, 1]
evaluate = ["--baselines", "none", "--set", "protocol.epochs=1", "--workers", "1"]
"""


def work(folder, minutes):
    command = [sys.executable, ROOT / "benchmarks" / "run_queue.py", folder / "queue.toml"]
    given = ["--root", folder, "--out", folder / "out", "--minutes", str(minutes), "--device", "cpu"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_queue_is_worked_through_once(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "queue.toml").write_text(QUEUE)
    assert "3 steps are left, from 'tiny seed 0': call again" in work(tmp_path, 0)
    told = work(tmp_path, 5)
    assert told.splitlines() == [
        "tiny seed 0: done",
        "tiny seed 1: done",
        "tiny evaluation: done",
        "the queue is complete",
    ]
    assert '"accuracy"' in (tmp_path / "out" / "tiny.json").read_text()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert work(tmp_path, 5) == "the queue is complete\n"
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks" / "queue").glob("*.toml")), ids=lambda path: path.stem
)
def test_every_queue_names_recipes_that_are_there(path):
    for job in tomllib.loads(path.read_text("utf-8")).values():
        assert (ROOT / "recipes" / job["recipe"]).is_file()
        assert job["seeds"] if "continual/" not in job["recipe"] else "evaluate" not in job
