from __future__ import annotations

import re

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.recipe import SizeRecipe
from attar.registry import Registry
from attar.rng import derive
from attar.sizing import allocate, initial_batch
from attar.testing import toy_task
from hypothesis import given
from hypothesis import strategies as st

COUNTS = (60, 30, 10)


def share(counts=COUNTS, *, one=10, everything=None, **size):
    names = [f"c{index}" for index in range(len(counts))]
    return allocate(SizeRecipe(**size), torch.tensor(counts), lambda: one, names=names, everything=everything)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ({"ipc": 4}, [4, 4, 4]),
        ({"total": 12}, [4, 4, 4]),
        ({"total": 11}, [4, 4, 3]),
        ({"ratio": 0.1}, [4, 3, 3]),
        ({"bytes": 129}, [4, 4, 4]),
        ({"total": 10, "balance": "proportional"}, [5, 3, 2]),
        ({"total": 3, "balance": "proportional"}, [1, 1, 1]),
        ({"total": 100, "balance": "proportional"}, [59, 30, 11]),
    ],
)
def test_every_kind_of_size(size, wanted):
    assert share(**size, policy="repeat") == wanted


def test_a_ratio_can_refer_to_more_than_the_training_samples():
    assert sum(share(ratio=0.01, everything=600)) == 6


def test_classes_without_samples_get_none():
    assert share((5, 0, 5), ipc=2) == [2, 0, 2]
    assert share((5, 0, 5), total=5) == [3, 0, 2]
    assert share((5, 0, 5), total=4, balance="proportional") == [2, 0, 2]


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=8).filter(any),
    st.integers(0, 300),
    st.sampled_from(["balanced", "proportional"]),
)
def test_shares_add_up_and_leave_no_class_out(counts, more, balance):
    total = sum(count > 0 for count in counts) + more
    found = share(tuple(counts), total=total, balance=balance, policy="repeat")
    assert sum(found) == total
    assert all((n > 0) == (have > 0) for n, have in zip(found, counts, strict=True))


@pytest.mark.parametrize(("policy", "wanted"), [("repeat", [20, 20, 20]), ("cap", [20, 20, 10])])
def test_policies_for_small_classes(policy, wanted):
    assert share(ipc=20, policy=policy) == wanted


def test_a_small_class_is_named_by_default():
    sentence = "20 samples of class 'c2' are asked for, but it has 10 for training; ask for fewer, or choose"
    with pytest.raises(UsageError, match=re.escape(sentence)):
        share(ipc=20)


@pytest.mark.parametrize("size", [{"total": 2}, {"ratio": 0.01}, {"bytes": 29}])
def test_a_set_smaller_than_the_classes_is_refused(size):
    with pytest.raises(UsageError, match="cannot hold one of each of the 3 classes; make it larger"):
        share(**size)


def start(task, kind, per_class, seed=0):
    return initial_batch(task, kind, per_class, seed, Registry())


def is_real(task, batch):
    real = task.vectors(torch.arange(len(task.labels)))
    return [bool((real == row).all(1).any()) for row in batch.inputs.flatten(1)]


@pytest.mark.parametrize("kind", ["real", "herding", "k-center", "random"])
def test_real_kinds_start_at_real_samples(blobs, kind):
    task = blobs()
    batch = start(task, kind, [2, 0, 3])
    assert batch.labels.tolist() == [0, 0, 2, 2, 2]
    assert all(is_real(task, batch))


@pytest.mark.parametrize("kind", ["real", "noise", "herding"])
def test_starts_depend_on_the_seed_alone(blobs, kind):
    task = blobs()
    assert start(task, kind, [2, 2, 2]).inputs.equal(start(task, kind, [2, 2, 2]).inputs)
    same = start(task, kind, [2, 2, 2]).inputs.equal(start(task, kind, [2, 2, 2], seed=1).inputs)
    assert same is (kind == "herding")


def test_a_class_s_start_does_not_depend_on_the_others(blobs):
    task = blobs()
    assert start(task, "real", [3, 2, 2]).of(2).inputs.equal(start(task, "real", [1, 0, 2]).of(2).inputs)


def test_noise_is_standard_normal(blobs):
    batch = start(blobs(), "noise", [200, 200, 200])
    assert not any(is_real(blobs(), batch))
    assert abs(float(batch.inputs.mean())) < 0.1
    assert float(batch.inputs.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", ["real", "herding"])
def test_missing_samples_are_repeated_with_a_little_noise(blobs, kind):
    task = blobs(counts=(4, 24, 24))
    have = int(task.counts[0])
    batch = start(task, kind, [3 * have + 1, 1, 1])
    own = batch.of(0).inputs
    assert len(own) == 3 * have + 1
    assert is_real(task, batch.of(0)) == [True] * have + [False] * (2 * have + 1)
    assert len(own.unique(dim=0)) == len(own)
    away = own[have:] - own[torch.arange(2 * have + 1) % have]
    assert 0 < float(away.std()) < 0.1


def test_an_unknown_start_is_refused(blobs):
    with pytest.raises(UsageError, match="'pure-noise'"):
        start(blobs(), "pure-noise", [1, 1, 1])


def test_a_generator_of_another_purpose_is_not_consumed(blobs):
    task = blobs()
    assert start(task, "real", [2, 0, 0]).inputs.equal(task.draw(2, derive(0, "init", 0), [0]).inputs)


@pytest.mark.parametrize("size", [{"budget": 10**12}, {"budget": 10**30}, {"ipc": 10**10}, {"size": 10**30}])
@pytest.mark.parametrize("method", ["random", "dm"])
def test_a_set_that_no_memory_holds_is_refused_before_any_is_taken(size, method):
    task = toy_task((4,), modality="tensor")
    with pytest.raises(
        UsageError, match=r"memory are free; ask for a smaller one|larger than any can be|does not fit"
    ):
        attar.distill(task, method=method, ipc_policy="repeat", **size)
