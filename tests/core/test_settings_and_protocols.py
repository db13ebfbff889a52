from __future__ import annotations

import math
import re
from typing import Literal

import pytest
import torch
from attar.errors import UsageError
from attar.optim import OptimSpec
from attar.protocols import CPU_1, PROTOCOLS, PUBLISHED, protocol
from attar.reports import Score
from attar.settings import Settings, parse, unknown
from pydantic import Field, ValidationError
from torch import nn


class Inner(Settings):
    depth: int = 1


class Outer(Settings):
    lr: float = Field(gt=0)
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "the setting 'o.lr' is missing; add it"),
        (
            {"lr": 1, "knd": "a"},
            "unknown setting 'o.knd': did you mean 'o.kind'? choose from o.inner, o.kind, o.lr",
        ),
        (
            {"lr": 1, "inner": {"dpth": 1}},
            "unknown setting 'o.inner.dpth': did you mean 'o.inner.depth'? choose from o.inner.depth",
        ),
        ({"lr": 0}, "o.lr = 0 does not fit: input should be greater than 0"),
        ({"lr": "fast"}, "o.lr = 'fast' does not fit: input should be a valid number"),
        ({"lr": float("nan")}, "o.lr = nan does not fit: input should be a finite number"),
        ({"lr": 1, "kind": "c"}, "o.kind = 'c' does not fit: input should be 'a' or 'b'"),
        ({"lr": 1, "inner": 3}, "o.inner = 3 does not fit: it must be a table of settings"),
    ],
)
def test_what_is_wrong_with_settings_is_one_sentence(values, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)):
        parse(Outer, values, "o")


def test_settings_convert_what_a_user_wrote():
    assert parse(Outer, {"lr": "0.1", "inner": {"depth": "3"}}, "o") == Outer(lr=0.1, inner=Inner(depth=3))


def test_settings_at_the_top_have_no_prefix():
    with pytest.raises(UsageError, match="unknown setting 'x': choose from inner, kind, lr"):
        parse(Outer, {"lr": 1, "x": 1}, "")


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Outer(lr=1).lr = 2


def test_unknown_without_choices():
    assert unknown("thing", "x", []) == "unknown thing 'x': there are none; leave it out"


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_an_optimizer_is_built_with_its_settings(name, kind):
    built = OptimSpec(name=name, lr=0.5, weight_decay=0.25).build([nn.Parameter(torch.zeros(1))])
    assert type(built) is kind
    assert (built.param_groups[0]["lr"], built.param_groups[0]["weight_decay"]) == (0.5, 0.25)


def test_momentum_reaches_sgd():
    assert (
        OptimSpec(lr=1, momentum=0.5).build([nn.Parameter(torch.zeros(1))]).param_groups[0]["momentum"] == 0.5
    )


def test_protocols_are_named_after_themselves():
    assert {name: each.name for name, each in PROTOCOLS.items()} == {
        "cpu-1": "cpu-1",
        "published": "published",
    }
    assert (CPU_1.epochs, CPU_1.networks) == (300, 3)
    assert (PUBLISHED.epochs, PUBLISHED.steps, PUBLISHED.networks) == (1000, None, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2},
        {"steps": 3},
        {"batch": 9},
        {"drop": 0.5},
        {"networks": 1},
        {"augment": False},
        {"plateau": None},
    ],
)
def test_a_digest_changes_with_every_setting(changes):
    changed = CPU_1.model_copy(update=changes)
    assert changed.digest() != CPU_1.digest()
    assert CPU_1.digest() == CPU_1.model_copy().digest()


def test_a_changed_protocol_is_called_otherwise():
    assert protocol("cpu-1") is CPU_1
    changed = protocol("cpu-1", {"epochs": "3"})
    assert (changed.name, changed.epochs, changed.batch) == ("cpu-1*", 3, CPU_1.batch)


def test_a_protocol_cannot_keep_its_name_when_changed():
    assert protocol("cpu-1", {"name": "published", "epochs": 3}).name == "cpu-1*"


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("cpu", {}, "unknown protocol 'cpu': did you mean 'cpu-1'? choose from cpu-1, published"),
        ("cpu-1", {"epoch": 3}, "unknown setting 'protocol.epoch': did you mean 'protocol.epochs'?"),
        ("cpu-1", {"epochs": 0}, "protocol.epochs = 0 does not fit"),
        ("cpu-1", {"select": "test"}, "protocol.select = 'test' does not fit: input should be 'last'"),
    ],
)
def test_a_wrong_protocol_is_one_sentence(name, changes, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        protocol(name, changes)


def test_a_score_has_the_population_standard_deviation():
    score = Score.of([80.0, 90.0, 100.0])
    assert (score.mean, score.n) == (90.0, 3)
    assert score.std == pytest.approx((200 / 3) ** 0.5, abs=1e-4)
    assert str(score) == "90.0 ± 8.2"


def test_a_single_run_has_no_spread():
    assert Score.of([50.0]) == Score(mean=50.0, std=0.0, n=1)


def test_a_relative_step_size_is_in_units_of_what_it_steps():
    small = nn.Parameter(torch.tensor([[-0.002, 0.002], [0.002, -0.002]]))
    relative = OptimSpec(name="adam", lr=0.5, relative=True)
    assert relative.unit([small]) == pytest.approx(0.002)
    assert relative.build([small]).param_groups[0]["lr"] == pytest.approx(0.001)
    assert OptimSpec(name="adam", lr=0.5).unit([small]) == 1


@pytest.mark.parametrize("values", [[], [3.0, 3.0], [float("inf"), 0.0]])
def test_what_has_no_spread_is_stepped_by_the_step_size_itself(values):
    assert OptimSpec(lr=0.5, relative=True).unit([nn.Parameter(torch.tensor(values))]) == 1


def test_a_step_size_falls_along_half_a_cosine():
    spec = OptimSpec(lr=2.0, final=0.25)
    # Loshchilov and Hutter 2017, equation 5, with a minimum of lr · final.
    wanted = [0.5 + 1.5 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]
    assert [spec.rate(step, 5) for step in range(5)] == pytest.approx(wanted)
    assert (spec.rate(0, 5), spec.rate(4, 5)) == pytest.approx((2.0, 0.5))


def test_a_constant_step_size_is_exact():
    assert {OptimSpec(lr=0.1).rate(step, 7) for step in range(7)} == {0.1}
    assert OptimSpec(lr=0.1, final=0).rate(0, 1) == 0.1
