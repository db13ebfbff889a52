"""Gradients shortened to the running mean of their norm."""

from __future__ import annotations

import math

import pytest
import torch
from attar.checkpoint import pack, unpack
from attar.optim import OptimSpec
from torch import nn

LENGTHS = (5.0, 2.0, 20.0, 1.0, 4.0, 0.5, 8.0, 8.0)
DIRECTIONS = [torch.tensor(each, dtype=torch.float64) for each in ([0.6, 0.0], [[0.0], [-0.8]])]
"""Of two parameters, of norm 1 together."""


def made(clip=0.75, name="sgd"):
    parameters = [nn.Parameter(torch.zeros_like(each)) for each in DIRECTIONS]
    return parameters, OptimSpec(name=name, lr=1.0, clip=clip).build(parameters)


def step(parameters, optimizer, length):
    """Step with gradients of a norm, and return by what they moved the parameters."""
    before = [each.detach().clone() for each in parameters]
    for each, direction in zip(parameters, DIRECTIONS, strict=True):
        each.grad = length * direction
    optimizer.step()
    return [old - each.detach() for old, each in zip(before, parameters, strict=True)]


def norm(move):
    return math.sqrt(sum(float((each**2).sum()) for each in move))


def by_hand(lengths, clip):
    """Norms after shortening: to the mean before, which then takes in the norm as it was."""
    mean, found = lengths[0], []
    for length in lengths:
        found.append(min(length, mean))
        mean = clip * mean + (1 - clip) * length
    return found


@pytest.mark.parametrize("clip", [0.1, 0.75, 0.9])
def test_gradients_are_shortened_to_the_running_mean_of_their_norms(clip):
    parameters, optimizer = made(clip)
    found = [norm(step(parameters, optimizer, length)) for length in LENGTHS]
    assert found == pytest.approx(by_hand(LENGTHS, clip), rel=1e-9)
    assert found != pytest.approx(LENGTHS, rel=0.1)


def test_the_norm_is_that_of_all_gradients_together():
    parameters, optimizer = made()
    step(parameters, optimizer, 3.0)
    for each, values in zip(parameters, ([0.0, 10.0], [[0.0], [0.0]]), strict=True):
        each.grad = torch.tensor(values, dtype=torch.float64)
    optimizer.step()
    # The mean is the root of 1.8² + 2.4², not their sum.
    found = [each.grad.flatten().tolist() for each in parameters]
    assert found == [pytest.approx([0.0, 3.0]), pytest.approx([0.0, 0.0])]


def test_the_first_gradient_is_left_alone():
    assert norm(step(*made(), 1000.0)) == pytest.approx(1000.0)


def test_the_mean_takes_in_the_norm_before_shortening():
    parameters, optimizer = made(0.75)
    for length in (4.0, 400.0):
        step(parameters, optimizer, length)
    # 0.75 · 4 + 0.25 · 400, where the shortened norm would leave 4.
    assert norm(step(parameters, optimizer, 1000.0)) == pytest.approx(103.0)


@pytest.mark.parametrize("length", [0.5, 3.0, 50.0])
def test_the_direction_is_kept(length):
    parameters, optimizer = made()
    step(parameters, optimizer, 3.0)
    move = step(parameters, optimizer, length)
    for each, direction in zip(move, DIRECTIONS, strict=True):
        assert torch.allclose(each, min(length, 3.0) * direction)


def test_a_gradient_of_zero_stays_zero_and_a_mean_begins_with_the_first_other_one():
    parameters, optimizer = made()
    assert norm(step(parameters, optimizer, 0.0)) == 0
    assert norm(step(parameters, optimizer, 6.0)) == pytest.approx(6.0)
    assert norm(step(parameters, optimizer, 60.0)) == pytest.approx(6.0)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_the_mean_does_not_take_in_what_is_not_finite(bad):
    parameters, optimizer = made()
    step(parameters, optimizer, 2.0)
    step(parameters, optimizer, bad)
    with torch.no_grad():
        for each in parameters:
            each.zero_()
    assert norm(step(parameters, optimizer, 10.0)) == pytest.approx(2.0)


def test_parameters_without_a_gradient_are_left_out():
    parameters, optimizer = made()
    for length in (1.0, 10.0):
        parameters[0].grad = length * torch.tensor([1.0, 0.0], dtype=torch.float64)
        optimizer.step()
    assert parameters[0].tolist() == [-2.0, 0.0]
    assert parameters[1].abs().max() == 0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_mean_survives_saving(name):
    whole, other = made(name=name), made(name=name)
    moves = [step(*whole, length) for length in LENGTHS]
    for length in LENGTHS[:3]:
        step(*other, length)
    # As a checkpoint has it.
    state = unpack(*pack(other[1].state_dict()))
    again = made(name=name)
    with torch.no_grad():
        for fresh, old in zip(again[0], other[0], strict=True):
            fresh.copy_(old)
    again[1].load_state_dict(state)
    for length, expected in zip(LENGTHS[3:], moves[3:], strict=True):
        assert all(map(torch.equal, step(*again, length), expected))


def test_adam_sees_the_shortened_gradients():
    clipped, plain = made(name="adam"), made(clip=0.0, name="adam")
    for length, shortened in zip(LENGTHS, by_hand(LENGTHS, 0.75), strict=True):
        for one, other in zip(step(*clipped, length), step(*plain, shortened), strict=True):
            assert torch.allclose(one, other, rtol=1e-9)


def test_without_clipping_the_optimizer_is_pytorchs():
    parameters, optimizer = made(clip=0.0)
    assert optimizer.param_groups[0].keys() == torch.optim.SGD(parameters, lr=1.0).param_groups[0].keys()
    assert [norm(step(parameters, optimizer, length)) for length in LENGTHS] == pytest.approx(LENGTHS)
