from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace

import attar
import attar.runs
import pytest
import torch
from attar.api import distill, task
from attar.artifact import load
from attar.errors import UsageError
from attar.owned import LIST, foreign
from attar.recipe import DataRecipe, Recipe, SizeRecipe, resolve, stored_recipe
from attar.registry import Registry
from attar.runner import Stopped
from attar.runs import RunSettings, distill_recipe, start
from attar.selectors.rules import Rule

SETTINGS = {"method": "dm", "ipc": 1, "steps": 6, "model": "linear", "reuse": 2}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def stop_after(steps, data, out, **changes):
    registry = Registry()
    recipe = Recipe(
        data=DataRecipe(modality="tensor", name=data.name, options=dict(data.options)),
        size=SizeRecipe(ipc=1),
        objective={"steps": 6, "model": "linear", "reuse": 2, **changes},
    )
    seen = []
    settings = RunSettings(out=out, callbacks=[seen.append], stop=lambda: len(seen) >= steps)
    with pytest.raises(Stopped):
        distill_recipe(data, resolve(recipe, registry), settings, registry)


def test_an_artifact_knows_how_its_data_were_loaded():
    data = task("tensor", data="digits", validation=0.3, split_seed=4)
    artifact = distill(data, method="random", ipc=1)
    assert artifact.manifest.data.options == {"validation": 0.3, "test": 0.2, "split_seed": 4}
    again = task("tensor", data="digits", **artifact.manifest.data.options)
    assert again.fingerprint == artifact.manifest.data.fingerprint


def test_a_run_leaves_recipe_log_checkpoints_and_artifact(blobs, tmp_path):
    artifact = distill(blobs(), **SETTINGS, out=tmp_path / "run")
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found == {"recipe.toml", "log.jsonl", "checkpoint", "artifact", LIST}
    assert foreign(tmp_path / "run") == []
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert load(tmp_path / "run").manifest == artifact.manifest


@pytest.mark.parametrize("steps", [1, 3])
def test_a_stopped_run_resumes_to_the_same_bytes(blobs, tmp_path, steps):
    distill(blobs(), **SETTINGS, out=tmp_path / "whole")
    stop_after(steps, blobs(), tmp_path / "run")
    distill(blobs(), **SETTINGS, out=tmp_path / "run", resume=True)
    whole, resumed = (files(tmp_path / name / "artifact") for name in ("whole", "run"))
    assert whole["data.safetensors"] == resumed["data.safetensors"]
    assert whole["recipe.toml"] == resumed["recipe.toml"]
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("finished", [False, True])
def test_resuming_with_another_recipe_is_refused(blobs, tmp_path, finished):
    if finished:
        distill(blobs(), **SETTINGS, out=tmp_path / "run")
    else:
        stop_after(2, blobs(), tmp_path / "run")
    with pytest.raises(UsageError, match=re.escape("started with another recipe: objective.lr is 1.0 there")):
        distill(blobs(), **SETTINGS, lr=0.5, out=tmp_path / "run", resume=True)


def test_resuming_a_finished_run_returns_it(blobs, tmp_path):
    made = distill(blobs(), **SETTINGS, out=tmp_path / "run")
    assert distill(blobs(), **SETTINGS, out=tmp_path / "run", resume=True).manifest == made.manifest


@pytest.mark.parametrize(
    ("then", "now", "other"), [("a", "b", True), ("a", "a", False), (None, "b", False), ("a", None, False)]
)
def test_a_run_is_not_resumed_with_other_code_unasked(blobs, tmp_path, monkeypatch, then, now, other):
    monkeypatch.setattr(attar.runs, "code_of", lambda *about: then)
    stop_after(1, blobs(), tmp_path / "run")
    monkeypatch.setattr(attar.runs, "code_of", lambda *about: now)
    with pytest.raises(UsageError, match="the code of the model") if other else nullcontext():
        distill(blobs(), **SETTINGS, out=tmp_path / "run", resume=True)
    begun = stored_recipe(tmp_path / "run" / "recipe.toml")
    settings = RunSettings(out=tmp_path / "run", resume=True, allow_inexact=True)
    distill_recipe(blobs(), resolve(begun, Registry()), settings, Registry())


def test_there_must_be_a_run_to_resume(blobs, tmp_path):
    with pytest.raises(UsageError, match="there is no run to resume in"):
        distill(blobs(), **SETTINGS, out=tmp_path / "run", resume=True)


