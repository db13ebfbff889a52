"""Random replies: none ends a run, and what is refused is refused by a check that was made for it.

``ATTAR_MUTATIONS=2000`` changes as many replies, of all kinds of runs together.
"""

import copy
import io
import json
import math
import os
import random
import struct

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

MUTATIONS = int(os.environ.get("ATTAR_MUTATIONS", "72"))
HOSTILE = 6

ODD_NUMBERS = [
    0,
    -1,
    1,
    2**31,
    2**62,
    0.0,
    -0.0,
    1e-45,
    1e30,
    -1e30,
    3e38,
    1e308,
    math.nan,
    math.inf,
    -math.inf,
]
ODD_TEXTS = [
    "",
    "\x1b]0;owned\x07",
    "\ud800",
    "\u202etxt",
    "'" * 500,
    "null",
    "[" * 5000,
    "1" * 5000,
    "%s{0}",
]
ODD_TYPES = [
    "<f4",
    ">f4",
    "=f4",
    "<f8",
    ">i2",
    "|b1",
    "|O",
    "<U3",
    "<c8",
    "f",
    "float32",
    "<M8[s]",
    "a3",
    "V4",
]
ODD_SHAPES = ["()", "(3)", "(3,)", "[12, 6]", "(True, 6)", "(-1, 6)", "(0, 6)", f"({10**15}, 0)", "(1e3,)"]
ODD_SHAPES += [f"({'9' * 3000},)", "(" + "1, " * 70 + ")", "(2, 3, 4)", "None", "'ab'", "(0x10,)", "(1_0,)"]
ODD_VALUES = [None, True, [], {}, [[]], "x", {"a": {"b": []}}]


def mutated(content, rng):
    """A copy of what a client sent with one to three things changed."""
    changed = RecordDict({name: copy.copy(record) for name, record in content.items()})
    for _ in range(rng.randint(1, 3)):
        rng.choice(WAYS)(changed, rng)
    return changed


def _record(content, rng, kind):
    names = [name for name, record in content.items() if isinstance(record, kind) and len(record)]
    return rng.choice(names) if names else None


def _change_array(content, rng, change):
    name = _record(content, rng, ArrayRecord)
    if name is None:
        return
    arrays = dict(content[name])
    key = rng.choice(sorted(arrays))
    arrays[key] = change(arrays[key], rng)
    content[name] = ArrayRecord(arrays)


def _raw(array, data, **more):
    return Array(more.get("dtype", array.dtype), array.shape, more.get("stype", "numpy.ndarray"), bytes(data))


def flipped(array, rng):
    data = bytearray(array.data)
    for _ in range(rng.choice([1, 1, 3, 40])):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return _raw(array, data)


def flipped_header(array, rng):
    data = bytearray(array.data)
    for _ in range(rng.choice([1, 2, 8])):
        if data:
            data[rng.randrange(min(128, len(data)))] = rng.choice(
                [rng.randrange(256), 39, 40, 44, 48, 57, 125]
            )
    return _raw(array, data)


def resized(array, rng):
    data = array.data
    cut = rng.randrange(len(data) + 1)
    return _raw(array, rng.choice([data[:cut], data[cut:], data + data[:cut], b"", data * 3]))


def headed(array, rng):
    """Another header before the same values."""
    descr, shape = rng.choice(ODD_TYPES), rng.choice(ODD_SHAPES)
    keys = [
        f"'descr': {descr!r}",
        f"'fortran_order': {rng.choice(['False', 'True', '0'])}",
        f"'shape': {shape}",
    ]
    if rng.random() < 0.3:
        keys.append(rng.choice(["'more': 1", "'descr': [('a', '<f4')]", "'shape': (12, 6)"]))
    if rng.random() < 0.3:
        rng.shuffle(keys)
    text = ("{" + ", ".join(keys) + rng.choice([", }", "}", "", "} # a comment"])).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    if len(text) >= 2**16:
        return array
    return _raw(array, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.data[128:])


