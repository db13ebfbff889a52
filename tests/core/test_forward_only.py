"""The faster way of a ConvNet without gradients gives the numbers of the plain one."""

from __future__ import annotations

import copy

import pytest
import torch
from attar import forward_only
from attar.nets import ConvNet

WIDE = 64
TOLERANCE = 1e-5
"""Of the size of the largest; the plain path in float32 is off by up to 1e-6."""


def network(feature, **settings):
    """Return a network whose parameters are none that a fresh one has."""
    torch.manual_seed(0)
    net = ConvNet(feature, 10, **{"width": WIDE, **settings})
    with torch.no_grad():
        for name, each in net.named_parameters():
            if each.ndim == 1:
                each.copy_(torch.randn_like(each) + (name.endswith("1.weight")))
    return net


def exact(net, inputs):
    """Return the outputs of all blocks by the plain path in float64."""
    hidden, found = inputs.double(), []
    for block in copy.deepcopy(net).double().blocks:
        hidden = block(hidden)
        found.append(hidden)
    return found


def off(found, wanted):
    return float(((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-3)).detach())


@pytest.fixture
def used(monkeypatch):
    """How often the faster way was taken."""
    calls = []
    maps = forward_only.maps
    monkeypatch.setattr(
        forward_only, "maps", lambda *args, **kwargs: calls.append(1) or maps(*args, **kwargs)
    )
    return calls


@pytest.mark.parametrize(
    ("feature", "depth"),
    [
        ((1, 28, 28), 3),  # tiles in all blocks but the first
        ((3, 32, 32), 3),
        ((1, 8, 8), 2),
        ((1, 8, 8), 3),  # the last block has two positions a side, fewer than a tile
        ((2, 12, 20), 2),  # sides apart, no multiple of a tile behind the first block
        ((16, 10, 10), 1),  # too many channels for one product
        ((1, 64, 64), 2),  # several pieces
    ],
    ids=str,
)
def test_it_gives_the_numbers_of_the_plain_path(feature, depth, used):
    net = network(feature, depth=depth)
    inputs = torch.randn(11, *feature)
    before = inputs.clone()
    wanted = exact(net, inputs)
    with torch.no_grad():
        embedded, maps, logits = net.embed(inputs), net.feature_maps(inputs), net(inputs)
    assert len(used) == 3
    assert torch.equal(inputs, before)
    assert off(embedded, wanted[-1].flatten(1)) < TOLERANCE
    for found, each in zip(maps, wanted, strict=True):
        assert found.is_contiguous()
        assert off(found, each) < TOLERANCE
    with torch.no_grad():
        assert off(logits, net.head.double()(wanted[-1].flatten(1))) < TOLERANCE


@pytest.mark.parametrize("inputs", [torch.zeros(2, 1, 16, 16), torch.full((2, 1, 16, 16), 3.0)], ids=str)
def test_images_of_one_color_are_none_the_worse(inputs):
    net = network((1, 16, 16), depth=2)
    with torch.no_grad():
        assert off(net.embed(inputs), exact(net, inputs)[-1].flatten(1)) < 1e-3


def test_values_far_from_zero_lose_little():
    net = network((1, 16, 16), depth=2)
    inputs = torch.randn(3, 1, 16, 16) + 100
    plain = net.embed(inputs).detach()
    wanted = exact(net, inputs)[-1].flatten(1)
    with torch.no_grad():
        assert off(net.embed(inputs), wanted) < 20 * off(plain, wanted) + 1e-4


def test_a_batch_is_the_sum_of_its_pieces(monkeypatch):
    net = network((1, 16, 16), depth=2)
    inputs = torch.randn(7, 1, 16, 16)
    with torch.no_grad():
        whole = net.embed(inputs)
        monkeypatch.setattr(forward_only, "_POSITIONS", 2 * 256)
        assert off(net.embed(inputs), whole) < TOLERANCE
        assert net.embed(inputs[:0]).shape == (0, whole.shape[1])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"width": 32}, torch.float32),
        ({"norm": "batch"}, torch.float32),
        ({"norm": "layer"}, torch.float32),
        ({"act": "gelu"}, torch.float32),
        ({"pool": "max"}, torch.float32),
        ({}, torch.float64),
    ],
    ids=str,
)
def test_other_networks_go_the_plain_way(settings, kind, used):
    net = network((1, 16, 16), depth=2, **settings).to(kind)
    with torch.no_grad():
        net(torch.randn(2, 1, 16, 16, dtype=kind))
    assert not used


def test_gradients_and_reduced_precision_go_the_plain_way(used):
    net = network((1, 16, 16), depth=2)
    inputs = torch.randn(2, 1, 16, 16)
    net(inputs).sum().backward()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        net(inputs)
    assert not used
    assert net.blocks[0][0].weight.grad is not None
