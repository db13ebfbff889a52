"""The step of a run that held-out data judge best."""

from __future__ import annotations

import json

import attar
import pytest
import torch
from attar.checkpoint import unpack
from attar.contracts import Objective
from attar.errors import UsageError
from attar.files import to_json
from attar.held_out import Validation
from attar.objectives import Fresh
from attar.ranks import Alone
from attar.recipe import DataRecipe, Recipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.rng import derive
from attar.runner import RunOptions, Stopped
from attar.runs import RunSettings, distill_recipe
from attar.training import BatchEpochs, accuracy, fit

from tests.core.test_runner import Saved, Toy, go

SETTINGS = {"steps": 6, "model": "linear"}


class Judge:
    """Gives the scores that it was told to, and keeps the sets that it saw."""

    def __init__(self, *scores):
        self.scores, self.seen = list(scores), []

    def __call__(self, syn):
        self.seen.append(syn.decode().inputs.detach().clone())
        return self.scores[len(self.seen) - 1]


def learning():
    return Objective(loss=Toy(), source=Fresh("linear"), learned={"log_scale": 0.0})


@pytest.fixture(scope="module")
def digits():
    return attar.task("tensor", data="digits", validation=0.2)


def test_the_set_of_the_best_step_is_kept_with_what_was_learned_beside_it(blobs):
    judge = Judge(50.0, 70.0, 60.0)
    found = go(blobs(), learning(), steps=6, validation=Validation(2, judge))
    assert found.validated == ((2, 50.0), (4, 70.0), (6, 60.0))
    short = go(blobs(), learning(), steps=4)
    assert torch.equal(found.syn.decode().inputs, judge.seen[1])
    assert torch.equal(found.syn.decode().inputs, short.syn.decode().inputs)
    assert found.learned == short.learned
    assert not torch.equal(judge.seen[1], judge.seen[2])


def test_the_earliest_of_equals_is_kept_and_the_last_step_is_judged_too(blobs):
    judge = Judge(70.0, 70.0, 70.0)
    found = go(blobs(), learning(), steps=5, validation=Validation(2, judge))
    assert [step for step, _ in found.validated] == [2, 4, 5]
    assert torch.equal(found.syn.decode().inputs, judge.seen[0])


def test_a_run_that_was_stopped_remembers_what_was_best(blobs):
    save = Saved()
    scores = (70.0, 50.0, 60.0)
    whole = go(blobs(), learning(), steps=6, validation=Validation(2, Judge(*scores)))
    options = RunOptions(save=save, save_every=3)
    go(blobs(), learning(), steps=6, validation=Validation(2, Judge(*scores)), options=options)
    tensors, skeleton = save.states[3]
    resume = (3, unpack(tensors, skeleton), whole.cost)
    later = Judge(*scores[1:])
    again = go(blobs(), learning(), steps=6, validation=Validation(2, later), resume=resume)
    assert again.validated == whole.validated
    assert len(later.seen) == 2
    assert torch.equal(again.syn.decode().inputs, whole.syn.decode().inputs)


def test_without_looks_a_checkpoint_holds_nothing_of_them(blobs):
    save = Saved()
    go(blobs(), learning(), steps=2, options=RunOptions(save=save, save_every=1))
    tensors, skeleton = save.states[1]
    assert "best" not in unpack(tensors, skeleton)


def test_all_processes_keep_what_the_first_one_judged_best(blobs):
    class Second(Alone):
        def share(self, value):
            return first.pop(0)

    first, judge = [70.0, 50.0, 60.0], Judge()
    options = RunOptions(ranks=Second(rank=1, size=1))
    # A single part, which is the first process's: the second one's set stays as it is.
    found = go(blobs(), learning(), steps=6, validation=Validation(2, judge), options=options)
    assert judge.seen == []
    assert found.validated == ((2, 70.0), (4, 50.0), (6, 60.0))


