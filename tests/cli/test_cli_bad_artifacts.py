from __future__ import annotations

import hashlib
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save

pytestmark = pytest.mark.usefixtures("uninstalled")


@pytest.fixture
def edit(finished):
    """Changes values of the manifest, given by dotted key."""

    def change(**values):
        path = finished / "artifact" / "manifest.json"
        manifest = json.loads(path.read_text())
        for key, value in values.items():
            *parents, last = key.split("__")
            node = manifest
            for parent in parents:
                node = node[parent]
            node[last] = value
        path.write_text(json.dumps(manifest))

    return change


@pytest.fixture
def store(finished, edit):
    """Replaces the tensors, with their own hash in the manifest."""

    def replace(content):
        data = finished / "artifact" / "data.safetensors"
        data.write_bytes(content)
        edit(sha256=hashlib.sha256(content).hexdigest())

    return replace


@pytest.fixture
def both(cli, finished):
    """Refusals by show and by evaluate, which are the same sentence."""

    def call():
        shown = cli("show", finished, "--json").refusal
        assert cli("evaluate", finished, "--json").refusal == shown
        return shown

    return call


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[]", "schema_version"),
        (b"{}", "schema_version"),
        (b'{"schema_version": "1"}', "schema_version"),
        (b'{"schema_version": 0}', "schema version 0"),
        (b'{"schema_version": 99}', "upgrade attar-core"),
        (b'{"schema_version": 1}', "manifest.kind"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_a_broken_manifest_is_refused(both, finished, content, words):
    (finished / "artifact" / "manifest.json").write_bytes(content)
    assert words in both()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "stolen"}, ["manifest.kind", "distilled"]),
        ({"nope": 1}, ["manifest.nope"]),
        ({"sha256": "0" * 64}, ["SHA-256"]),
        ({"sha256": "short"}, ["manifest.sha256"]),
        ({"data__modality": "scent"}, ["pip install attar-scent"]),
        ({"data__modality": "nope"}, ["unknown modality 'nope'"]),
        ({"data__classes": []}, ["manifest.data.classes"]),
        ({"data__classes": ["one"]}, ["labels"]),
        ({"set__parameterization": "nope"}, ["parameterization 'nope'"]),
        ({"set__more": 1}, ["more"]),
        ({"set": {}}, ["parameterization"]),
        ({"set__dtype": "float99"}, ["dtype"]),
        ({"set__label_kind": "nope"}, ["label"]),
        ({"tensors": {}}, ["disagree"]),
        ({"tensors__labels": {"dtype": "U8", "shape": [10**12]}}, ["'labels'", "1000000000000"]),
        ({"tensors__labels": {"dtype": "F32", "shape": [3]}}, ["'labels'", "F32"]),
        ({"size__bytes": -1.5}, ["manifest.size.bytes"]),
        ({"cost__cpu": float("nan")}, ["manifest.cost.cpu", "finite"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_manifest_that_does_not_fit_is_refused(both, edit, changes, words):
    edit(**changes)
    said = both()
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    "preprocessing", [{"scale": "nope"}, {"mean": [0.0] * 9, "std": [1.0] * 9}], ids=["type", "length"]
)
def test_preprocessing_that_does_not_fit_is_refused_where_it_is_needed(cli, edit, finished, preprocessing):
    edit(data__preprocessing=preprocessing)
    assert cli("show", finished, "--out", "own.png").refusal


def test_other_tensors_are_refused(both, store, finished):
    tensors = load_file(finished / "artifact" / "data.safetensors")
    store(save({**tensors, "more": torch.zeros(1)}))
    assert "'more'" in both()


def test_wrong_shapes_are_refused(both, store, finished):
    tensors = load_file(finished / "artifact" / "data.safetensors")
    store(save({**tensors, "values.values": torch.zeros(7, 4)}))
    assert "(7, 4)" in both()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(both, store, finished, value):
    tensors = load_file(finished / "artifact" / "data.safetensors")
    store(
        save({name: torch.full_like(t, value) if t.is_floating_point() else t for name, t in tensors.items()})
    )
    assert "NaN" in both()


def test_changed_values_are_noticed(both, finished):
    data = finished / "artifact" / "data.safetensors"
    content = bytearray(data.read_bytes())
    content[-20] ^= 1
    data.write_bytes(content)
    assert "SHA-256" in both()


def _announcing(shape, size):
    header = json.dumps({"labels": {"dtype": "U8", "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tensors",
        struct.pack("<Q", 2**62),
        struct.pack("<Q", 2**40) + b"{",
        _announcing([10**13], 10**13),
        _announcing([2**40, 2**40], 3),
    ],
    ids=["empty", "text", "long header", "header of a terabyte", "terabytes", "overflow"],
)
def test_damaged_or_boundless_tensors_are_refused(both, store, content):
    store(content)
    assert "data.safetensors" in both()


@pytest.mark.parametrize("name", ["data.safetensors", "manifest.json", "preview.png", "recipe.toml"])
def test_a_link_that_leads_outside_is_refused(both, finished, tmp_path, name):
    (finished / "artifact" / name).rename(tmp_path / name)
    (finished / "artifact" / name).symlink_to(tmp_path / name)
    assert f"{name} in" in both()


def test_a_missing_file_is_named(both, finished):
    (finished / "artifact" / "data.safetensors").unlink()
    assert "data.safetensors" in both()


def test_a_recipe_that_is_no_text_is_refused(both, finished):
    (finished / "artifact" / "recipe.toml").write_bytes(b"\xff")
    assert "recipe.toml" in both()


def test_a_folder_without_an_artifact_says_what_to_give(cli, tmp_path):
    assert "manifest.json" in cli("show", tmp_path).refusal


def test_a_file_is_no_run(cli, tmp_path):
    (tmp_path / "note").write_text("keep")
    assert "'note'" in cli("show", "note").refusal


def test_an_unfinished_run_says_how_to_finish_it(cli, distill, ctrl_c):
    ctrl_c(2)
    assert distill("run").code == 130
    for command in ("show", "evaluate"):
        said = cli(command, "run").refusal
        assert "not finished" in said
        assert "--resume" in said
