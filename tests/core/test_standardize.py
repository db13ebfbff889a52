from __future__ import annotations

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.settings import parse
from attar.tensor import ArrayItems, Standardize
from hypothesis import given
from hypothesis import strategies as st


def items(values):
    return ArrayItems(values, np.zeros(len(values), dtype=np.int64))


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(3, 2, size=shape)


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 100)), min_size=1, max_size=4),
    st.floats(0.5, 255),
    st.integers(0, 2**20),
)
def test_decode_inverts_encode(statistics, scale, seed):
    mean, std = zip(*statistics, strict=True)
    preprocess = Standardize(scale=scale, mean=mean, std=std)
    raw = torch.rand(3, len(mean), 2, generator=torch.Generator().manual_seed(seed)) * 100
    back = preprocess.decode(preprocess.encode(raw))
    torch.testing.assert_close(back, raw, rtol=1e-4, atol=1e-4 * scale * max(1, *map(abs, mean)))


@pytest.mark.parametrize("shape", [(40, 3), (40, 3, 5), (1100, 2, 4, 4)])
def test_fit_equals_numpy_per_position_of_the_first_axis(shape):
    values = data(*shape)
    found = Standardize.fit(items(values), scale=2.0)
    over = tuple(axis for axis in range(values.ndim) if axis != 1)
    np.testing.assert_allclose(found.mean, (values / 2).mean(over), rtol=1e-6)
    np.testing.assert_allclose(found.std, (values / 2).std(over), rtol=1e-6)


def test_fit_along_another_axis():
    values = data(30, 2, 5)
    found = Standardize.fit(items(values), axis=1)
    np.testing.assert_allclose(found.mean, values.mean((0, 1)))
    encoded = found.encode(torch.from_numpy(values))
    torch.testing.assert_close(encoded.mean((0, 1)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.std((0, 1), correction=0), torch.ones(5))


def test_shared_statistics_are_single_numbers():
    values = data(30, 2, 5)
    found = Standardize.fit(items(values), shared=True)
    np.testing.assert_allclose([*found.mean, *found.std], [values.mean(), values.std()])


@given(st.floats(-1e6, 1e6), st.integers(1, 60))
def test_a_constant_feature_keeps_its_scale(constant, n):
    values = np.stack([np.full(n, constant), np.arange(n) % 2 + 0.5], 1)
    found = Standardize.fit(items(values))
    assert found.std[0] == 1.0
    assert torch.isfinite(found.encode(torch.from_numpy(values))).all()


def test_fit_is_exact_far_from_zero():
    values = data(200, 2) * 0.1 + 1e5
    np.testing.assert_allclose(Standardize.fit(items(values)).std, values.std(0), rtol=1e-4)


def test_encode_gives_float32_of_any_type():
    encoded = Standardize(scale=255.0, mean=(0.5,), std=(0.5,)).encode(
        torch.tensor([[0], [255]], dtype=torch.uint8)
    )
    assert encoded.dtype == torch.float32
    assert encoded.flatten().tolist() == [-1.0, 1.0]


def test_no_samples_are_refused():
    with pytest.raises(UsageError, match="the training data are empty"):
        Standardize.fit(items(np.zeros((0, 3))))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mean": [0, 1], "std": [1]}, "mean and std have different lengths"),
        ({"std": [0]}, "every std must be positive"),
        ({"scale": 0}, "input should be greater than 0"),
        ({"mean": [float("nan")]}, "finite number"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(values, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse(Standardize, values, "preprocessing")
