from __future__ import annotations

import json

import pytest
import torch
from attar.checkpoint import Checkpoint, Checkpoints, finite, pack, unpack
from attar.errors import InternalError, UsageError
from attar.files import to_json
from hypothesis import given
from hypothesis import strategies as st

TENSORS = st.sampled_from(
    [
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.arange(6).view(2, 3).T,
        torch.tensor([True, False]),
        torch.tensor([0.1], dtype=torch.bfloat16),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | TENSORS
)
KEYS = st.text(max_size=3) | st.integers(0, 3)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@given(TREES)
def test_unpack_inverts_pack_through_json(tree):
    tensors, skeleton = pack(tree)
    assert equal(unpack(tensors, json.loads(to_json(skeleton))), tree)


def test_tensors_with_like_paths_stay_apart():
    tree = {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}, 0: torch.zeros(2), "0": torch.ones(2)}
    tensors, skeleton = pack(tree)
    assert equal(unpack(tensors, skeleton), tree)


def test_pack_copies():
    values = torch.zeros(2)
    tensors, skeleton = pack({"values": values})
    values += 1
    assert unpack(tensors, skeleton)["values"].tolist() == [0, 0]


def test_pack_refuses_what_no_file_holds():
    with pytest.raises(InternalError, match="a checkpoint cannot hold object at '/a/1'"):
        pack({"a": [1, object()]})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_finite_looks_everywhere(bad):
    good = {"a": [torch.zeros(1), "x"], "b": (torch.tensor([1]),)}
    assert finite(good)
    assert not finite({**good, "c": [{"d": torch.tensor([0.0, bad])}]})


def make(step):
    shared = torch.full((3,), float(step))
    state = {"values": shared, "same": shared, "n": [step, None], 0: {"momentum": 0.1}}
    return Checkpoint(step=step, state=state, meta={"cost": {"cpu": 0.5}})


@pytest.fixture
def saved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    for step in (5, 10, 15):
        checkpoints.save(make(step))
    return checkpoints, tmp_path / "checkpoint"


def test_the_newest_two_are_kept(saved):
    checkpoints, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000010", "step-000000015"]
    found = checkpoints.newest()
    assert (found.step, found.meta) == (15, {"cost": {"cpu": 0.5}})
    assert equal(found.state, make(15).state)


def test_there_is_none_at_first(tmp_path):
    assert Checkpoints(tmp_path / "missing").newest() is None


def test_the_same_step_can_be_saved_again(saved):
    checkpoints, folder = saved
    checkpoints.save(make(15))
    assert len(list(folder.iterdir())) == 2
    assert checkpoints.newest().step == 15


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def without(key):
    def damage(path):
        header = json.loads(path.read_text())
        del header[key]
        path.write_text(json.dumps(header))

    return damage


def skeleton(value):
    def damage(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": value}))

    return damage


def wrong_number(path):
    path.write_text(path.read_text().replace("0.1", "0.9"))


DAMAGE = {
    "data cut": ("state.safetensors", cut),
    "data flipped": ("state.safetensors", flip),
    "data missing": ("state.safetensors", lambda path: path.unlink()),
    "header cut": ("state.json", cut),
    "header missing": ("state.json", lambda path: path.unlink()),
    "header empty": ("state.json", lambda path: path.write_bytes(b"")),
    "header no object": ("state.json", lambda path: path.write_bytes(b"[]")),
    "no digest": ("state.json", without("digest")),
    "no state": ("state.json", without("state")),
    "no meta": ("state.json", without("meta")),
    "state empty": ("state.json", skeleton({})),
    "state no object": ("state.json", skeleton([1])),
    "state names another tensor": ("state.json", skeleton({"tensor": "/other"})),
    "number changed": ("state.json", wrong_number),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_newest_falls_back_to_the_one_before(saved, name, damage):
    checkpoints, folder = saved
    damage(folder / "step-000000015" / name)
    assert checkpoints.newest().step == 10


def test_only_damaged_ones_are_an_error(saved):
    checkpoints, folder = saved
    for path in folder.iterdir():
        cut(path / "state.safetensors")
    with pytest.raises(UsageError, match=r"every checkpoint in .* is damaged; start again with --force"):
        checkpoints.newest()
