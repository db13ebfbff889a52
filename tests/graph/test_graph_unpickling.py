"""Pickles of Planetoid's kind: what they hold is read, and nothing that they name is run."""

import pickle
import struct
from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
from attar_graph.unpickling import load


def text(value):
    return b"U" + bytes([len(value)]) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def array(kind, content, *, code="O8"):
    """An array of raw bytes whose type is what a stranger says."""
    dtype = named("numpy", "dtype") + text(code) + b"\x89\x88\x87R"
    dtype += b"(" + number(3) + text(kind) + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    made = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray")
    made += b"(" + number(0) + b"t" + text("b") + b"\x87R"
    shape = b"(" + number(len(content) // 8) + b"t"
    return (
        made + b"(" + number(1) + shape + dtype + b"\x89T" + struct.pack("<i", len(content)) + content + b"tb"
    )


@pytest.mark.parametrize("kind", ["<i4", ">i4", "u1", "<f4", "<f8", "?"])
def test_arrays_are_what_they_were(kind):
    values = np.arange(6).reshape(2, 3).astype(kind)
    for given in (values, np.asfortranarray(values), values[:0]):
        assert np.array_equal(load(pickle.dumps(given, protocol=3)).read(), given)


def test_bytes_of_an_old_python_are_numbers():
    content = b"\x80\x02" + array("<", struct.pack("<2q", 7, -1), code="i8") + b"."
    assert load(content).read().tolist() == [7, -1]


def test_dictionaries_and_matrices_are_read():
    links = defaultdict(list, {0: [1, 2], 1: [0]})
    assert load(pickle.dumps(links, protocol=2)) == {0: [1, 2], 1: [0]}
    rows = load(pickle.dumps(sp.csr_matrix(np.eye(2)), protocol=3))
    assert rows.state["data"].read().tolist() == [1.0, 1.0]


def test_an_array_of_objects_out_of_bytes_is_refused():
    content = b"\x80\x02" + array("|", struct.pack("<Q", 0x4141414141414141) * 4) + b"."
    with pytest.raises(pickle.UnpicklingError, match="arrays of 'O8' are not allowed"):
        load(content).read()


class Runs:
    def __reduce__(self):
        return exec, ("raise SystemExit('it was run')",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Runs(), protocol=2),
        b"\x80\x02" + named("os", "system") + text("true") + b"\x85R.",
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.",
        b"\x80\x02" + named("__builtin__", "list") + text("many") + b"\x85R.",
        b"\x80\x02" + named("numpy", "ndarray") + number(2**31 - 1) + b"\x85R.",
        b"",
        b"no pickle",
    ],
    ids=["code", "system", "a far place", "a large buffer", "a copy", "a large array", "nothing", "text"],
)
def test_anything_else_is_refused(content):
    with pytest.raises((pickle.UnpicklingError, ValueError, TypeError)):
        load(content)