def test_a_run_is_replaced_only_by_force(blobs, tmp_path):
    distill(blobs(), **SETTINGS, out=tmp_path / "run")
    before = files(tmp_path / "run" / "artifact")
    with pytest.raises(UsageError, match="exists and is not empty"):
        distill(blobs(), **{**SETTINGS, "ipc": 2}, out=tmp_path / "run")
    assert files(tmp_path / "run" / "artifact") == before
    distill(blobs(), **{**SETTINGS, "ipc": 2}, out=tmp_path / "run", force=True)
    assert load(tmp_path / "run").manifest.size.ipc == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_in_place_of_the_run_is_refused(blobs, tmp_path):
    (tmp_path / "run").write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match="is a file; choose another --out"):
            distill(blobs(), **SETTINGS, out=tmp_path / "run", force=force)


def test_the_same_seed_gives_the_same_bytes(blobs, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        distill(blobs(), **SETTINGS, seed=seed).save(tmp_path / name)
    one, same, other = (files(tmp_path / name)["data.safetensors"] for name in "abc")
    assert one == same != other


@pytest.mark.parametrize("name", ["random", "herding", "k-center", "k-means"])
def test_selectors_record_their_rows(blobs, name):
    data = blobs()
    artifact = distill(data, method=name, ipc=2)
    rows = artifact.manifest.method.rows
    assert artifact.manifest.kind == "selected"
    assert len(set(rows)) == 6
    assert artifact.decode().inputs.equal(data.gather(data.labels.new_tensor(rows)).inputs)
    assert artifact.manifest.method.feature_space == (None if name == "random" else "input")


def test_a_parameterization_is_chosen_by_name(blobs):
    data = blobs()
    asked = {**SETTINGS, "lr": 0.01}
    named = distill(data, **asked, parameterization="bases")
    both = distill(data, **asked, parameterization={"name": "bases", "decodes": 2})
    assert [each.manifest.set["parameterization"] for each in (named, both)] == ["bases", "bases"]
    assert both.manifest.size.decoded == 2 * both.manifest.size.stored
    with pytest.raises(UsageError, match="unknown parameterization 'basis': did you mean 'bases'"):
        distill(data, **asked, parameterization="basis")


def test_means_can_be_stored_and_started_at(blobs):
    data = blobs()
    artifact = distill(data, method="means", ipc=1)
    assert artifact.manifest.method.rows is None
    own = data.gather((data.labels == 1).nonzero()[:, 0]).inputs.mean(0)
    torch.testing.assert_close(artifact.decode().inputs[1], own)
    begun = distill(data, method="dm", ipc=1, steps=1, init="means", lr=1e-9)
    torch.testing.assert_close(begun.decode().inputs, artifact.decode().inputs)


@pytest.mark.parametrize("classes", [3, 300])
def test_a_byte_budget_is_kept(blobs, classes):
    registry = Registry()
    recipe = Recipe(
        data=DataRecipe(modality="tensor", name="blobs"),
        size=SizeRecipe(bytes=40 * classes, policy="repeat"),
    )
    # Labels above 255 take two bytes, whichever label a sample drawn for its size has.
    syn, per_class = start(blobs(counts=(6,) * classes), resolve(recipe, registry), registry)
    assert sum(per_class) > classes
    assert syn.nbytes() <= 40 * classes


@pytest.mark.parametrize("parameterization", ["bases", "frequency"])
@pytest.mark.parametrize("budget", [300, 1000, 3000])
def test_a_byte_budget_is_kept_where_samples_share_what_is_stored(blobs, parameterization, budget):
    registry = Registry()
    recipe = Recipe(
        data=DataRecipe(modality="tensor", name="blobs"),
        size=SizeRecipe(bytes=budget, policy="repeat"),
        objective={"parameterization": parameterization},
        parameterization={"decodes": 2},
    )
    syn, _ = start(blobs(counts=(60, 60, 60)), resolve(recipe, registry), registry)
    assert 0.5 * budget < syn.nbytes() <= budget


def test_a_single_class_with_a_single_sample_distills(blobs):
    artifact = distill(blobs(counts=(2,)), **{**SETTINGS, "ipc": 3}, ipc_policy="repeat")
    assert artifact.manifest.size.stored == 3


def test_without_a_size_a_set_has_ten_samples_per_class_or_what_there_is(blobs):
    task = blobs(counts=(60, 4, 12))
    artifact = distill(task, **{**SETTINGS, "ipc": None})
    assert artifact.decode().labels.bincount().tolist() == task.counts.clamp(max=10).tolist() != [10, 10, 10]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "dmm"}, "unknown method 'dmm': did you mean 'dm'?"),
        ({"learning_rate": 1}, "unknown setting 'objective.learning_rate'"),
        ({"size": 3}, "give only one of ipc, size, ratio and budget"),
        ({"model": "liner"}, "unknown architecture 'liner': did you mean 'linear'?"),
        ({"seed": -1}, "run.seed = -1 does not fit"),
        ({"method": ""}, "name a method"),
        ({"device": "gpu"}, "gpu"),
    ],
)
def test_a_mistake_in_a_call_is_one_sentence(blobs, changes, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        distill(blobs(), **{**SETTINGS, **changes})


def test_data_with_a_path_for_a_name_are_one_sentence(blobs):
    with pytest.raises(UsageError, match="data are named without a path"):
        distill(blobs(name="a/b"), **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"modality": "tenser"}, "unknown modality 'tenser': did you mean 'tensor'?"),
        ({"data": "digit"}, "unknown data 'digit': did you mean 'digits'? choose from breast-cancer, digits"),
        ({"data": "x.npz"}, "there is no file 'x.npz'; give the path of a .npz file"),
        ({"validaton": 0.1}, "unknown setting 'data.options.validaton'"),
        ({"root": "/no/such/folder"}, "there is no folder '/no/such/folder'"),
    ],
)
def test_data_that_cannot_be_had_are_one_sentence(changes, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        task(**{"modality": "tensor", "data": "digits", **changes})


def test_a_folder_of_other_things_is_never_replaced(blobs, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.jpg").write_bytes(b"dear")
    with pytest.raises(UsageError, match="was not written by Attar"):
        distill(blobs(), **SETTINGS, out=tmp_path / "photos", force=True)
    assert files(tmp_path / "photos") == {"dear.jpg": b"dear"}


def test_what_a_killed_process_left_is_cleared_on_resume_and_nothing_else(blobs, tmp_path):
    stop_after(2, blobs(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint" / ".step-000000002.0123abcd.attar-new").mkdir()
    (tmp_path / "run" / ".log.jsonl.0123abcd.attar-old").write_bytes(b"")
    mine = {tmp_path / "run" / ".git", tmp_path / "run" / "checkpoint" / ".env", tmp_path / "run" / "notes"}
    for path in mine:
        path.write_bytes(b"dear")
    distill(blobs(), **SETTINGS, out=tmp_path / "run", resume=True)
    assert set(foreign(tmp_path / "run")) == mine


def test_a_forced_run_that_died_before_the_swap_takes_its_place_on_resume(blobs, tmp_path):
    distill(blobs(), **SETTINGS, out=tmp_path / "run")
    made = distill(blobs(), **SETTINGS, seed=1, out=tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / ".run.forced")
    found = distill(blobs(), **SETTINGS, seed=1, out=tmp_path / "run", force=True, resume=True)
    assert found.manifest.sha256 == made.manifest.sha256
    assert not (tmp_path / ".run.forced").exists()
    assert attar.load(tmp_path / "run").manifest.sha256 == made.manifest.sha256


def test_a_method_whose_own_model_the_data_lack_is_refused(blobs):
    data = blobs()
    poor = replace(
        data, architectures={name: each for name, each in data.architectures.items() if name != "ntk"}
    )
    sentence = "the method 'kip' is for data with the architecture 'ntk', which 'blobs' lacks"
    with pytest.raises(UsageError, match=sentence):
        distill(poor, method="kip", ipc=1)
    # A model of the user's own choice is tried.
    with pytest.raises(UsageError, match="has no method 'kernel'"):
        distill(poor, method="kip", ipc=1, model="linear")


def test_an_own_method_needs_no_installation(blobs):
    class EveryOther(Rule):
        pass

    def every_other(features, n, gen):
        return torch.arange(len(features))[::2][:n]

    task = blobs()
    chosen = distill(task, method=EveryOther(every_other, "every other sample"), ipc=2).manifest
    assert chosen.method.name == "every-other"
    assert len(chosen.method.rows) == 6
    made = distill(task, **{**SETTINGS, "method": _named(Registry().get("objectives", "dm"))})
    assert made.manifest.method.name == "own-method"


def _named(method):
    class OwnMethod:
        def __getattr__(self, name):
            return getattr(method, name)

    return OwnMethod()


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (dict, "the method dict is a class; give an object of it, as dict()"),
        (object(), "the method 'object' that was given does not state the plugin API"),
    ],
)
def test_what_is_no_method_is_refused(blobs, method, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        distill(blobs(), method=method, ipc=1)
