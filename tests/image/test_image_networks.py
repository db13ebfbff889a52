from __future__ import annotations

import re

import pytest
import torch
from attar.architectures import Family, build, coupled
from attar.errors import UsageError
from attar.rng import derive
from attar_image import ARCHITECTURES
from torch import nn


def net(text, feature=(3, 8, 8), classes=4):
    return build(text, ARCHITECTURES, feature, classes, derive(0, "net"))


def samples(n, *feature):
    return torch.randn(n, *feature, generator=derive(0, "samples"))


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("feature", [(1, 4, 4), (3, 8, 8), (1, 28, 28)])
def test_resnet_shapes(norm, feature):
    model = net(f"resnet18,width=4,norm={norm}", feature)
    inputs = samples(2, *feature)
    assert model(inputs).shape == (2, 4)
    assert model.embed(inputs).shape == (2, 32)
    maps = model.feature_maps(inputs)
    assert [each.shape[1] for each in maps] == [4, 8, 16, 32]
    assert torch.isfinite(model(inputs)).all()


def test_resnet_halves_three_times():
    maps = net("resnet18,width=4", (3, 32, 32)).feature_maps(samples(2, 3, 32, 32))
    assert [each.shape[2] for each in maps] == [32, 16, 8, 4]


def test_resnet_has_the_published_number_of_parameters():
    # ResNet-18 with a 3 × 3 stem for ten classes, as in the field's CIFAR implementations.
    assert sum(each.numel() for each in net("resnet18", (3, 32, 32), 10).parameters()) == 11_173_962


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_resnet_rows_influence_one_another_only_with_batch_norm(norm):
    model = net(f"resnet18,width=4,norm={norm}")
    batch = samples(4, 3, 8, 8)
    other = batch.clone()
    other[1:] += 3
    assert coupled(model) is (norm == "batch")
    assert torch.allclose(model(batch)[0], model(other)[0], atol=1e-4) is (norm == "instance")


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_single_small_image_passes(norm):
    model = net(f"resnet18,width=4,norm={norm}", (1, 8, 8))
    assert torch.isfinite(model(samples(1, 1, 8, 8))).all()


# An infinitely wide network has no logits.
NAMES = sorted(
    name for name, known in ARCHITECTURES.items() if not isinstance(known, Family) and name != "ntk"
)
STACKS = [
    "alexnet,width=8",
    "alexnet,width=8,norm=instance",
    "lenet",
    "vgg11,width=4",
    "vgg11,width=4,norm=batch",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_is_built_with_its_defaults(name):
    model = net(name)
    assert model(samples(2, 3, 8, 8)).shape == (2, 4)
    assert model.embed(samples(2, 3, 8, 8)).ndim == 2


def test_resnet_starts_at_the_weights_it_always_started_at():
    # Figures that were made before depend on the order in which layers are drawn.
    total = sum(each.abs().sum() for each in net("resnet18,width=4", (3, 8, 8)).state_dict().values())
    assert float(total) == pytest.approx(2253.0071, rel=1e-5)


@pytest.mark.parametrize(
    "feature", [(1, 8, 8), (2, 9, 30), (1, 28, 28), (3, 32, 32), (5, 33, 50), (3, 96, 96)]
)
@pytest.mark.parametrize("text", STACKS)
def test_stacks_fit_images_of_any_size(text, feature):
    model, inputs = net(text, feature), samples(2, *feature)
    logits, maps = model(inputs), model.feature_maps(inputs)
    assert logits.shape == (2, 4)
    assert model.embed(inputs).shape == (2, model.head.in_features)
    assert all(each.ndim == 4 and len(each) == 2 for each in maps)
    assert torch.equal(model.head(model.embed(inputs)), logits)
    # Two images are told apart wherever a layer looks at them.
    assert all(not torch.allclose(each[0], each[1], atol=1e-3) for each in maps)


@pytest.mark.slow
@pytest.mark.parametrize("text", [*STACKS, "resnet18,width=4"])
def test_networks_fit_large_images(text):
    assert torch.isfinite(net(text, (3, 256, 256))(samples(1, 3, 256, 256))).all()


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("lenet", [14, 5]),
        ("alexnet,width=8", [16, 8, 8, 8, 4]),
        ("vgg11,width=4", [16, 8, 4, 2, 1]),
    ],
)
@pytest.mark.parametrize("side", [28, 32])
def test_maps_are_as_large_as_published(text, sides, side):
    model = net(text, (1, side, side))
    assert [each.shape[2] for each in model.feature_maps(samples(1, 1, side, side))] == sides


@pytest.mark.parametrize(
    ("text", "parameters"), [("lenet", 62_006), ("alexnet", 1_872_202), ("vgg11,norm=batch", 9_231_114)]
)
def test_networks_have_the_published_number_of_parameters(text, parameters):
    # For 32 × 32 pixels, 3 channels and 10 classes, as in the field's implementations.
    assert sum(each.numel() for each in net(text, (3, 32, 32), 10).parameters()) == parameters


@pytest.mark.parametrize("side", [4, 5, 8, 12, 20])
@pytest.mark.parametrize(
    "text", ["alexnet,width=8,norm=instance", "vgg11,width=4", "resnet18,width=4,norm=instance"]
)
def test_instance_statistics_are_never_taken_over_one_position(text, side):
    model, sizes = net(text, (1, side, side)), []
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_hook(lambda layer, given, out: sizes.append(out[0, 0].numel()))
    model(samples(2, 1, side, side))
    assert sizes
    assert min(sizes) > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alexnet,width=8", False),
        ("alexnet,width=8,norm=batch", True),
        ("vgg11,width=4", False),
        ("vgg11,width=4,norm=none", False),
        ("vgg11,width=4,norm=batch", True),
        ("lenet", False),
    ],
)
def test_rows_influence_one_another_only_with_batch_norm(text, expected):
    model, batch = net(text), samples(4, 3, 8, 8)
    other = batch.clone()
    other[1:] += 3
    assert coupled(model) is expected
    assert torch.allclose(model(batch)[0], model(other)[0], atol=1e-5) is not expected


@pytest.mark.parametrize("text", STACKS)
def test_gradient_reaches_the_images_and_every_weight(text):
    model, inputs = net(text), samples(2, 3, 8, 8).requires_grad_()
    model(inputs).pow(2).sum().backward()
    assert inputs.grad.any()
    assert all(each.grad is not None for each in model.parameters())


@pytest.mark.parametrize(
    ("text", "feature", "sentence"),
    [
        (
            "lenet",
            (4,),
            "LeNet needs images of shape (channels, height, width) and at least 4 × 4 pixels, but",
        ),
        ("alexnet", (3, 3, 8), "AlexNet needs images"),
        ("vgg11", (3, 8), "VGG-11 needs images"),
        (
            "vgg11,norm=layer",
            (3, 8, 8),
            "vgg11,norm=layer does not fit: input should be 'instance', 'batch' or",
        ),
        ("alexnet,width=0", (3, 8, 8), "alexnet,width=0 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(text, feature, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)):
        net(text, feature)