def _values(array):
    try:
        return np.load(io.BytesIO(array.data), allow_pickle=False)
    except Exception:
        return np.zeros((3, 2), np.float32)


def odd_values(array, rng):
    """Well-formed values that no honest client would have."""
    values = _values(array).copy()
    if not values.size or values.dtype.kind not in "fiub":
        return array
    with np.errstate(all="ignore"):
        number = np.array(rng.choice(ODD_NUMBERS)).astype(values.dtype)
        way = rng.randrange(4)
        if way == 0:
            values = np.full_like(values, number)
        elif way == 1:
            values.flat[rng.randrange(values.size)] = number
        elif way == 2:
            values = (values * np.array(rng.choice([-1, -10, 9, 1e3, 1e30])).astype(values.dtype)).astype(
                values.dtype
            )
        else:
            values = (
                np.random.default_rng(rng.randrange(2**31)).permutation(values.ravel()).reshape(values.shape)
            )
    return Array(np.ascontiguousarray(values))


def other_type(array, rng):
    """The same values as another type, shape or order of bytes."""
    values = _values(array)
    way = rng.randrange(5)
    with np.errstate(all="ignore"):
        if way == 0 and values.dtype.kind in "fiub":
            values = values.astype(
                rng.choice([">f4", "<f8", "<f2", ">i2", "|u1", "|b1", "<i8", ">u4", "<c8"])
            )
        elif way == 1:
            values = values.reshape(-1)
        elif way == 2:
            values = values[:0] if values.ndim else values[None]
        elif way == 3:
            values = np.concatenate([values] * 2) if values.ndim else values[None, None]
        else:
            values = np.asfortranarray(values)
    target = io.BytesIO()
    np.save(target, values, allow_pickle=False)
    return _raw(array, target.getvalue())


def labeled(array, rng):
    return _raw(array, array.data, stype=rng.choice(["torch.Tensor", "", "numpy.ndarray"]), dtype="float64")


def array_change(content, rng):
    _change_array(
        content,
        rng,
        rng.choice([flipped, flipped_header, resized, headed, odd_values, odd_values, other_type, labeled]),
    )


def array_names(content, rng):
    name = _record(content, rng, ArrayRecord)
    if name is None:
        return
    arrays = dict(content[name])
    key = rng.choice(sorted(arrays))
    way = rng.randrange(3)
    if way == 0:
        arrays[rng.choice(["strange", "\x1b[31m", "values", key + " "])] = arrays[key]
    elif way == 1:
        arrays[rng.choice(["strange", "labels"])] = arrays.pop(key)
    else:
        arrays[key] = arrays[rng.choice(sorted(arrays))]
    content[name] = ArrayRecord(arrays)


def text_change(content, rng):
    """Another text, or other values of a JSON text."""
    name = _record(content, rng, ConfigRecord)
    if name is None:
        return
    record = dict(content[name])
    key = rng.choice(sorted(record))
    said = record[key]
    way = rng.randrange(4)
    if way == 0 or not isinstance(said, str):
        record[key] = rng.choice([*ODD_TEXTS[:2], *ODD_TEXTS[3:], 3, 1.5, True, b"\x00", [1, 2]])
    elif way == 1 and said:
        place = rng.randrange(len(said))
        record[key] = (
            said[:place] + rng.choice(['"', "}", "1", "-", "e999", ",", "\x00", "NaN"]) + said[place + 1 :]
        )
    else:
        try:
            values = json.loads(said)
        except (ValueError, RecursionError):
            return
        record[key] = json.dumps(_changed(values, rng))
    content[name] = ConfigRecord(record)


