"""States that a run cannot have left, in checkpoints whose digest is right: anybody can compute it."""

from __future__ import annotations

import functools
import json

import attar
import pytest
import torch
from attar.checkpoint import _digest
from attar.errors import UsageError
from attar.files import to_json
from attar.testing import toy_task
from safetensors.torch import load, save

QUICK = {"ipc": 1, "steps": 6, "model": "mlp,width=8"}
METHODS = {
    "dm": {"method": "dm"},
    "dc": {"method": "dc", "inner": 1, "outer": 6},
    "frepo": {"method": "frepo", "pool": 2, "oldest": 3},
    "clipped": {"method": "rat-bptt", "inner": 2, "window": 1},
    "learned": {"method": "dd", "inner": 2, "labels": "probability"},
    "validate": {"method": "dm", "validate_every": 2},
}


@pytest.fixture
def begun(tmp_path):
    """Begins a run that ends in its sixth step; the states after the fourth and the fifth are kept."""

    def begin(**settings):
        task, out = toy_task((4,), modality="tensor"), tmp_path / "run"
        given = {**QUICK, **settings, "out": out}

        def stop(record):
            if record.step == 6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            attar.distill(task, callbacks=[stop], **given)
        return lambda: attar.distill(task, resume=True, **given), out / "checkpoint"

    return begin


@pytest.fixture(autouse=True)
def saved_often(monkeypatch):
    """Runs save after each step."""
    from attar import runner

    usual = runner.RunOptions.__init__

    def often(self, **given):
        usual(self, **{**given, "save_every": 1})

    monkeypatch.setattr(runner.RunOptions, "__init__", often)


@functools.cache
def whole(method):
    """What a run comes to that nothing interrupts."""
    task = toy_task((4,), modality="tensor")
    return attar.distill(task, **{**QUICK, **METHODS[method]}).decode().inputs


def tampered(newest, change):
    """Change a checkpoint and make its digest right again."""
    header = json.loads((newest / "state.json").read_text())
    tensors = load((newest / "state.safetensors").read_bytes())
    change(header, tensors)
    content = save(tensors)
    header["digest"] = _digest(header, content)
    (newest / "state.safetensors").write_bytes(content)
    (newest / "state.json").write_bytes(to_json(header))


def node(header, *path):
    found = header["state"]
    for part in path:
        pairs = {pair[0]: pair for pair in found["dict"]} if "dict" in found else found["list"]
        found = pairs[part][1] if "dict" in found else pairs[part]
    return found


def state(value):
    return lambda header, tensors: header.update(state=value)


def meta(**values):
    return lambda header, tensors: header["meta"].update(values)


def shorter(header, tensors):
    name = next(iter(tensors))
    tensors[name] = tensors[name][:-1].clone()


def other_labels(header, tensors):
    name = node(header, "syn", "labels")["tensor"]
    tensors[name] = tensors[name] + 90


def before_the_first(header, tensors):
    for name, each in tensors.items():
        if name.endswith("/step"):
            tensors[name] = each * 0 - 1


def replaced(path, value):
    def change(header, tensors):
        found = node(header, *path)
        found.clear()
        found.update(value)

    return change


CHANGES = {
    "state is a list": ("dm", state([])),
    "state is empty": ("dm", state({})),
    "state of an unknown kind": ("dm", state({"bogus": 1})),
    "state without parts": ("dm", state({"dict": []})),
    "no environment": ("dm", meta(environment=[])),
    "cost is a text": ("dm", meta(cost="much")),
    "no cost": ("dm", lambda header, tensors: header["meta"].pop("cost")),
    "meta is a list": ("dm", lambda header, tensors: header.update(meta=[])),
    "step below zero": ("dm", lambda header, tensors: header.update(step=-5)),
    "step is zero": ("dm", lambda header, tensors: header.update(step=0)),
    "a set of another shape": ("dm", shorter),
    "labels of no class": ("dm", other_labels),
    "momentum is a text": ("dm", replaced(("optimizers", "values", "state"), {"value": "x"})),
    "steps below zero": ("learned", before_the_first),
    "no mean of gradients": ("clipped", replaced(("optimizers", "values", "param_groups"), {"list": []})),
    "no model in training": ("dc", replaced(("source",), {"dict": []})),
    "another round": ("dc", replaced(("source", "0", "round"), {"value": 3})),
    "weights of another network": ("dc", replaced(("source", "0", "weights"), {"dict": []})),
    "a pool without members": ("frepo", replaced(("source", "0", "members"), {"list": []})),
    "a pool's age is a text": ("frepo", replaced(("source", "0", "members", 0, "age"), {"value": "old"})),
    "a learned value is a text": ("learned", replaced(("learned",), {"value": "x"})),
    "no best set": ("validate", replaced(("best", "kept"), {"dict": []})),
    "scores of other steps": ("validate", replaced(("best", "scores"), {"list": []})),
}


@pytest.mark.parametrize(("method", "change"), CHANGES.values(), ids=CHANGES)
def test_a_state_of_no_such_run_is_passed_over_for_the_one_before(begun, method, change):
    resume, folder = begun(**METHODS[method])
    tampered(folder / "step-000000005", change)
    assert torch.equal(resume().decode().inputs, whole(method))


def test_nothing_is_left_where_no_state_fits(begun):
    resume, folder = begun(**METHODS["dc"])
    for place in sorted(folder.iterdir()):
        tampered(place, replaced(("source",), {"dict": []}))
    with pytest.raises(UsageError, match=r"every checkpoint in .* is damaged; start again with --force"):
        resume()


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[" * 10_000, b'{"step": ' + b"9" * 5000 + b"}", b"[]", b"5"])
def test_a_log_that_holds_anything_is_cut(begun, line):
    resume, folder = begun(**METHODS["dm"])
    log = folder.parent / "log.jsonl"
    log.write_bytes(log.read_bytes() + line + b"\n")
    resume()
    assert [json.loads(each)["step"] for each in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_what_held_out_data_said_is_asked_again_where_it_is_damaged(tmp_path, monkeypatch):
    task = toy_task((4,), modality="tensor")
    given = {**QUICK, "method": "dm", "restarts": 2, "out": tmp_path / "run"}
    once = attar.distill(task, **{**given, "out": tmp_path / "whole"})
    monkeypatch.setattr("attar.runs.clear_runs", lambda place: None)
    monkeypatch.setattr("attar.run_folder.RunFolder.finish", lambda self, artifact: None)
    attar.distill(task, **given)
    (tmp_path / "run" / "restarts" / "0" / "validation.json").write_text("[]")
    again = attar.distill(task, **given, resume=True)
    assert torch.equal(again.decode().inputs, once.decode().inputs)
