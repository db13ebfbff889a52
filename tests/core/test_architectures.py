from __future__ import annotations

import re
from importlib.metadata import version

import pytest
import torch
from attar.architectures import Family, build, capability, check_model, code_of, coupled, parse, runs_code
from attar.architectures.text import literal, typed
from attar.errors import UsageError
from attar.nets import MLP, ConvNet, Linear
from attar.rng import derive
from attar.testing import toy_task
from torch import nn

KNOWN = {"convnet": ConvNet, "mlp": MLP, "linear": Linear}


def make(text, feature=(1, 8, 8), seed=0):
    return build(text, KNOWN, feature, 3, derive(seed, "model"))


def test_parse_splits_name_and_settings():
    assert parse("convnet, width=64 ,norm=batch") == ("convnet", {"width": "64", "norm": "batch"})
    assert parse("mlp") == ("mlp", {})


@pytest.mark.parametrize("text", ["convnet,width", "convnet,=3", "convnet,width=1,width=2", "convnet,"])
def test_parse_refuses_what_is_no_setting(text):
    with pytest.raises(UsageError, match=re.escape(f"the architecture {text!r} is not understood at")):
        parse(text)


def test_settings_get_the_type_of_their_hint():
    net = make("convnet,width=8,depth=1,norm=batch")
    assert net.blocks[0][0].out_channels == 8
    assert net.coupled is True


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "convent",
            "unknown architecture 'convent': did you mean 'convnet'? choose from convnet, linear, mlp, "
            "or name your own as package.module:factory",
        ),
        ("linear,width=3", "unknown setting of 'linear' 'width': it has no settings"),
        (
            "mlp,widht=3",
            "unknown setting of 'mlp' 'widht': did you mean 'width'? choose from act, depth, norm, width",
        ),
        ("mlp,width=wide", "mlp,width=wide does not fit: input should be a valid integer"),
        ("convnet,norm=bach", "convnet,norm=bach does not fit: input should be 'instance', 'batch'"),
    ],
)
def test_a_wrong_architecture_gets_one_sentence(text, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)):
        make(text)


@pytest.mark.parametrize("text", ["mlp,act=swish", "convnet,act=swish", "convnet,depth=0", "mlp,width=0"])
def test_settings_without_meaning_are_refused(text):
    with pytest.raises(UsageError, match="does not fit"):
        make(text)


def test_the_same_generator_gives_the_same_weights():
    one, same, other = (make("convnet,width=4,depth=1", seed=seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    make("mlp")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-2", -2), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("False", False), ("relu", "relu")],
)
def test_a_setting_without_a_type_is_what_it_reads_as(text, value):
    found = literal(text)
    assert (found, type(found)) == (value, type(value))


def test_settings_are_typed_by_annotations_and_else_by_how_they_read():
    def factory(feature, classes, width: float, *, kind: str, depth=3, **more):
        return nn.Identity()

    given = {"width": "3", "kind": "3", "depth": "3", "other": "3"}
    values = typed("factory", factory, given)
    assert values == {"width": 3.0, "kind": "3", "depth": 3, "other": 3}
    assert [type(value) for value in values.values()] == [float, str, int, int]


def test_annotations_for_type_checkers_only_are_passed_over():
    def factory(feature, classes, *, width: Missing = 3):  # noqa: F821
        return nn.Identity()

    assert typed("factory", factory, {"width": "4"}) == {"width": 4}


def family():
    def member(name):
        if name != "small":
            raise UsageError(f"unknown member {name!r}")
        return lambda feature, classes, **settings: nn.Linear(feature[0], settings.get("n", classes))

    return Family(member=member, example="small", distribution="torch")


def test_a_family_builds_its_members():
    known = {**KNOWN, "zoo": family()}
    model = build("zoo:small,n=5", known, (4,), 3, derive(0, "model"))
    assert model(torch.zeros(1, 4)).shape == (1, 5)
    assert model.coupled is False


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("zoo", "'zoo' names many architectures; name one, as in 'zoo:small'"),
        ("zoo:large", "unknown member 'large'"),
        ("tree", "unknown architecture 'tree': choose from convnet, linear, mlp, zoo:NAME, or name your own"),
    ],
)
def test_a_family_is_told_from_its_members(text, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        build(text, {**KNOWN, "zoo": family()}, (4,), 3, derive(0, "model"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlp,width=3", False),
        ("zoo:small", False),
        ("own:net", False),
        ("own:net,width=3", False),
        ("os:system", True),
        ("mlp:net", True),
        ("zo:small", True),
    ],
)
def test_only_what_nobody_registered_is_code(text, expected):
    known = {**KNOWN, "zoo": family(), "own:net": MLP}
    assert runs_code(text, known) is expected


def test_what_cached_results_depend_on():
    known = {**KNOWN, "zoo": family()}
    assert code_of("mlp,width=3", known) == ""
    assert code_of("zoo:small", known) == f"torch {version('torch')}"


def test_a_model_that_does_not_say_is_taken_to_be_coupled():
    assert coupled(nn.Linear(1, 1)) is True
    assert coupled(make("mlp")) is False


def test_a_missing_capability_names_model_and_method():
    with pytest.raises(UsageError, match="the model Linear has no method 'embed', which this method needs"):
        capability(nn.Linear(1, 1), "embed")


LARGE = ["mlp,width=10000000", "convnet,width=1000000", "mlp,width=100000,depth=1000"]


@pytest.mark.parametrize("arch", LARGE)
def test_a_network_that_no_memory_holds_is_refused_before_any_is_taken(arch):
    with pytest.raises(UsageError, match=r"takes [\d,.]+ GB with gradients, and .* choose a smaller one"):
        check_model(toy_task((1, 8, 8)), arch)


@pytest.mark.parametrize("arch", ["mlp,depth=100000000", "convnet,depth=100000000", "mlp,width=1" + 30 * "0"])
def test_settings_of_networks_have_bounds(arch):
    with pytest.raises(UsageError, match="should be less than or equal to"):
        check_model(toy_task((1, 8, 8)), arch)


def test_a_network_is_not_deeper_than_samples_can_be_halved():
    with pytest.raises(UsageError, match="too small for a ConvNet of depth 70; lower the depth"):
        check_model(toy_task((1, 8, 8)), "convnet,depth=70")


def test_networks_that_are_in_memory_together_count_together():
    with pytest.raises(UsageError, match=r"1,000,000,000 networks 'linear' take .* fewer or smaller ones"):
        check_model(toy_task((4,)), "linear", copies=10**9)
