from __future__ import annotations

import re
import sys
from importlib.metadata import version

import pytest
import torch
from attar.api import distill
from attar.architectures import build, capability, check_model, code_of, coupled, runs_code
from attar.errors import UsageError
from attar.rng import derive
from attar_image import ARCHITECTURES

pytest.importorskip("timm", reason="timm is an extra: pip install attar-image[timm]")

SMALL_VIT = "timm:vit_tiny_patch16_224,patch_size=4,depth=2,embed_dim=12"


def net(text, feature=(3, 32, 32), seed=0):
    return build(text, ARCHITECTURES, feature, 4, derive(seed, "net"))


def samples(n, *feature):
    return torch.randn(n, *feature, generator=derive(0, "samples"))


@pytest.mark.parametrize(
    ("text", "across"),
    [
        ("timm:resnet10t", True),
        ("timm:resnet10t,norm_layer=groupnorm1", False),
        ("timm:convnext_atto", False),
        (SMALL_VIT, False),
        ("timm:mixer_s32_224", False),
    ],
    ids=["resnet", "groupnorm", "convnext", "vit", "mixer"],
)
@pytest.mark.parametrize("feature", [(1, 32, 32), (3, 64, 32)])
def test_models_have_all_that_losses_call(text, across, feature):
    model, inputs = net(text, feature), samples(2, *feature)
    assert coupled(model) is across
    assert model(inputs).shape == (2, 4)
    embedded = model.embed(inputs)
    assert embedded.shape == (2, model.model.num_features)
    assert embedded.requires_grad
    maps = capability(model, "feature_maps")(inputs)
    assert all(each.ndim == 4 and len(each) == 2 for each in maps)


def test_the_embedding_is_what_the_classifier_sees():
    model, inputs = net(SMALL_VIT), samples(2, 3, 32, 32)
    model.eval()
    assert torch.allclose(model.model.head(model.embed(inputs)), model(inputs), atol=1e-6)


def test_the_generator_alone_decides_the_weights():
    state = torch.get_rng_state()
    one, same, other = (net(SMALL_VIT, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["model.blocks.0.attn.qkv.weight"], other["model.blocks.0.attn.qkv.weight"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("timm", "'timm' names many architectures; name one, as in 'timm:resnet10t'"),
        ("timm:", "unknown timm model '': "),
        (
            "timm:resnet1t",
            "unknown timm model 'resnet1t': did you mean 'resnet14t', 'resnet10t', 'resnet18'? timm",
        ),
        ("timm:hf-hub:some/model", "unknown timm model 'hf-hub:some/model': "),
        ("timm:local-dir:/some/where", "unknown timm model 'local-dir:/some/where': "),
        (
            "timm:resnet10t,pretrained=true",
            "timm:resnet10t,pretrained is not offered: networks start with random",
        ),
        ("timm:resnet10t,checkpoint_path=x", "timm:resnet10t,checkpoint_path is not offered: networks start"),
        ("timm:resnet10t,pretrained_cfg=x", "timm:resnet10t,pretrained_cfg is not offered: networks start"),
        ("timm:resnet10t,num_classes=3", "timm:resnet10t,num_classes is decided by the data; leave it out"),
        ("timm:resnet10t,img_size=3", "timm:resnet10t,img_size is decided by the data; leave it out"),
        (
            "timm:resnet10t,no=3",
            "'timm:resnet10t,no=3' cannot be built for samples of shape (3, 32, 32): TypeError",
        ),
    ],
)
def test_what_timm_has_not_gets_one_sentence(text, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)):
        net(text)


def test_samples_that_are_no_images_are_refused():
    with pytest.raises(UsageError, match=r"^timm:resnet10t needs images, but samples have shape \(4,\)"):
        net("timm:resnet10t", (4,))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"^timm is not installed: run 'pip install attar-image\[timm\]'"):
        net("timm:resnet10t")


def test_timm_is_registered_and_known_by_its_version():
    assert runs_code("timm:resnet10t", ARCHITECTURES) is False
    assert code_of("timm:resnet10t,act_layer=gelu", ARCHITECTURES) == f"timm {version('timm')}"


@pytest.fixture
def digits():
    import attar

    return attar.task("image", data="digits")


def test_a_model_that_images_are_too_small_for_is_refused_before_any_work(digits):
    sentence = "the model 'timm:vit_tiny_patch16_224' fails on samples of shape (1, 8, 8): "
    with pytest.raises(UsageError, match="^" + re.escape(sentence)):
        check_model(digits, "timm:vit_tiny_patch16_224")


def test_a_set_is_distilled_on_a_model(digits):
    made = distill(
        digits, ipc=1, steps=2, per_class=2, model="timm:vit_tiny_patch16_224,patch_size=4,depth=1"
    )
    assert made.manifest.method.model.startswith("timm:vit_tiny")
    assert torch.isfinite(made.decode().inputs).all()
