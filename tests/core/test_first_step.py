"""Own models that give logits, and what happens where a method differentiates them."""

from __future__ import annotations

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.testing import toy_task
from torch import nn
from torch.nn import functional

SHAPE = (1, 8, 8)
EXPERTS = {"count": 1, "epochs": 2, "span": 1}
QUICK = {
    **{name: {**EXPERTS, "earliest": 0, "latest": 1} for name in ("mtt", "tesla", "datm")},
    "sfgc": {**EXPERTS, "structure": ""},
}
# Those on any data whose models need nothing but logits and an embedding.
METHODS = [
    *("dc", "dsa", "idc", "one-step", "dd", "rtp", "rat-bptt", "mtt", "tesla", "datm"),
    *("dm", "idm", "ncfm", "frepo", "m3d", "sfgc"),
]


class Base(nn.Module):
    def __init__(self, feature, classes):
        super().__init__()
        self.body = nn.Linear(64, 16)
        self.head = nn.Linear(16, classes)

    def hidden(self, inputs):
        return self.body(inputs.flatten(1)).relu()

    def forward(self, inputs):
        return self.head(self.hidden(inputs))


class Unused(Base):
    """Has a second head that inference does not use."""

    def __init__(self, feature, classes):
        super().__init__(feature, classes)
        self.auxiliary = nn.Linear(16, classes)


class Attends(Base):
    def hidden(self, inputs):
        hidden = super().hidden(inputs).view(-1, 1, 4, 4)
        return functional.scaled_dot_product_attention(hidden, hidden, hidden).flatten(1)


class Shifts(Base):
    def forward(self, inputs):
        inputs -= inputs.mean()
        return super().forward(inputs)


class Distances(Base):
    def hidden(self, inputs):
        return -torch.cdist(super().hidden(inputs), self.head.weight[:, :16], p=3.0).repeat(1, 8)[:, :16]


class Cut(Base):
    def forward(self, inputs):
        return super().forward(inputs).detach()


class Deaf(Base):
    def hidden(self, inputs):
        return super().hidden(inputs.detach())


@pytest.fixture(autouse=True)
def readable(monkeypatch):
    """Experts are kept by the code of their model, which that of a test is not."""
    monkeypatch.setattr("attar.experts.code_of", lambda *about: "code")


def distill(method, model, **settings):
    task = toy_task(SHAPE, n=12, modality="tensor")
    return attar.distill(task, method=method, ipc=1, steps=1, model=model, **settings)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_that_forward_does_not_use_have_no_part(method):
    artifact = distill(method, Unused, **QUICK.get(method, {}))
    assert torch.isfinite(artifact.decode().inputs).all()


def test_an_unused_parameter_changes_nothing_of_a_gradient_that_is_matched():
    # The second head is drawn last, so that the others begin alike.
    unused, base = (distill("dc", model).decode().inputs for model in (Unused, Base))
    assert torch.equal(unused, base)


@pytest.mark.parametrize("method", ["dc", "dd", "tesla"])
def test_attention_is_differentiated_twice(method):
    assert len(distill(method, Attends, **QUICK.get(method, {})).decode()) == 3


SENTENCES = {
    "in place": (
        "dm",
        Shifts,
        "changes its inputs in place, which belong to the data; let it compute new ones",
    ),
    "in place, twice": ("dc", Shifts, "changes its inputs in place"),
    "no second derivative": (
        "dc",
        Distances,
        r"differentiates twice, .* choose a method that differentiates once",
    ),
    "no gradient": (
        "dm",
        Cut,
        "do not depend on parameters that can be trained; leave out what cuts them off",
    ),
    "no gradient to the set": ("dc", Deaf, "no gradient comes back through the model .* to its inputs"),
}


@pytest.mark.parametrize(("method", "model", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_a_method_cannot_differentiate_is_refused_before_any_work(method, model, sentence):
    with pytest.raises(UsageError, match=sentence):
        distill(method, model)


def test_what_has_no_second_derivative_serves_a_method_that_takes_one():
    assert len(distill("dm", Distances).decode()) == 3


def test_an_evaluation_refuses_what_cannot_be_trained():
    task = toy_task(SHAPE, n=12, modality="tensor")
    made = attar.distill(task, method="random", ipc=1)
    with pytest.raises(UsageError, match="do not depend on parameters that can be trained"):
        attar.evaluate(made, task, model=Cut, baselines=(), workers=1)
