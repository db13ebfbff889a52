"""Several runs from different starts, of which the best on held-out data is kept."""

from __future__ import annotations

import json

import pytest
from attar.api import distill, task
from attar.artifact import load
from attar.cost import Cost
from attar.errors import UsageError
from attar.experts import Experts
from attar.owned import LIST
from attar.recipe import DataRecipe, Recipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.runner import Stopped
from attar.runs import RunSettings, distill_recipe

SETTINGS = {"steps": 4, "model": "linear"}


@pytest.fixture(scope="module")
def digits():
    return task("tensor", data="digits", validation=0.2)


@pytest.fixture(scope="module")
def best(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("restarts") / "run"
    return distill(digits, method="dm", ipc=1, seed=3, restarts=3, out=out, **SETTINGS), out


def test_the_best_on_held_out_data_is_kept(digits, best, monkeypatch):
    artifact, _ = best
    scores = artifact.manifest.method.restarts
    assert len(set(scores)) == 3
    assert artifact.manifest.seed == 3
    alone = distill(digits, method="dm", ipc=1, seed=3, **SETTINGS)
    first_is_best = scores[0] == max(scores)
    assert (alone.manifest.sha256 == artifact.manifest.sha256) is first_is_best

    real = type(digits).epoch

    def guarded(self, split, *rest):
        if split == "test":
            raise AssertionError("the test split was read")
        return real(self, split, *rest)

    # With the test split out of reach, the scores are the same.
    monkeypatch.setattr(type(digits), "epoch", guarded)
    again = distill(digits, method="dm", ipc=1, seed=3, restarts=3, **SETTINGS)
    assert again.manifest.method.restarts == scores
    assert again.manifest.sha256 == artifact.manifest.sha256


def test_the_folder_is_that_of_one_run_and_the_cost_that_of_all(digits, best):
    artifact, out = best
    assert {path.name for path in out.iterdir()} == {"recipe.toml", "log.jsonl", "artifact", LIST}
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    assert load(out).manifest == artifact.manifest
    assert "restarts = 3" in (out / "recipe.toml").read_text()
    alone = distill(digits, method="dm", ipc=1, seed=3, **SETTINGS)
    # The networks that judge are most of it.
    assert artifact.manifest.cost.cpu > 3 * alone.manifest.cost.cpu


def test_stopped_runs_resume_to_the_same(digits, best, tmp_path):
    registry = Registry()
    recipe = Recipe(
        data=DataRecipe(modality="tensor", name=digits.name, options=dict(digits.options)),
        size=SizeRecipe(ipc=1),
        objective={**SETTINGS, "restarts": 3},
    )
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"seed": 3})})
    seen = []
    # In the second of the three runs.
    settings = RunSettings(out=tmp_path / "run", callbacks=[seen.append], stop=lambda: len(seen) >= 6)
    with pytest.raises(Stopped):
        distill_recipe(digits, resolve(recipe, registry), settings, registry)
    done = json.loads((tmp_path / "run" / "restarts" / "0" / "validation.json").read_text())
    assert round(done["accuracy"], 4) == best[0].manifest.method.restarts[0]
    resumed = distill(
        digits, method="dm", ipc=1, seed=3, restarts=3, out=tmp_path / "run", resume=True, **SETTINGS
    )
    assert resumed.manifest.sha256 == best[0].manifest.sha256
    assert resumed.manifest.method == best[0].manifest.method
    assert resumed.manifest.cost.cpu > done["cost"]["cpu"]


def test_without_held_out_data_nothing_is_begun(tmp_path):
    data = task("tensor", data="digits", validation=0)
    with pytest.raises(UsageError, match=r"chooses on held-out data, and 'digits' has none"):
        distill(data, ipc=1, restarts=2, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_frames_follow_a_single_run(digits, tmp_path):
    with pytest.raises(UsageError, match="frames and trackers follow a single run"):
        distill(digits, ipc=1, restarts=2, out=tmp_path / "run", frames=2, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_what_all_runs_share_is_counted_once(digits, monkeypatch):
    dear = 1e6
    real = Experts.prepare

    def expensive(self, *given):
        return real(self, *given).plus(Cost(cpu=dear))

    monkeypatch.setattr(Experts, "prepare", expensive)
    few = {"count": 1, "epochs": 3, "inner": 2}
    artifact = distill(digits, method="mtt", ipc=1, restarts=3, **few, **SETTINGS)
    assert dear <= artifact.manifest.cost.cpu < 2 * dear
