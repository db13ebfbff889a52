from __future__ import annotations

import pytest
import torch
from attar.errors import UsageError
from attar.nets import MLP, ConvNet, Linear
from attar.rng import derive, scoped
from torch import nn


def build(kind, *args, **settings):
    with scoped(derive(0, "test")):
        return kind(*args, **settings)


def samples(n, *feature):
    return torch.randn(n, *feature, generator=derive(0, "samples"))


SHAPES = [(3,), (2, 9), (3, 8, 8), (1, 4, 6, 8)]


@pytest.mark.parametrize(
    ("kind", "feature"),
    [
        *((kind, shape) for kind in (Linear, MLP) for shape in SHAPES),
        *((ConvNet, shape) for shape in SHAPES[1:]),
    ],
)
def test_logits_and_embeddings_have_one_row_per_sample(kind, feature):
    settings = {ConvNet: {"depth": 2, "width": 8}, MLP: {"width": 8}, Linear: {}}[kind]
    net = build(kind, feature, 5, **settings)
    inputs = samples(3, *feature)
    assert net(inputs).shape == (3, 5)
    assert net.embed(inputs).shape[0] == 3
    assert torch.equal(net.head(net.embed(inputs)), net(inputs))


def test_mlp_gives_a_map_per_hidden_layer():
    net = build(MLP, (2, 3), 4, width=7, depth=3)
    assert [tuple(each.shape) for each in net.feature_maps(samples(2, 2, 3))] == [(2, 7)] * 3


def test_mlp_without_hidden_layers_embeds_inputs():
    assert build(MLP, (2, 3), 4, depth=0).embed(samples(2, 2, 3)).shape == (2, 6)


def test_convnet_brings_28_pixels_to_32():
    net = build(ConvNet, (1, 28, 28), 10)
    maps = net.feature_maps(samples(2, 1, 28, 28))
    assert [tuple(each.shape) for each in maps] == [(2, 128, 16, 16), (2, 128, 8, 8), (2, 128, 4, 4)]
    assert net.embed(samples(2, 1, 28, 28)).shape == (2, 2048)


def test_convnet_of_cifar_has_the_published_number_of_parameters():
    net = build(ConvNet, (3, 32, 32), 10)
    # Three 3 × 3 convolutions with biases, affine instance norm, a linear head.
    wanted = (27 * 128 + 128) + 2 * (9 * 128 * 128 + 128) + 3 * 256 + (2048 * 10 + 10)
    assert sum(each.numel() for each in net.parameters()) == wanted == 320_010


@pytest.mark.parametrize("norm", ["instance", "layer", "group", "none", "batch"])
def test_rows_influence_one_another_only_where_a_net_says_so(norm):
    net = build(ConvNet, (2, 8, 8), 3, depth=2, width=8, norm=norm)
    batch = samples(4, 2, 8, 8)
    other = batch.clone()
    other[1:] += 5
    same = torch.allclose(net(batch)[0], net(other)[0], atol=1e-5)
    assert net.coupled is (norm == "batch")
    assert same is not net.coupled


@pytest.mark.parametrize("pool", ["avg", "max", "none"])
@pytest.mark.parametrize("act", ["relu", "leaky_relu", "gelu", "sigmoid"])
def test_convnet_options_give_finite_logits(pool, act):
    net = build(ConvNet, (1, 6, 6), 2, depth=1, width=4, pool=pool, act=act)
    assert torch.isfinite(net(samples(2, 1, 6, 6))).all()


def test_convnet_refuses_vectors():
    with pytest.raises(UsageError, match="choose the architecture 'mlp' instead"):
        ConvNet((5,), 2)


@pytest.mark.parametrize(("side", "left"), [(1, 1), (5, 1), (7, 1), (8, 1), (9, 2), (12, 2), (16, 2)])
def test_convnet_pads_sides_that_are_no_multiple(side, left):
    # At depth 3 a side is brought up to the next multiple of 8, or one more where it is odd.
    net = build(ConvNet, (1, side, side), 2, depth=3, width=2)
    assert net.feature_maps(samples(2, 1, side, side))[-1].shape == (2, 2, left, left)


@pytest.mark.parametrize("feature", [(2, 8), (3, 8, 8), (1, 4, 4, 8)])
def test_a_bias_whose_mean_is_taken_away_changes_nothing_and_has_gradient_zero(feature):
    net = build(ConvNet, feature, 5, depth=2, width=6).double()
    plain = [nn.Conv1d, nn.Conv2d, nn.Conv3d][len(feature) - 2]
    with torch.no_grad():
        for block in net.blocks:
            block[0].bias.copy_(torch.linspace(-3, 3, 6))

    def reference(inputs):
        hidden = inputs
        for block in net.blocks:
            hidden = block[1:](plain.forward(block[0], hidden))
        return net.head(hidden.flatten(1))

    inputs = samples(3, *feature).double()
    parameters = dict(net.named_parameters())
    found, wanted = (
        torch.autograd.grad(way(inputs).square().sum(), list(parameters.values())) for way in (net, reference)
    )
    assert torch.allclose(net(inputs), reference(inputs), atol=1e-12)
    for name, one, other in zip(parameters, found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-9), name
    assert all(not one.any() for name, one in zip(parameters, found, strict=True) if name.endswith(".0.bias"))


def test_a_bias_before_other_normalizations_counts():
    net = build(ConvNet, (1, 8, 8), 3, depth=1, width=6, norm="layer")
    before = net(samples(2, 1, 8, 8))
    with torch.no_grad():
        net.blocks[0][0].bias.copy_(torch.linspace(-3, 3, 6))
    assert not torch.allclose(net(samples(2, 1, 8, 8)), before)
