from __future__ import annotations

import math

import pytest
import torch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.parameterizations.bases import BASES, Bases, BasesSettings, base_count
from attar.registry import Registry
from attar.rng import derive
from attar.sizing import initial_batch
from hypothesis import assume, given
from hypothesis import strategies as st


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"))


def made(values, seed=0, **settings):
    return BASES.initialize(values, BasesSettings(**settings), derive(seed, "bases"))


def floats(module):
    return sum(each.numel() for each in module.stored().values())


def test_samples_are_weighted_sums_of_bases():
    # Deng and Russakovsky, NeurIPS 2022, equation 3: x_i = sum_k c_ik B_k
    bases, coefficients = random(3, 2, 4, seed=1), random(6, 3, seed=2)
    values, _ = Bases(bases, coefficients, 2)()
    assert values.shape == (6, 2, 4)
    for sample, row in zip(values, coefficients.tolist(), strict=True):
        expected = sum(weight * base for weight, base in zip(row, bases, strict=True))
        torch.testing.assert_close(sample, expected)


def test_samples_of_one_stored_sample_follow_one_another():
    assert BASES.packs(BasesSettings(decodes=3), (5,)) == 3
    _, owner = made(random(12, 5), decodes=3)()
    assert owner.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(("m", "feature", "count"), [(6, (3, 4), 6), (12, (2, 2), 4), (12, (2, 2), 9)])
def test_starts_at_its_values_where_bases_span_them(m, feature, count):
    values = random(m, *feature)
    torch.testing.assert_close(made(values, decodes=3, count=count)()[0], values, rtol=1e-4, atol=1e-5)


def test_as_many_bases_as_the_rank_are_enough():
    values = random(12, 2, seed=1) @ random(2, 30, seed=2)
    torch.testing.assert_close(made(values, decodes=3, count=2)()[0], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_no_bases_come_closer_to_the_values_at_the_start(count):
    # Eckart and Young: the best of rank K misses the root of the sum of the other squared
    # singular values.
    values = random(8, 3, 5)
    start = made(values, decodes=2, count=count)()[0].detach()
    missed = torch.linalg.norm((start - values).double())
    best = torch.linalg.svdvals(values.flatten(1).double())[count:].square().sum().sqrt()
    assert float(missed) == pytest.approx(float(best), rel=1e-5)


def test_bases_have_the_spread_of_samples():
    values = 7 * random(8, 30)
    spreads = made(values, decodes=2, count=4).bases.square().mean(1).sqrt()
    torch.testing.assert_close(spreads, values.square().mean().sqrt().expand(4))


def test_bases_that_the_values_leave_over_are_random_and_used_by_none():
    values = random(12, 4)
    one, again, other = (made(values, seed, decodes=3, count=6) for seed in (0, 0, 1))
    assert torch.equal(one.bases, again.bases)
    assert not torch.isclose(one.bases[4:], other.bases[4:]).any()
    assert torch.equal(one.coefficients[:, 4:], torch.zeros(12, 2))


def test_values_of_zero_are_a_start_too():
    values, _ = made(torch.zeros(8, 5), decodes=2)()
    assert torch.equal(values, torch.zeros(8, 5))


@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 5000))
def test_bases_and_coefficients_fit_the_place_of_plain_samples(stored, decodes, size):
    def needed(count):
        return count * size + stored * decodes * count

    count = base_count(stored, decodes, size)
    # Less than one base there cannot be.
    assert needed(count) <= stored * size or count == 1
    assert needed(count + 1) > stored * size


@given(
    stored=st.integers(1, 12),
    decodes=st.integers(1, 6),
    feature=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_stores_no_more_than_plain_samples(stored, decodes, feature):
    size = math.prod(feature)
    assume(size + stored * decodes <= stored * size)
    module = made(random(stored * decodes, *feature), decodes=decodes)
    assert floats(module) <= stored * size


def test_takes_as_many_bases_as_set():
    module = made(random(12, 5), decodes=3, count=2)
    assert (module.bases.shape, module.coefficients.shape) == ((2, 5), (12, 2))


def test_more_bases_than_samples_are_refused():
    with pytest.raises(UsageError, match=r"7 bases for 6 samples .* lower parameterization\.count"):
        made(random(6, 5), decodes=3, count=7)


@pytest.mark.parametrize("shape", [(6, 2), (6, 4), (6,), (2, 3, 3)])
def test_coefficients_that_do_not_fit_the_bases_are_refused(shape):
    tensors = {"bases": random(3, 5), "coefficients": random(*shape)}
    with pytest.raises(UsageError, match="3 bases do not fit the coefficients; the set is damaged"):
        BASES.restore(BasesSettings(decodes=3), tensors)


def test_a_set_of_bases_has_the_labels_and_the_size_of_a_plain_one(blobs):
    task, each, stored = blobs(feature=(1, 8, 8)), 4, 5
    init = initial_batch(task, "real", [stored * each] * 3, 0, Registry())
    spec = SetSpec(parameterization="bases", settings={"decodes": each})
    syn = task.synthesize(init, spec, derive(0))
    batch = syn.decode()
    assert batch.inputs.shape == (stored * each * 3, 1, 8, 8)
    assert torch.equal(batch.labels, init.labels)
    assert syn.labels.tolist() == [0] * stored + [1] * stored + [2] * stored
    plain = task.synthesize(initial_batch(task, "real", [stored] * 3, 0, Registry()), SetSpec(), derive(0))
    assert 0.8 * plain.nbytes() < syn.nbytes() <= plain.nbytes()
