from __future__ import annotations

import itertools
import math

import pytest
import torch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.parameterizations import frequency
from attar.parameterizations.frequency import FREQUENCY, Frequency, FrequencySettings, cosine_matrix
from attar.registry import Registry
from attar.rng import derive
from attar.sizing import initial_batch
from hypothesis import assume, given
from hypothesis import strategies as st

FEATURES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"))


def made(values, **settings):
    return FREQUENCY.initialize(values, FrequencySettings(**settings), torch.Generator())


def wave(frequency, position, side):
    # The orthonormal cosine transform of type II:
    # sqrt((2 - [f = 0]) / n) cos(pi f (p + 1/2) / n)
    return math.sqrt((1 if frequency == 0 else 2) / side) * math.cos(
        math.pi * frequency * (position + 0.5) / side
    )


def places(sides):
    return list(itertools.product(*(range(side) for side in sides)))


def slow_transform(values, sides):
    """The coefficients of values over positions of these sides, in order."""
    found = []
    for frequencies in places(sides):
        total = 0.0
        for positions, value in zip(places(sides), values, strict=True):
            total += value * math.prod(map(wave, frequencies, positions, sides))
        found.append(total)
    return found


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_cosine_matrix_holds_the_waves(side):
    expected = torch.tensor(
        [[wave(f, p, side) for p in range(side)] for f in range(side)], dtype=torch.float64
    )
    torch.testing.assert_close(cosine_matrix(side), expected)


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_cosine_matrix_is_orthonormal(side):
    matrix = cosine_matrix(side)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(side, dtype=torch.float64))


@pytest.mark.parametrize("feature", [(6,), (2, 5), (2, 3, 4), (2, 2, 3, 2)])
def test_coefficients_are_those_of_all_axes_but_channels(feature):
    # Of a vector the only axis is transformed.
    sides = feature[1:] or feature
    values = random(3, *feature)
    expected = [
        [
            each
            for channel in sample.view(-1, math.prod(sides))
            for each in slow_transform(channel.tolist(), sides)
        ]
        for sample in values
    ]
    torch.testing.assert_close(made(values, decodes=1).coefficients.detach(), torch.tensor(expected))


@pytest.mark.parametrize("feature", [(7,), (3, 8), (2, 4, 6), (1, 4, 4, 4)])
def test_starts_at_its_values_where_all_is_kept(feature):
    values = random(5, *feature)
    torch.testing.assert_close(made(values, decodes=1)()[0], values, rtol=1e-4, atol=1e-5)


def test_what_is_left_out_is_zero():
    kept, coefficients = torch.tensor([1, 4, 5]), random(2, 3)
    values, _ = Frequency(coefficients, kept, (2, 3), 2)()
    again = made(values, decodes=1).coefficients.detach()
    expected = torch.zeros(2, 6).index_copy(1, kept, coefficients)
    torch.testing.assert_close(again, expected)


def test_samples_of_one_stored_sample_follow_one_another():
    assert FREQUENCY.packs(FrequencySettings(decodes=3), (12,)) == 3
    _, owner = made(random(12, 12), decodes=3)()
    assert owner.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_coefficients_of_most_energy_are_kept():
    values = random(8, 2, 12) * torch.linspace(0.2, 2, 12)
    module = made(values, decodes=2)
    energy = [0.0] * 24
    for sample in values:
        found = [each for channel in sample for each in slow_transform(channel.tolist(), (12,))]
        energy = [one + other**2 for one, other in zip(energy, found, strict=True)]
    most = sorted(range(24), key=lambda place: -energy[place])[: len(module.kept)]
    assert module.kept.tolist() == sorted(most)
    assert 8 < len(module.kept) < 12


def test_values_of_few_frequencies_are_kept_whole():
    coefficients, kept = random(8, 3), torch.tensor([2, 9, 31])
    values = Frequency(coefficients, kept, (2, 4, 4), 4)()[0].detach()
    module = made(values, decodes=4)
    assert set(kept.tolist()) < set(module.kept.tolist())
    torch.testing.assert_close(module()[0], values, rtol=1e-4, atol=1e-5)


