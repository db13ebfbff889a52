"""What a run is expected to take, from its first steps."""

from __future__ import annotations

import pytest
from attar import api
from attar.devices import find_device
from attar.errors import DivergenceError, UsageError
from attar.experts import experts_folder
from attar.recipe import Recipe, resolve
from attar.registry import Registry
from attar.run_folder import RunSettings
from attar.settings import parse
from attar.trials import estimate

REGISTRY = Registry()


@pytest.fixture(scope="module")
def iris():
    return api.task("tensor", data="iris")


def tried(task, method="dm", experts=None, **settings):
    recipe = {
        "data": {"modality": "tensor", "name": "iris"},
        "size": {"ipc": 1},
        "method": method,
        "objective": settings if method == "herding" else {"model": "mlp,width=4"} | settings,
    }
    resolved = resolve(parse(Recipe, recipe, ""), REGISTRY)
    return estimate(task, resolved, RunSettings(device=find_device("cpu"), experts=experts), REGISTRY)


def test_steps_are_tried_and_the_others_counted(iris):
    short, long = tried(iris, steps=5), tried(iris, steps=1_000_000)
    assert (short.tried, long.tried) == (5, 12)
    # No figure of time is tested but that a million steps take longer than five.
    assert long.wall_seconds > 100 * short.wall_seconds > 0
    assert long.peak_bytes >= short.peak_bytes > 2**20


def test_runs_of_one_step_and_several_runs_are_estimated(iris):
    one = tried(iris, steps=1)
    assert one.tried == 1
    assert one.wall_seconds > 0
    assert (
        tried(iris, steps=100_000, restarts=1000).wall_seconds > 20 * tried(iris, steps=100_000).wall_seconds
    )


def test_figures_have_two_digits(iris):
    found = tried(iris, steps=123_457)
    assert float(f"{found.wall_seconds:.1e}") == found.wall_seconds


def test_nothing_is_left_behind(iris):
    tried(iris, steps=3)
    assert not experts_folder().exists()


def test_what_is_not_learned_has_no_estimate(iris):
    assert tried(iris, "herding") is None


def test_experts_are_not_made_for_a_trial(iris, tmp_path):
    settings = {"count": 1, "epochs": 2, "span": 1, "latest": 1, "inner": 2, "steps": 3}
    assert tried(iris, "mtt", **settings) is None
    assert not experts_folder().exists()
    with pytest.raises(UsageError, match="holds no experts"):
        tried(iris, "mtt", experts=tmp_path, **settings)
    task = api.task("tensor", data="iris")
    api.distill(task, method="mtt", ipc=1, model="mlp,width=4", **settings)
    assert tried(iris, "mtt", **settings).tried == 3


def test_a_trial_finds_what_the_run_would(iris):
    with pytest.raises(DivergenceError, match="lower the step size"):
        tried(iris, steps=12, lr=1e38, model="mlp,width=64")
