from __future__ import annotations

import pickle

import cloudpickle
import pytest
import torch
from attar.architectures import adapted, capability, coupled
from attar.architectures.adapt import Embedded
from attar.errors import UsageError
from attar.rng import derive
from torch import nn


def stack(*more):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), *more, nn.Linear(5, 3))


def test_the_embedding_is_what_enters_the_last_linear_layer():
    model, inputs = stack(), torch.randn(2, 4, generator=derive(0))
    wrapped = Embedded(model)
    assert torch.equal(wrapped.embed(inputs), model[:3](inputs))
    assert torch.equal(wrapped(inputs), model(inputs))


def test_the_last_layer_is_the_one_called_last_however_it_is_called():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body = nn.Linear(5, 3), nn.Linear(4, 5)

        def forward(self, inputs):
            return self.head(input=self.body(inputs))

    model, inputs = Odd(), torch.randn(2, 4, generator=derive(0))
    assert torch.equal(Embedded(model).embed(inputs), model.body(inputs))


def test_more_than_vectors_are_flattened():
    model = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.Linear(4, 3), nn.Flatten())
    assert Embedded(model).embed(torch.zeros(2, 1, 4)).shape == (2, 8)


def test_no_hook_is_left_behind_even_by_a_failure():
    wrapped = Embedded(stack())
    wrapped.embed(torch.zeros(2, 4))
    with pytest.raises(RuntimeError):
        wrapped.embed(torch.zeros(2, 7))
    assert not any(module._forward_pre_hooks for module in wrapped.modules())


def test_a_linear_layer_that_is_never_called_gives_no_embedding():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(4, 3)

        def forward(self, inputs):
            return inputs[:, :3]

    with pytest.raises(UsageError, match="the model Idle calls no linear layer, so its embedding is unknown"):
        Embedded(Idle()).embed(torch.zeros(2, 4))


def test_the_embedding_is_differentiable_twice():
    wrapped = Embedded(stack()).double()
    inputs = torch.randn(2, 4, generator=derive(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(wrapped.embed, inputs)
    assert torch.autograd.gradgradcheck(wrapped.embed, inputs)


def test_the_embedding_works_under_functional_transforms():
    wrapped, inputs = Embedded(stack()), torch.randn(2, 4, generator=derive(0))
    weights = {name: parameter.detach() * 2 for name, parameter in wrapped.named_parameters()}

    class Embeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = wrapped

        def forward(self, values):
            return self.inner.embed(values)

    def total(values):
        named = {f"inner.{name}": value for name, value in weights.items()}
        return torch.func.functional_call(Embeds(), named, (values,)).pow(2).sum()

    first = wrapped.model[1]
    expected = torch.tanh(inputs @ (2 * first.weight).T + 2 * first.bias).pow(2).sum()
    assert torch.allclose(total(inputs), expected)
    assert torch.func.grad(total)(inputs).shape == (2, 4)
    assert torch.func.vmap(wrapped.embed)(inputs[:, None]).shape == (2, 1, 5)


@pytest.mark.parametrize("through", [pickle, cloudpickle])
def test_a_wrapped_network_can_be_sent_to_another_process(through):
    wrapped, inputs = Embedded(stack()), torch.randn(2, 4, generator=derive(0))
    again = through.loads(through.dumps(wrapped))
    assert torch.equal(again.embed(inputs), wrapped.embed(inputs))


class Custom(nn.Module):
    def __init__(self, inner, **said):
        super().__init__()
        self.inner = inner
        for name, value in said.items():
            setattr(self, name, value)

    def forward(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (stack(), False),
        (stack(nn.GroupNorm(1, 5), nn.Dropout(0.1), nn.LayerNorm(5)), False),
        (stack(nn.BatchNorm1d(5)), True),
        (stack(nn.SyncBatchNorm(5)), True),
        (stack(nn.Softmax(dim=0)), True),
        (stack(Custom(nn.Identity())), True),
        (Custom(stack()), True),
        (Custom(stack(), coupled=False), False),
    ],
    ids=["stack", "norms", "batch", "sync", "softmax", "part", "custom", "stated"],
)
def test_only_plain_stacks_and_those_that_say_so_are_not_coupled(model, expected):
    assert coupled(Embedded(model)) is expected


def test_methods_of_the_network_stay_its_own():
    wrapped = Embedded(Custom(stack(), feature_maps=lambda inputs: [inputs]))
    assert capability(wrapped, "feature_maps")(3) == [3]
    with pytest.raises(AttributeError):
        _ = wrapped.nothing
    with pytest.raises(AttributeError):
        _ = wrapped._nothing


def test_a_network_without_a_linear_layer_is_left_as_it_is():
    model = nn.Sequential(nn.Conv1d(1, 3, 4), nn.Flatten())
    assert adapted(model) is model
