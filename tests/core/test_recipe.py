from __future__ import annotations

import re

import pytest
from attar.errors import UsageError
from attar.recipe import Recipe, read_recipe, resolve, with_settings
from attar.registry import Registry
from attar.settings import parse

VALUES = {"data": {"modality": "tensor", "name": "digits"}, "size": {"ipc": 1}}


def make(**more):
    return parse(Recipe, {**VALUES, **more}, "")


FULL = {
    "data": {"modality": "tensor", "name": "digits", "options": {"validation": 0.2}, "fingerprint": "ab"},
    "size": {"bytes": 1000, "policy": "cap", "balance": "proportional"},
    "method": "dm",
    "objective": {"lr": 0.5, "model": "mlp,width=8", "augment": False},
    "run": {"seed": 3, "dtype": "float16", "checkpoint_every": 7},
}


def test_toml_round_trip(tmp_path):
    path = tmp_path / "recipe.toml"
    for recipe in (make(), parse(Recipe, FULL, ""), resolve(make(), Registry()).recipe):
        path.write_text(recipe.to_toml(), encoding="utf-8")
        assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"objektive": {}},
            "unknown setting 'objektive': did you mean 'objective'? choose from data",
        ),
        ({"run": {"sed": 1}}, "unknown setting 'run.sed': did you mean 'run.seed'? choose from run.check"),
        ({"size": {"ipc": 0}}, "size.ipc = 0 does not fit"),
        ({"size": {}}, "give exactly one of ipc, total, ratio and bytes, not none"),
        (
            {"size": {"ipc": 1, "total": 3}},
            "one of ipc, total, ratio and bytes, not ipc and total",
        ),
        ({"size": {"ratio": 1.5}}, "size.ratio = 1.5 does not fit"),
        ({"run": {"seed": -1}}, "run.seed = -1 does not fit"),
        ({"run": {"dtype": "int8"}}, "run.dtype = 'int8' does not fit: input should be 'float32'"),
        ({"method": ""}, "method = '' does not fit: name a method"),
        ({"out": "/tmp/x"}, "unknown setting 'out'"),
        ({"data": {"modality": "tensor"}}, "the setting 'data.name' is missing; add it"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_one_sentence(values, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        make(**values)


@pytest.mark.parametrize("name", ["/etc/passwd", "a/b", "a\\b", "..", ".", ""])
def test_data_are_never_named_by_path(name):
    with pytest.raises(UsageError, match="data are named without a path; give the path with --data"):
        make(data={"modality": "tensor", "name": name})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"data = [", "is no valid TOML"),
        (b"\xff", "cannot be read"),
        (b'method = "dm"', "the setting 'data' is missing; add it"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        read_recipe(path)


def test_a_recipe_that_is_missing_or_a_folder(tmp_path):
    with pytest.raises(UsageError, match="there is no recipe"):
        read_recipe(tmp_path / "x.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_recipe(tmp_path)


def test_difference_names_the_first_setting_that_differs():
    assert make().difference(make()) == ""
    assert make().difference(make(run={"seed": 2})) == "run.seed is 0 there and 2 here"
    assert make().difference(make(objective={"lr": 1})) == "objective.lr is None there and 1 here"


def test_difference_and_digest_leave_out_what_decides_nothing():
    other = make(data={**VALUES["data"], "fingerprint": "ff"}, run={"checkpoint_every": 3})
    assert make().difference(other) == ""
    assert make().digest() == other.digest()


@pytest.mark.parametrize(
    "change", [{"run": {"seed": 1}}, {"size": {"ipc": 2}}, {"objective": {"lr": 2}}, {"method": "random"}]
)
def test_the_digest_follows_what_decides_the_result(change):
    assert make().digest() != make(**change).digest()


def test_a_resolved_recipe_has_every_setting_of_its_parameterization():
    """A value that was typed and one that was left out mean what the parameterization says."""
    typed, bare = ({"method": "dm", "objective": {"parameterization": "multi-formation"}} for _ in range(2))
    typed["parameterization"] = {"factor": "2"}
    one, other = (resolve(make(**values), Registry()).recipe for values in (typed, bare))
    assert one.parameterization["factor"] == 2
    assert one.digest() == other.digest()


def test_with_settings_changes_by_dotted_key():
    changed = with_settings(make(), {"objective.lr": "0.5", "run.seed": "4", "method": "random"})
    assert (changed.objective, changed.run.seed, changed.method) == ({"lr": "0.5"}, 4, "random")
    assert make().objective == {}


def test_a_setting_of_the_method_needs_no_table():
    changed = with_settings(make(), {"lr": "0.5", "parameterization": "bases"})
    assert changed == with_settings(make(), {"objective.lr": "0.5", "objective.parameterization": "bases"})


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("run.sed", "unknown setting 'run.sed': did you mean 'run.seed'?"),
        ("method.lr", "the setting 'method.lr' is unknown: 'method' has no settings below it"),
        ("objektive.lr", "unknown setting 'objektive': did you mean 'objective'?"),
        ("run.seed", "run.seed = 'x' does not fit: input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_one_sentence(key, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        with_settings(make(), {key: "x"})


def test_resolve_fills_in_every_setting():
    found = resolve(make(objective={"lr": "0.5"}), Registry())
    assert found.settings.lr == 0.5
    assert found.recipe.objective == found.settings.model_dump(mode="json")
    assert found.recipe.data.options["validation"] == 0.1
    assert found.selector is None


def test_resolve_finds_selectors():
    found = resolve(make(method="herding", objective={"space": "random"}), Registry())
    assert (found.method, found.settings) == (None, None)
    assert found.selector.uses_features


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"method": "dmm"}, "unknown method 'dmm': did you mean 'dm'? choose from cafe, "),
        ({"objective": {"lrr": 1}}, "unknown setting 'objective.lrr': did you mean 'objective.lr'?"),
        ({"objective": {"steps": 0}}, "objective.steps = 0 does not fit"),
        ({"objective": {"subjects": 0}}, "objective.subjects = 0 does not fit"),
        ({"objective": {"subjects": 10**9}}, "objective.subjects = 1000000000 does not fit"),
        ({"objective": {"parameterization": "pla"}}, "unknown parameterization 'pla': did you mean 'plain'?"),
        ({"parameterization": {"factor": 2}}, "unknown setting 'parameterization.factor'"),
        ({"method": "random", "objective": {"lr": 1}}, "the selector 'random' has no setting 'objective.lr'"),
        ({"data": {"modality": "tensr", "name": "x"}}, "unknown modality 'tensr': did you mean 'tensor'?"),
        (
            {"data": {"modality": "tensor", "name": "x", "options": {"test": 2}}},
            "data.options.test = 2 does not fit",
        ),
    ],
)
def test_resolve_refuses_what_does_not_fit(values, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        resolve(make(**values), Registry())
