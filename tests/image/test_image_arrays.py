"""Image sets given as plain arrays."""

from __future__ import annotations

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.exports import as_exported


@pytest.fixture(scope="module", params=["digits", "pixels", "fractions"])
def task(request):
    """Images whose own unit is 0 to 16, 0 to 255, and 0 to 1."""
    if request.param == "digits":
        return attar.task("image", data="digits")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 7, 6, 3), dtype=np.uint8)
    values = pixels if request.param == "pixels" else (pixels / 255).astype(np.float32)
    return attar.task("image", data=(values, np.arange(30) % 2))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_an_export_is_read_back_whatever_the_unit_of_the_data(task, dtype, tmp_path):
    artifact = attar.distill(task, method="random", ipc=1)
    attar.export(artifact, tmp_path / "out", "npz", dtype=dtype)
    read = attar.from_arrays(task, tmp_path / "out" / "data.npz").decode()
    expected = as_exported(artifact, "npz", dtype=dtype).decode()
    assert torch.equal(read.inputs, expected.inputs)
    assert torch.equal(read.labels, expected.labels)


@pytest.fixture(scope="module")
def color():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 6, 6), dtype=np.uint8)
    return attar.task("image", data=(pixels, np.arange(30) % 2))


def given(inputs):
    return {"inputs": inputs, "labels": np.arange(len(inputs)) % 2}


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2.5, 2.5), (0, 0)])
def test_pixels_in_another_unit_are_refused(color, low, high):
    values = np.linspace(low, high, 216, dtype=np.float32).reshape(2, 3, 6, 6)
    with pytest.raises(
        UsageError, match=r"give them from 0 \(black\) to 255 \(white\), neither as fractions"
    ):
        attar.from_arrays(color, given(values))


@pytest.mark.parametrize("values", [np.full((2, 3, 6, 6), 3, np.uint8), np.full((2, 3, 6, 6), np.nan)])
def test_only_what_is_likely_a_mistake_is_refused_so(color, values):
    if values.dtype == np.uint8:
        assert attar.from_arrays(color, given(values)).manifest.size.decoded == 2
    else:
        with pytest.raises(UsageError, match="'inputs' is not finite"):
            attar.from_arrays(color, given(values))


def test_missing_pixels_and_other_shapes_are_named(color):
    with pytest.raises(UsageError, match="there is no array 'inputs'"):
        attar.from_arrays(color, {"labels": np.arange(2)})
    with pytest.raises(UsageError, match=r"has shape \(2, 6, 6, 3\); give \(n, 3, 6, 6\)"):
        attar.from_arrays(color, given(np.zeros((2, 6, 6, 3), np.uint8)))