@given(stored=st.integers(1, 12), decodes=st.integers(2, 6), feature=FEATURES)
def test_stores_no_more_than_plain_samples(stored, decodes, feature):
    module = made(random(stored * decodes, *feature), decodes=decodes)
    # Less than one coefficient there cannot be.
    assume(len(module.kept) > 1)
    tensors = module.stored()
    assert set(tensors) == {"coefficients", "kept", "feature"}
    found = sum(each.numel() * each.element_size() for each in tensors.values())
    assert found <= stored * math.prod(feature) * 4


@given(stored=st.integers(1, 12), decodes=st.integers(1, 6), feature=FEATURES)
def test_whatever_is_stored_can_be_restored(stored, decodes, feature):
    assume(decodes <= math.prod(feature))
    module = made(random(stored * decodes, *feature), decodes=decodes)
    again = FREQUENCY.restore(FrequencySettings(decodes=decodes), module.stored())
    assert torch.equal(again()[0], module()[0])


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (2**8, torch.uint8),
        (2**8 + 1, torch.int16),
        (2**15, torch.int16),
        (2**15 + 1, torch.int32),
    ],
)
def test_places_are_stored_in_the_smallest_type_that_holds_them(size, kind):
    kept = Frequency(torch.zeros(1, 1), torch.tensor([size - 1]), (size, 1), 1).stored()["kept"]
    assert (kept.dtype, kept.tolist()) == (kind, [size - 1])


def refuse(side):
    pytest.fail(f"memory for {side} positions was asked for")


@pytest.mark.parametrize(
    "damage",
    [
        {"kept": torch.tensor([0, 1, 1])},
        {"kept": torch.tensor([0, 1, 16])},
        {"kept": torch.tensor([-1, 0, 1])},
        {"kept": torch.tensor([], dtype=torch.int64)},
        {"feature": torch.tensor([1, 0, 4])},
        {"feature": torch.tensor([1, -4, -4])},
        {"feature": torch.tensor([100_000, 100_000])},
        {"feature": torch.tensor([100_000])},
    ],
    ids=["repeated", "beyond", "negative", "none", "empty", "signs", "large", "long"],
)
def test_places_that_do_not_fit_are_refused_before_anything_is_allocated(monkeypatch, damage):
    tensors = {
        "coefficients": random(8, 3),
        "kept": torch.tensor([0, 1, 15]),
        "feature": torch.tensor([1, 4, 4]),
    }
    settings = FrequencySettings(decodes=4)
    assert FREQUENCY.restore(settings, tensors)()[0].shape == (8, 1, 4, 4)
    monkeypatch.setattr(frequency, "cosine_matrix", refuse)
    with pytest.raises(UsageError, match=r"do not fit samples of shape .* the set is damaged"):
        FREQUENCY.restore(settings, {**tensors, **damage})


def test_more_samples_than_values_to_divide_are_refused():
    assert FREQUENCY.packs(FrequencySettings(decodes=6), (2, 3)) == 6
    with pytest.raises(UsageError, match=r"fewer values than 7; lower parameterization\.decodes"):
        FREQUENCY.packs(FrequencySettings(decodes=7), (2, 3))


def test_a_set_of_frequencies_has_the_labels_and_the_size_of_a_plain_one(blobs):
    task, each, stored = blobs(feature=(1, 8, 8)), 4, 5
    init = initial_batch(task, "real", [stored * each] * 3, 0, Registry())
    spec = SetSpec(parameterization="frequency", settings={"decodes": each})
    syn = task.synthesize(init, spec, derive(0))
    batch = syn.decode()
    assert batch.inputs.shape == (stored * each * 3, 1, 8, 8)
    assert torch.equal(batch.labels, init.labels)
    assert syn.labels.tolist() == [0] * stored + [1] * stored + [2] * stored
    plain = task.synthesize(initial_batch(task, "real", [stored] * 3, 0, Registry()), SetSpec(), derive(0))
    assert 0.8 * plain.nbytes() < syn.nbytes() <= plain.nbytes()
