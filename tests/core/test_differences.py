from __future__ import annotations

import pytest
import torch
from attar.differences import differences, packed, resampled, unpacked
from attar.rng import derive
from hypothesis import given
from hypothesis import strategies as st


def answered(share, runs=1, samples=400, seed=0):
    return (torch.rand(runs, samples, generator=derive(seed, "answers")) < share).to(torch.float32)


@given(st.lists(st.booleans(), max_size=40))
def test_what_was_right_survives_as_text(right):
    assert unpacked(packed(torch.tensor(right, dtype=torch.bool))).tolist() == right


def test_the_interval_is_that_of_the_paired_differences():
    ours, theirs = answered(0.8), answered(0.7, seed=1)
    found = differences({"a": ours, "b": theirs}, ["a"], ["b"])["a"]["b"]
    apart = 100 * (ours - theirs)[0].double()
    # The standard error of a mean of paired differences, and its normal interval.
    error = float(apart.std(correction=0)) / 400**0.5
    assert found.mean == pytest.approx(float(apart.mean()), abs=1e-3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert (found.high + found.low) / 2 == pytest.approx(found.mean, abs=0.3 * error)


def test_pairing_narrows_it():
    # Who errs on the same samples differs by little, however many these are.
    ours = answered(0.6)
    theirs = ours.clone()
    theirs[0, :8] = 1 - ours[0, :8]
    alike = differences({"a": ours, "b": theirs}, ["a"], ["b"])["a"]["b"]
    other = differences({"a": ours, "b": answered(0.6, seed=1)}, ["a"], ["b"])["a"]["b"]
    assert alike.high - alike.low < 0.3 * (other.high - other.low)


def test_runs_are_resampled_as_well():
    # Every sample of a run is answered alike, so that resampling samples changes nothing.
    runs = torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None].expand(4, 50)
    means = resampled({"a": runs})["a"]
    assert float(means.mean()) == pytest.approx(50, abs=3)
    # Of the mean of four draws from {0, 100}: 50 / √4.
    assert float(means.std()) == pytest.approx(25, rel=0.1)


def test_equals_do_not_differ():
    ours = answered(0.6)
    found = differences({"a": ours, "b": ours}, ["a", "b"], ["b"])
    assert (found["a"]["b"].low, found["a"]["b"].mean, found["a"]["b"].high) == (0, 0, 0)
    assert found["b"] == {}


def test_nothing_to_compare_is_no_harm():
    assert differences({}, [], []) == {}
