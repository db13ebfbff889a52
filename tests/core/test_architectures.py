from __future__ import annotations

import re

import pytest
import torch
from attar.architectures import build, capability, coupled, parse
from attar.errors import UsageError
from attar.nets import MLP, ConvNet, Linear
from attar.rng import derive
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
            "unknown architecture 'convent': did you mean 'convnet'? choose from convnet, linear, mlp",
        ),
        (
            "mlp,widht=3",
            "unknown setting of 'mlp' 'widht': did you mean 'width'? choose from act, depth, width",
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


def test_a_model_that_does_not_say_is_taken_to_be_coupled():
    assert coupled(nn.Linear(1, 1)) is True
    assert coupled(make("mlp")) is False


def test_a_missing_capability_names_model_and_method():
    with pytest.raises(UsageError, match="the model Linear has no method 'embed', which this method needs"):
        capability(nn.Linear(1, 1), "embed")
