"""What a hostile client may send: the run goes on as if the client had not been there.

Without the guard, the same reply breaks the server or spoils what it learns: each is tried both ways.
"""

import copy
import io
import json

import numpy as np
import pytest
import torch
from attar.unions import restore
from attar_federated import averaging, distilling
from attar_federated.guard import Checked, sender
from attar_federated.records import Share
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, MetricRecord, RecordDict

HOSTILE = 2
"""Number of the hostile client, from 0."""


def content_of(reply):
    """A copy that can be changed."""
    return RecordDict({name: copy.copy(record) for name, record in reply.content.items()})


def changed_set(reply, change, **more):
    """The reply with its arrays, as a dictionary, changed in place."""
    content = content_of(reply)
    arrays = {name: array.numpy().copy() for name, array in content["set"].items()}
    change(arrays)
    content["set"] = ArrayRecord({name: as_array(value) for name, value in arrays.items()})
    return said(content, **more)


def as_array(value):
    return value if isinstance(value, Array) else Array(np.ascontiguousarray(value))


def said(content, **more):
    share = json.loads(content["about"]["share"])
    content["about"] = ConfigRecord({"share": json.dumps({**share, **more})})
    return content


def raw(dtype, shape, data):
    """An array whose header claims what its bytes need not be."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    header += b" " * (118 - len(header) - 1) + b"\n"
    return Array("float32", (1,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x76\x00" + header + data)


def pickled():
    target = io.BytesIO()
    np.save(target, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return Array("object", (1,), "numpy.ndarray", target.getvalue())


def setting(name, value):
    return lambda reply: changed_set(reply, lambda arrays: arrays.update({name: value}))


def scaled(factor):
    return lambda reply: changed_set(
        reply, lambda arrays: arrays.update({"values.values": arrays["values.values"] * np.float32(factor)})
    )


def flooded(reply):
    """Very many samples, all of which are said to be of one class."""

    def flood(arrays):
        arrays["values.values"] = np.concatenate([arrays["values.values"]] * 60)
        arrays["labels"] = np.zeros(len(arrays["values.values"]), np.uint8)

    return changed_set(reply, flood)


def other_labels(reply):
    """Labels of another kind than all others have."""
    share = json.loads(reply.content["about"]["share"])

    def soft(arrays):
        arrays["targets"] = np.zeros((len(arrays["labels"]), 4), np.float32)

    return changed_set(reply, soft, set={**share["set"], "label_kind": "probability"})


def without(record):
    def drop(reply):
        content = content_of(reply)
        del content[record]
        return content

    return drop


def text(value):
    def change(reply):
        content = content_of(reply)
        content["about"] = ConfigRecord({"share": value})
        return content

    return change


def first_value(value):
    def change(arrays):
        arrays["values.values"].flat[0] = value

    return lambda reply: changed_set(reply, change)


def other_storage(reply):
    share = json.loads(reply.content["about"]["share"])
    return said(content_of(reply), set={**share["set"], "parameterization": "multi-formation"})


KINDS = {
    "an error": (lambda reply: RuntimeError("boom"), "it failed ('boom')"),
    "no arrays": (without("set"), "it lacks the record 'set'"),
    "no description": (without("about"), "it lacks the record 'about'"),
    "no JSON": (text("{"), "cannot be read"),
    "nested JSON": (text("[" * 10_000), "cannot be read"),
    "a long text": (text("[" * 100_000), "has 100,000 characters"),
    "a number for a text": (text(3), "is int and no text"),
    "unknown storage": (other_storage, "stored in another way"),
    "labels of another kind": (other_labels, "stored in another way"),
    "a missing array": (
        lambda reply: changed_set(reply, lambda arrays: arrays.pop("labels")),
        "'labels' is missing",
    ),
    "NaN": (first_value(np.nan), "holds NaN"),
    "infinity": (first_value(np.inf), "holds NaN or infinite"),
    "huge values": (scaled(1e6), "beyond"),
    "another shape": (setting("values.values", np.zeros((12, 7), np.float32)), "larger than"),
    "another rank": (setting("values.values", np.zeros((12, 6, 1), np.float32)), "larger than"),
    "text for numbers": (setting("values.values", np.full((12, 6), "x")), "no plain numbers"),
    "complex numbers": (setting("values.values", np.ones((12, 6), np.complex64)), "no plain numbers"),
    "a label that is no class": (setting("labels", np.full(12, 200, np.uint8)), "none of the classes"),
    "negative labels": (setting("labels", np.full(12, -3, np.int16)), "none of the classes"),
    "fewer labels than samples": (setting("labels", np.zeros(3, np.uint8)), "cannot be rebuilt"),
    "a flood of samples": (flooded, "larger than"),
    "a header that claims a petabyte": (
        setting("values.values", raw("<f4", (2**48, 2), b"")),
        "claims",
    ),
    "an array that is cut short": (setting("values.values", raw("<f4", (12, 6), b"\0" * 40)), "claims"),
    "a pickle": (setting("values.values", pickled()), "no plain numbers"),
}


def trusting(content, expected, modality):
    """What the guard would be without a single check."""
    share = Share.model_validate(json.loads(content["about"]["share"]))
    tensors = {name: torch.from_numpy(array.numpy().copy()) for name, array in content["set"].items()}
    return Checked(syn=restore(modality, share.set, tensors), share=share, digest=str(id(content)))


def trusting_all(number, replies, asked, check):
    """What would be received if no reply were expected to be wrong."""
    return {sender(reply, asked): check(sender(reply, asked), reply) for reply in replies}, []


def answering(change):
    def answer(number, reply):
        if number != HOSTILE:
            return reply.content
        found = change(reply)
        return found

    return answer


@pytest.fixture
def fast(recipe):
    return recipe(objective={"steps": 3, "per_class": 8, "augment": False})


SEEN_ANYWAY = {"an error", "unknown storage", "a missing array", "fewer labels than samples"}
"""What rebuilding a set refuses by itself, as it refuses such artifacts, and what Flower calls an error."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_client_changes_nothing_but_its_own_share(kind, fast, replayed):
    change, reason = KINDS[kind]
    found = replayed(fast, answering(change))
    absent = replayed(fast, lambda number, reply: None if number == HOSTILE else reply.content)
    assert [one.client for one in found.result.dropped] == [HOSTILE + 1]
    assert reason in found.result.dropped[0].reason
    assert found.union.manifest.sha256 == absent.union.manifest.sha256
    assert found.result.accuracy == absent.result.accuracy


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - SEEN_ANYWAY))
def test_without_the_guard_it_breaks_the_server_or_spoils_the_network(kind, fast, replayed, monkeypatch):
    monkeypatch.setattr(distilling, "checked_set", trusting)
    monkeypatch.setattr(distilling, "received", trusting_all)
    honest = replayed(fast).result.accuracy.mean
    try:
        found = replayed(fast, answering(KINDS[kind][0]))
    except Exception:
        return  # The server ended, and with it the round of all honest clients.
    assert found.result.dropped == ()
    assert found.result.accuracy.mean < honest - 10


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ({"counts": [10**18] * 4}, "cannot be read ('counts.0': Input should be less"),
        ({"counts": [-1] * 4}, "cannot be read ('counts.0': Input should be greater"),
        ({"counts": [1000] * 4}, "it claims 4,000 samples, where 160 can be"),
        ({"cpu": 1e308}, "cannot be read"),
    ],
)
def test_claims_that_would_spoil_sums_are_not_believed(claim, told, fast, replayed):
    found = replayed(fast, answering(lambda reply: said(content_of(reply), **claim))).result
    assert [one.client for one in found.dropped] == [HOSTILE + 1]
    assert told in found.dropped[0].reason