def _changed(values, rng, depth=0):
    """JSON with one value replaced somewhere."""
    if isinstance(values, dict) and values and (depth == 0 or rng.random() < 0.7):
        values = dict(values)
        key = rng.choice(sorted(values))
        way = rng.random()
        if way < 0.15:
            values[rng.choice(["strange", *ODD_TEXTS[:4]])] = values.pop(key)
        else:
            values[key] = _changed(values[key], rng, depth + 1)
        return values
    if isinstance(values, list) and values and rng.random() < 0.7:
        values = list(values)
        place = rng.randrange(len(values))
        values[place] = _changed(values[place], rng, depth + 1)
        return values
    return rng.choice([*ODD_NUMBERS, *ODD_TEXTS[:6], *ODD_VALUES, 10**400])


def number_change(content, rng):
    name = _record(content, rng, MetricRecord)
    if name is None:
        return
    record = dict(content[name])
    key = rng.choice(sorted(record))
    if rng.random() < 0.2:
        record["more"] = record[key]
    record[key] = rng.choice([*ODD_NUMBERS, 160, 161, 1600, [1], [1.0], []])
    content[name] = MetricRecord(record)


def record_change(content, rng):
    names = sorted(content)
    if not names:
        return
    name = rng.choice(names)
    way = rng.randrange(4)
    if way == 0:
        del content[name]
    elif way == 1:
        content[rng.choice(["more", "\x1b[2J", "arrays"])] = content[name]
    elif way == 2:
        content[name] = rng.choice([ArrayRecord(), ConfigRecord(), MetricRecord()])
    else:
        content[name] = content[rng.choice(names)]


WAYS = [
    array_change,
    array_change,
    array_change,
    array_names,
    text_change,
    text_change,
    number_change,
    record_change,
]


def answered(reply, others, rng):
    """What a hostile client answers: a changed reply, else an error, a copy, silence or two replies."""
    way = rng.random()
    if way < 0.03:
        return RuntimeError(rng.choice(ODD_TEXTS))
    if way < 0.05:
        return None
    if way < 0.07:
        return [reply, reply]
    if way < 0.1 and others:
        return rng.choice(others)
    return mutated(reply.content, rng)


QUICK = {"epochs": 3, "plateau": None, "augment": False, "optimizer.lr": 0.05}
SETS = {"objective": {"steps": 2, "augment": False}, "size": {"ipc": 2}, "training": QUICK}
NETWORKS = {"protocol": "fedavg", "rounds": 2, "local": {"lr": 0.05, "batch": 16}}
RUNS = {
    "sets": SETS,
    "sets as bytes": {**SETS, "wire": "uint8"},
    "sets with learned labels": {**SETS, "distiller": "frepo", "objective": {"steps": 2}},
    "sets that are judged": {**SETS, "robust": {"epochs": 2}},
    "networks": NETWORKS,
    "networks with statistics": {**NETWORKS, "model": "mlp,norm=batch"},
}


@pytest.mark.parametrize("kind", RUNS)
def test_no_reply_ends_a_run(kind, recipe, run, replayed):
    wanted = recipe(clients=HOSTILE + 2, **RUNS[kind])
    # Sets of honest clients are made once; networks are trained anew, from what attacks left.
    carry_out = run if wanted.averages else replayed
    for seed in range(math.ceil(MUTATIONS / (HOSTILE * wanted.last * len(RUNS)))):
        rng, seen = random.Random(seed), []

        def hostile(number, reply, rng=rng, seen=seen):
            seen.append(reply.content)
            return answered(reply, seen[:-1], rng) if number < HOSTILE else reply.content

        found = carry_out(wanted, hostile)
        told = [one.reason for one in found.result.dropped]
        assert found.result.rounds[-1].clients >= 2, (seed, told)
        assert all(bool(torch.isfinite(each).all()) for each in found.network.model.parameters()), seed
        assert all(reason.isprintable() and len(reason) < 1000 for reason in told), (seed, told)
        unforeseen = [reason for reason in told if "its reply cannot be read" in reason]
        assert not unforeseen, (seed, unforeseen)
        assert json.loads(found.result.model_dump_json())
