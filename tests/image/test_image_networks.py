from __future__ import annotations

import pytest
import torch
from attar.architectures import build, coupled
from attar.rng import derive
from attar_image import ARCHITECTURES


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


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_is_built_with_its_defaults(name):
    model = net(name)
    assert model(samples(2, 3, 8, 8)).shape == (2, 4)
    assert model.embed(samples(2, 3, 8, 8)).ndim == 2
