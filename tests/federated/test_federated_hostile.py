"""What a hostile client may send: the run goes on as if the client had not been there.

Without the guard, the same reply breaks the server or spoils what it learns: each is tried both ways.
"""

import copy
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attar.errors import DivergenceError
from attar.unions import restore
from attar_federated import averaging, distilling
from attar_federated.averaging import shortened, within
from attar_federated.guard import Checked, checked_set, received, sender
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
    "what Flower cannot count": (text(""), "cannot be read"),
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
    assert found.result.dropped[0].reason.isprintable()
    assert len(found.result.dropped[0].reason) < 500
    assert found.union.manifest.sha256 == absent.union.manifest.sha256
    assert found.result.accuracy == absent.result.accuracy


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - SEEN_ANYWAY))
def test_without_the_guard_it_breaks_the_server_or_spoils_the_network(kind, fast, replayed, monkeypatch):
    monkeypatch.setattr(distilling, "checked_set", trusting)
    monkeypatch.setattr(distilling, "received", trusting_all)
    monkeypatch.setattr(distilling, "_FAR", math.inf)
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


def big_endian(reply):
    def turn(arrays):
        for name, values in arrays.items():
            arrays[name] = values.astype(values.dtype.newbyteorder(">"))

    return changed_set(reply, turn)


def test_a_machine_with_the_other_order_of_bytes_says_the_same(fast, replayed):
    found, plain = replayed(fast, answering(big_endian)), replayed(fast)
    assert found.result.dropped == ()
    assert found.union.manifest.sha256 == plain.union.manifest.sha256


def test_a_copy_in_the_other_order_of_bytes_is_a_copy(fast, replayed):
    kept = {}
    replayed(fast, lambda number, reply: kept.setdefault(number, reply) and reply.content)
    copied = big_endian(kept[0])
    found = replayed(fast, lambda number, reply: copied if number == HOSTILE else reply.content).result
    assert [one.reason for one in found.dropped] == ["it sent what client 1 sent before"]


@pytest.mark.parametrize("value", [1e30, 1e6, -20.0])
def test_labels_that_are_learned_are_bounded(value, recipe, replayed):
    wanted = recipe(distiller="frepo", objective={"steps": 2})
    change = setting("targets", np.full((12, 4), value, np.float32))
    found = replayed(wanted, answering(change)).result
    absent = replayed(wanted, lambda number, reply: None if number == HOSTILE else reply.content).result
    assert [one.client for one in found.dropped] == [HOSTILE + 1]
    assert "its labels reach" in found.dropped[0].reason
    assert found.accuracy == absent.accuracy


def test_a_set_that_training_diverges_by_is_left_out(recipe, replayed):
    wanted = recipe(
        training={"epochs": 30, "plateau": None, "augment": False, "optimizer.lr": 0.5}, slack=1e30
    )
    found = replayed(wanted, answering(scaled(1e12))).result
    assert [one.client for one in found.dropped] == [HOSTILE + 1]
    assert "training on the union diverges with its values" in found.dropped[0].reason
    assert found.rounds[0].clients == 3


def test_training_that_diverges_by_its_settings_is_nobody_s_fault(recipe, replayed):
    training = {"epochs": 30, "plateau": None, "augment": False, "optimizer.lr": 1e20}
    with pytest.raises(DivergenceError):
        replayed(recipe(training=training))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda reply: RuntimeError("\x1b]0;pwned\x07\u202e\ud800"),
            r"it failed ('\x1b]0;pwned\x07\u202e\ud800')",
        ),
        (setting("\x1b[2J", np.zeros(1)), r"the array '\x1b[2J' is strange"),
        (lambda reply: RuntimeError("line\n" * 10_000), r"it failed ('line\nline\n"),
    ],
)
def test_what_is_told_of_a_client_holds_no_control_characters_and_is_short(
    change, told, fast, replayed, caplog
):
    found = replayed(fast, answering(change)).result
    assert told in found.dropped[0].reason
    assert told in caplog.text
    for text in (found.dropped[0].reason, caplog.records[-1].getMessage()):
        assert text.isprintable()
        assert len(text) < 400


def test_whatever_no_check_foresees_is_the_fault_of_its_sender(fast, replayed, monkeypatch):
    def broken(content, expected, modality):
        if checked_set(content, expected, modality).digest and next(turns) == HOSTILE:
            raise ZeroDivisionError("division\nby zero")
        return checked_set(content, expected, modality)

    turns = iter(range(100))
    monkeypatch.setattr(distilling, "checked_set", broken)
    found = replayed(fast).result
    assert [one.reason for one in found.dropped] == [
        r"its reply cannot be read (ZeroDivisionError: division\nby zero)"
    ]


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