def test_looks_change_no_draw_of_the_run(digits):
    settings = SETTINGS | {"method": "dm", "ipc": 1, "seed": 3}
    judged = attar.distill(digits, validate_every=2, **settings)
    scores = [score for _, score in judged.manifest.method.validated]
    best = 2 * (scores.index(max(scores)) + 1)
    # `final` is 1: the step size does not depend on the length of the run.
    short = attar.distill(digits, **{**settings, "steps": best})
    assert judged.manifest.sha256 == short.manifest.sha256
    assert judged.manifest.method.steps == 6
    assert judged.manifest.method.choice == f"step {best} of 6 ({max(scores):.1f} % on held-out data)"
    assert short.manifest.method.choice == ""


def test_the_score_is_that_of_networks_trained_on_the_set(digits):
    """By hand: two networks by the default protocol, on held-out data."""
    made = attar.distill(digits, method="dm", ipc=1, seed=3, validate_every=6, **SETTINGS)
    scores = []
    for number in range(2):
        network = digits.build("linear", derive(3, "validate", "network", number))
        epochs = BatchEpochs(made.decode(), "hard")
        fit(network, epochs, digits.protocols["cpu-1"], derive(3, "validate", "fit", number), digits.augment)
        scores.append(accuracy(network, digits, "validation"))
    assert made.manifest.method.validated[0][1] == pytest.approx(sum(scores) / 2, abs=1e-3)


def test_test_data_take_no_part(digits, monkeypatch):
    settings = SETTINGS | {"method": "dm", "ipc": 1, "validate_every": 3}
    before = attar.distill(digits, **settings)
    real = type(digits).epoch

    def guarded(self, split, *rest):
        if split == "test":
            raise AssertionError("the test split was read")
        return real(self, split, *rest)

    monkeypatch.setattr(type(digits), "epoch", guarded)
    again = attar.distill(digits, **settings)
    assert again.manifest.method.validated == before.manifest.method.validated


def test_a_stopped_folder_resumes_to_the_same_choice(digits, tmp_path):
    settings = {"method": "dm", "ipc": 1, "seed": 3, "validate_every": 2, **SETTINGS}
    whole = attar.distill(digits, **settings)
    recipe = Recipe(
        data=DataRecipe(modality="tensor", name=digits.name, options=dict(digits.options)),
        size=SizeRecipe(ipc=1),
        objective={**SETTINGS, "validate_every": 2},
    )
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"seed": 3})})
    seen, registry = [], Registry()
    how = RunSettings(out=tmp_path / "run", callbacks=[seen.append], stop=lambda: len(seen) >= 3)
    with pytest.raises(Stopped):
        distill_recipe(digits, resolve(recipe, registry), how, registry)
    resumed = attar.distill(digits, out=tmp_path / "run", resume=True, **settings)
    assert resumed.manifest.sha256 == whole.manifest.sha256
    assert resumed.manifest.method == whole.manifest.method


def test_several_runs_each_keep_their_best_step(digits):
    settings = SETTINGS | {"method": "dm", "ipc": 1, "validate_every": 3}
    made = attar.distill(digits, restarts=2, **settings).manifest.method
    assert (len(made.restarts), len(made.validated)) == (2, 2)
    assert made.choice.startswith("the best of 2 runs (")
    assert made.settings["validate_every"] == 3


def test_labels_that_are_learned_are_judged_as_they_are(digits):
    made = attar.distill(digits, method="frepo", ipc=1, validate_every=3, **SETTINGS)
    assert len(made.manifest.method.validated) == 2


@pytest.mark.parametrize(
    ("held", "settings", "said"),
    [
        (
            0,
            {"validate_every": 2},
            "validate_every chooses on held-out data, and .digits. has none",
        ),
        (0.2, {"validate_every": 7}, "validate_every=7 is more than objective.steps=6; choose fewer"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_before_any_work(held, settings, said, tmp_path):
    data = attar.task("tensor", data="digits", validation=held)
    with pytest.raises(UsageError, match=said):
        attar.distill(data, ipc=1, out=tmp_path / "run", **SETTINGS, **settings)
    assert not (tmp_path / "run").exists()


def test_show_says_which_step_was_kept(digits, cli, tmp_path):
    attar.distill(digits, ipc=1, out=tmp_path / "run", validate_every=3, **SETTINGS)
    assert "of 6 (" in cli("show", "run").out
    shown = cli("show", "run", "--json").json
    assert [step for step, _ in shown["method"]["validated"]] == [3, 6]
    assert json.loads(to_json(shown)) == shown
