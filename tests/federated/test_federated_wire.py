import contextlib
import io
import math

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


def headed(text, values=b"\0" * 8):
    """An array whose header is any text."""
    head = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    size = len(head).to_bytes(2, "little")
    return Array("float32", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00" + size + head + values)


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
STRANGE = {
    "no header": ("", "header that cannot be read"),
    "no dictionary": ("[1, 2]", "header that cannot be read"),
    "a key more": (PLAIN.replace(", }", ", 'more': 1, }"), "header that cannot be read"),
    "a key twice": (PLAIN.replace(", }", ", 'shape': (2,), }"), "header that cannot be read"),
    "a key less": (PLAIN.replace("'fortran_order': False, ", ""), "header that cannot be read"),
    "a comment": (PLAIN + "# two", "header that cannot be read"),
    "fields": (PLAIN.replace("'<f4'", "[('a', '<f4')]"), "header that cannot be read"),
    "a pickle": (PLAIN.replace("<f4", "|O"), "'|O' and no plain numbers"),
    "texts": (PLAIN.replace("<f4", "<U1"), "'<U1' and no plain numbers"),
    "complex numbers": (PLAIN.replace("<f4", "<c8"), "'<c8' and no plain numbers"),
    "a type that NumPy would warn of": (PLAIN.replace("<f4", "a3"), "'a3' and no plain numbers"),
    "a type by its name": (PLAIN.replace("<f4", "float32"), "'float32' and no plain numbers"),
    "columns": (PLAIN.replace("False", "True"), "no plain numbers in rows"),
    "a truth value for an order": (PLAIN.replace("False", "0"), "header that cannot be read"),
    "many dimensions": (PLAIN.replace("(2,)", "(" + "1, " * 69 + "2)"), "has 70 dimensions"),
    "a size of 3,000 digits": (PLAIN.replace("(2,)", f"({'9' * 3000},)"), "header that cannot be read"),
    "more than is there": (PLAIN.replace("(2,)", "(999999999999,)"), "claims 3,999,999,999,996 bytes"),
    "less than is there": (PLAIN.replace("(2,)", "(1,)"), "claims 4 bytes of float32 and has 8"),
}
STRANGE |= {
    f"the shape {shape}": (PLAIN.replace("(2,)", shape), "header that cannot be read")
    for shape in (
        "(-1,)",
        "(2.5,)",
        "('a',)",
        "2",
        "(2)",
        "[2]",
        "(True, 2)",
        "(0x2,)",
        "(1_0,)",
        "None",
        "(((2,)",
    )
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_header_is_refused_in_a_short_sentence(kind):
    text, told = STRANGE[kind]
    with pytest.raises(UsageError) as refused:
        tensor_of(headed(text), "x")
    assert told in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_plain_header_is_read():
    assert tensor_of(headed(PLAIN), "x").tolist() == [0, 0]


@pytest.mark.parametrize("form", [">f4", ">f2", ">f8", ">i2", ">i4", ">i8", "<f4", "|u1"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_both_orders_of_bytes_are_read_as_they_are_meant(form, shape):
    values = np.arange(math.prod(shape)).reshape(shape).astype(form)
    found = tensor_of(Array(values), "x")
    assert found.shape == shape
    assert found.dtype == getattr(torch, np.dtype(form).name)
    assert found.tolist() == values.tolist()


def test_any_byte_but_0_is_true():
    array = headed(PLAIN.replace("<f4", "|b1").replace("(2,)", "(3,)"), b"\0\1\2")
    assert tensor_of(array, "x").tolist() == [False, True, True]