def all_times(factor):
    return weights(
        lambda arrays: arrays.update(
            {name: (value * np.float32(factor)).astype(value.dtype) for name, value in arrays.items()}
        )
    )


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


@pytest.mark.parametrize("factor", [1e30, 1e38, -1e30, -10])
def test_long_updates_are_shortened(factor, recipe, run):
    wanted = recipe(protocol="fedavg", rounds=3)
    found = run(wanted, answering(all_times(factor))).result
    honest = run(wanted).result
    assert found.rounds[-1].clients == 4
    assert found.dropped == ()
    # One of four clients has half of the weight when its update is as long as three others'. By factor
    # and seed that costs 0 to 17 points (0 to 6 at clip=1); without the limit the network is lost.
    assert found.accuracy.mean > honest.accuracy.mean - 20


def test_updates_longer_than_a_multiple_of_the_median_keep_their_direction():
    sent = {"w": torch.tensor([1.0, 1.0]), "b": torch.tensor([2.0]), "n": torch.tensor(5)}
    states = [
        {"w": torch.tensor([1.0, 1.0 + x]), "b": torch.tensor([2.0]), "n": torch.tensor(5 + n)}
        for x, n in [(1.0, 2), (-1.0, 2), (2.0, 2), (1e30, 10**6)]
    ]
    found, cut = shortened(states, sent, {"w", "b"}, 3.0)
    assert cut == [3]
    assert [each["w"].tolist() for each in found] == [[1, 2], [1, 0], [1, 3], [1, 4]]
    # What counts has a scale of its own, and stays whole.
    assert [int(each["n"]) for each in found] == [7, 7, 7, 11]
    assert found[3]["n"].dtype == torch.int64


def test_what_no_check_foresaw_is_its_sender_s_fault():
    def check(client, reply):
        if client == 2:
            raise ZeroDivisionError("nobody thought of this")
        return "fine"

    asked = {"a": 1, "b": 2}
    about = [SimpleNamespace(reply_to_message_id=name, src_node_id=0) for name in asked]
    replies = [SimpleNamespace(metadata=each, has_error=lambda: False) for each in about]
    passed, dropped = received(1, replies, asked, check)
    assert passed == {1: "fine"}
    assert [(one.client, one.reason) for one in dropped] == [
        (2, "its reply cannot be read (ZeroDivisionError: nobody thought of this)")
    ]


def test_clients_that_send_back_what_they_were_sent_do_not_shorten_the_others():
    sent = {"w": torch.zeros(2)}
    states = [{"w": torch.zeros(2)}, {"w": torch.zeros(2)}, {"w": torch.ones(2)}, {"w": torch.ones(2)}]
    assert shortened(states, sent, {"w"}, 3.0) == (states, [])
    assert shortened(states[:2], sent, {"w"}, 3.0) == (states[:2], [])


@pytest.mark.parametrize(
    ("claims", "wanted"),
    [
        ([40, 40, 40], [40, 40, 40]),
        ([40] * 9 + [400], [40] * 10),
        ([10, 50, 400], [10, 50, 340]),
        ([400, 400], [200, 200]),
    ],
)
def test_claims_that_cannot_all_be_true_are_cut_evenly(claims, wanted):
    assert within(claims, 400) == wanted


def test_a_client_cannot_claim_more_than_it_said_at_first(recipe, run):
    def answer(number, reply):
        content = content_of(reply)
        said = 40 if number != HOSTILE or len(seen) < 4 else 160
        seen.append(number)
        content["metrics"] = MetricRecord({"num-examples": said})
        return content

    seen = []
    found = run(recipe(protocol="fedavg", rounds=2), answer).result
    assert [(one.round, one.client) for one in found.dropped] == [(2, HOSTILE + 1)]
    assert "it claims to be trained on 160 samples, where 1 to 40 can be" in found.dropped[0].reason


def test_a_setting_says_that_clients_have_more_than_the_server(recipe, replayed):
    found = replayed(recipe(protocol="fedavg", rounds=1, claims=1000), answering(claims(900))).result
    assert found.dropped == ()


def below(name):
    def change(arrays):
        key = next(each for each in arrays if each.endswith(name))
        arrays[key] = Array(np.full_like(arrays[key], -1000))

    return weights(change)


@pytest.mark.parametrize("name", ["running_var", "num_batches_tracked"])
def test_statistics_that_cannot_be_are_refused(name, recipe, run):
    wanted = recipe(protocol="fedavg", rounds=1, model="mlp,norm=batch")
    found = run(wanted, answering(below(name))).result
    assert [one.client for one in found.dropped] == [HOSTILE + 1]
    assert "has -1e+03 where nothing below 0 can be" in found.dropped[0].reason


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