@pytest.mark.parametrize("value", [1e308, -1.0, float("nan"), float("inf"), 3, [1.0]])
def test_seconds_that_would_spoil_sums_are_not_believed(value, fast, replayed):
    def answer(reply):
        content = content_of(reply)
        content["metrics"] = MetricRecord({"cpu": value})
        return content

    found = replayed(fast, answering(answer)).result
    assert [one.reason for one in found.dropped] == ["it does not say how many CPU seconds it took"]


def test_copies_of_what_another_client_sent_count_once(fast, replayed):
    kept = {}
    replayed(fast, lambda number, reply: kept.setdefault(number, reply.content))
    found = replayed(fast, lambda number, reply: kept[0 if number == HOSTILE else number]).result
    assert len(found.dropped) == 1
    assert "it sent what client" in found.dropped[0].reason


def test_a_client_that_replies_twice_counts_once(fast, replayed):
    def twice(number, reply):
        return [reply, reply] if number == HOSTILE else reply.content

    found = replayed(fast, twice).result
    assert [one.reason for one in found.dropped] == ["it replied before in this round"]
    assert found.rounds[0].clients == 4


def test_what_answers_another_round_is_not_used(recipe, run):
    wanted = recipe(protocol="feddm", rounds=2, objective={"steps": 2, "augment": False})
    kept = {}

    def late(number, reply):
        if number != HOSTILE:
            return reply.content
        return kept.setdefault("first", reply.content)

    found = run(wanted, late).result
    assert [(one.round, one.reason) for one in found.dropped] == [(2, "it answers round 1 and not 2")]


