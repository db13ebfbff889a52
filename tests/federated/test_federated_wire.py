import contextlib
import io

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar_federated.wire import header, packed, tensor_of, unpacked
from flwr.app import Array
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)


@settings(max_examples=40)
@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e4, 1e4, width=32)))
def test_float32_comes_back_as_it_was(values):
    record, scales = packed({"x": torch.from_numpy(values)}, "float32")
    assert scales == {}
    assert np.array_equal(unpacked(record, scales)["x"].numpy(), values)


@settings(max_examples=40)
@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e4, 1e4, width=32)))
def test_bytes_come_back_within_half_a_step(values):
    record, scales = packed({"x": torch.from_numpy(values)}, "uint8")
    found = unpacked(record, scales)["x"].numpy()
    spread = float(values.max() - values.min()) if values.size else 0.0
    assert np.abs(found - values).max(initial=0.0) <= spread / 255 / 2 + 1e-3 * max(1.0, spread) / 100
    assert record["x"].dtype == "uint8"


@pytest.mark.parametrize("wire", ["float32", "float16", "uint8"])
def test_whole_numbers_are_sent_as_they_are(wire):
    values = torch.tensor([0, 7, 255], dtype=torch.uint8)
    record, scales = packed({"labels": values}, wire)
    assert torch.equal(unpacked(record, scales)["labels"], values)


@pytest.mark.parametrize("wire", ["float32", "float16", "uint8"])
def test_what_is_not_finite_is_not_sent(wire):
    with pytest.raises(UsageError, match="is not finite, so it cannot be sent"):
        packed({"x": torch.tensor([1.0, float("nan")])}, wire)


def test_what_does_not_fit_into_float16_is_not_sent():
    with pytest.raises(UsageError, match="does not fit into float16"):
        packed({"x": torch.tensor([1e6])}, "float16")


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_as_they_say(data):
    array = Array("float32", (1,), "numpy.ndarray", data)
    with contextlib.suppress(UsageError):
        assert tensor_of(array, "x").numel() * 1 <= len(data)


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_header_is_refused_or_read_as_it_says(data):
    array = Array("float32", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00" + data)
    with contextlib.suppress(UsageError):
        assert tensor_of(array, "x").numel() * 1 <= len(data)


def test_a_header_says_type_and_shape():
    assert header(Array(np.zeros((2, 3), np.int16)), "x") == (np.dtype("int16"), (2, 3))


def test_an_array_in_columns_is_refused():
    target = io.BytesIO()
    np.save(target, np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(UsageError, match="no plain numbers"):
        header(Array("float64", (3, 4), "numpy.ndarray", target.getvalue()), "x")


@pytest.mark.parametrize("shape", ["(-1,)", "(2.5,)", "('a',)", "(9999999999999,)", "3"])
def test_a_strange_shape_is_refused(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (118 - len(text) - 1) + b"\n"
    array = Array("float32", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x76\x00" + text + b"\0" * 8)
    with pytest.raises(UsageError):
        header(array, "x")
