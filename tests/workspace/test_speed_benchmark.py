"""What the benchmark of speed says of a goal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed.py"
GOAL = {
    "name": "iris",
    "method": "dm",
    "settings": {"model": "mlp,width=4"},
    "modality": "tensor",
    "data": "iris",
    "every": 2,
    "steps": 3,
}


def reached(accuracy):
    work = json.dumps({"goal": {**GOAL, "accuracy": accuracy}})
    done = subprocess.run(
        [sys.executable, SCRIPT, "--one", work], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_goal_ends_at_the_first_look_that_meets_it():
    found = reached(1.0)
    assert found["steps"] == 2
    assert found["accuracy"] >= 1.0


@pytest.mark.slow
def test_a_goal_that_is_not_met_is_given_up_after_its_last_step():
    found = reached(101.0)
    assert found["steps"] == 3
    assert found["accuracy"] <= 100.0
    assert 0 < found["cpu"]