def test_an_error_of_the_server_between_names_the_node_that_was_asked(fast, replayed):
    """A SuperLink that lost a node answers in its place, and signs as node 1."""

    def lost(number, reply):
        if number != HOSTILE:
            return reply.content
        reply.__dict__["_error"] = Error(code=5, reason="Node Unavailable")
        reply.__dict__["_content"] = None
        reply.metadata.__dict__["_src_node_id"] = 1
        return [reply]

    found = replayed(fast, lost).result
    told = [(one.client, one.reason) for one in found.dropped]
    assert told == [(HOSTILE + 1, "it failed ('Node Unavailable')")]


def weights(change):
    def answer(reply):
        content = content_of(reply)
        arrays = {name: array.numpy().copy() for name, array in content["arrays"].items()}
        change(arrays)
        content["arrays"] = ArrayRecord({name: as_array(value) for name, value in arrays.items()})
        return content

    return answer


def claims(n):
    def answer(reply):
        content = weights(lambda arrays: arrays.update({k: 0 * v for k, v in arrays.items()}))(reply)
        content["metrics"] = MetricRecord({"num-examples": n})
        return content

    return answer


def fill(value):
    def change(arrays):
        next(iter(arrays.values())).flat[0] = value

    return weights(change)


def another_key(arrays):
    arrays["strange"] = arrays.pop(next(iter(arrays)))


def another_shape(arrays):
    name = next(iter(arrays))
    arrays[name] = np.concatenate([arrays[name]] * 2)


def smaller_shape(arrays):
    name = next(iter(arrays))
    arrays[name] = arrays[name][:1]


def another_type(arrays):
    name = next(iter(arrays))
    arrays[name] = np.full(arrays[name].shape, "x")


def extra_record(reply):
    content = content_of(reply)
    content["more"] = MetricRecord({"num-examples": 3})
    return content


WEIGHTS = {
    "an error": (lambda reply: RuntimeError("boom"), "it failed ('boom')"),
    "NaN": (fill(np.nan), "holds NaN"),
    "infinity": (fill(np.inf), "holds NaN or infinite"),
    "a strange array": (weights(another_key), "is "),
    "another shape": (weights(another_shape), "larger than"),
    "a smaller shape": (weights(smaller_shape), "has the shape"),
    "text for numbers": (weights(another_type), "no plain numbers"),
    "a million million samples": (claims(10**12), "samples, where 1 to 160 can be"),
    "less than no samples": (claims(-(10**6)), "samples, where 1 to 160 can be"),
    "no number of samples": (without("metrics"), "it lacks the record 'metrics'"),
    "a record more": (extra_record, "that nobody asked for"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_hostile_network_changes_nothing_but_its_own_share(kind, recipe, replayed):
    wanted = recipe(protocol="fedavg", rounds=1)
    change, reason = WEIGHTS[kind]
    found = replayed(wanted, answering(change))
    absent = replayed(wanted, lambda number, reply: None if number == HOSTILE else reply.content)
    assert [one.client for one in found.result.dropped] == [HOSTILE + 1]
    assert reason in found.result.dropped[0].reason
    for name, value in found.network.model.state_dict().items():
        assert torch.equal(value, absent.network.model.state_dict()[name])


@pytest.mark.parametrize("kind", [kind for kind in WEIGHTS if kind != "an error"])
def test_without_the_guard_a_network_breaks_the_server_or_spoils_the_average(kind, recipe, run, monkeypatch):
    wanted = recipe(protocol="fedavg", rounds=2)
    honest = run(wanted).result.accuracy.mean
    monkeypatch.setattr(averaging._Checked, "_passed", lambda self, number, replies: list(replies))
    try:
        found = run(wanted, answering(WEIGHTS[kind][0]))
    except Exception:
        return
    assert found.result.accuracy.mean < honest - 10


def test_a_share_that_cannot_be_used_never_raises_anything_else(fast, replayed):
    """Whatever bytes an array holds, the guard answers with a reason."""
    generator = np.random.default_rng(0)

    def noise(reply):
        data = generator.integers(0, 256, 400, dtype=np.uint8).tobytes()
        return changed_set(
            reply,
            lambda arrays: arrays.update({"values.values": Array("float32", (1,), "numpy.ndarray", data)}),
        )

    for _ in range(3):
        found = replayed(fast, answering(noise)).result
        assert "is not in NumPy's format" in found.dropped[0].reason
