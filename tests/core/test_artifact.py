from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
import torch
from attar.artifact import Environment, MethodRecord, load, locate, make_artifact
from attar.artifact.store import tensor_records
from attar.contracts import SetSpec
from attar.cost import Cost
from attar.errors import UsageError
from attar.owned import LIST
from attar.registry import Registry
from attar.rng import derive
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.usefixtures("uninstalled")


def make(task, *, labels=(0, 0, 1, 1, 2, 2), dtype="float32", kind="hard", recipe="", method=None):
    counts = [labels.count(label) for label in range(3)]
    init = task.draw(counts[0], derive(0), [0, 1, 2])
    syn = task.synthesize(init, SetSpec(dtype=dtype, label_kind=kind), derive(0))
    return make_artifact(
        task,
        Registry().get("modalities", "tensor"),
        syn,
        kind="distilled",
        method=method or MethodRecord(name="dm", reference="a paper", settings={"lr": 1.0}, steps=3),
        seed=4,
        cost=Cost(cpu=1.5, wall=1.0),
        environment=Environment.current(),
        recipe=recipe,
    )


@pytest.fixture(scope="module")
def small(module_blobs):
    return make(module_blobs, recipe='method = "dm"\n')


@pytest.fixture(scope="module")
def module_blobs():
    import numpy as np
    from attar.tensor.builtin import tensor_task

    values = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    return tensor_task(values, np.arange(30) % 3, name="blobs", classes=("a", "b", "c"))


@pytest.fixture
def folder(small, tmp_path):
    return small.save(tmp_path / "artifact")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_round_trip_keeps_every_byte(small, folder, tmp_path):
    found = load(folder)
    assert found.manifest == small.manifest
    assert (found.recipe, found.preview) == (small.recipe, small.preview)
    assert found.syn.values.values.equal(small.syn.values.values)
    assert content(found.save(tmp_path / "again")) == content(folder)
    assert sorted(content(folder)) == [
        LIST,
        "README.md",
        "data.safetensors",
        "manifest.json",
        "preview.png",
        "recipe.toml",
    ]


def test_the_manifest_says_how_large_the_set_is(small, folder):
    size = small.manifest.size
    assert (size.ipc, size.stored, size.decoded) == (2, 6, 6)
    assert size.bytes == 6 * 4 * 4 + 6
    assert size.bytes_on_disk == (folder / "data.safetensors").stat().st_size
    assert small.manifest.sha256 == hashlib.sha256((folder / "data.safetensors").read_bytes()).hexdigest()


def test_the_manifest_holds_no_path(folder, tmp_path):
    for name, data in content(folder).items():
        assert str(tmp_path).encode() not in data, name


def test_the_data_carry_no_metadata(folder):
    data = (folder / "data.safetensors").read_bytes()
    assert b"__metadata__" not in data


def test_a_picture_comes_with_it(small):
    assert small.preview.startswith(b"\x89PNG")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_kept_in_memory_is_what_a_reader_gets(module_blobs, tmp_path, dtype):
    made = make(module_blobs, dtype=dtype)
    exact = make(module_blobs).decode().inputs
    found = load(made.save(tmp_path / "a")).decode().inputs
    assert found.dtype == torch.float32
    assert found.equal(made.decode().inputs)
    assert found.equal(exact.to(getattr(torch, dtype)).to(torch.float32))
    assert not found.equal(exact)
    assert made.manifest.size.bytes == 6 * 4 * 2 + 6


def test_soft_labels_are_stored(module_blobs, tmp_path):
    made = make(module_blobs, kind="probability")
    inputs, labels, targets = load(made.save(tmp_path / "a")).to_torch().tensors
    assert (inputs.shape, labels.tolist()) == ((6, 4), [0, 0, 1, 1, 2, 2])
    assert torch.allclose(targets.sum(1), torch.ones(6))
    assert targets.argmax(1).tolist() == labels.tolist()
    assert made.manifest.size.bytes == 6 * 4 * 4 + 6 + 6 * 3 * 4


def test_to_torch_is_detached(folder):
    inputs, labels = load(folder).to_torch().tensors
    assert not inputs.requires_grad
    assert labels.dtype == torch.int64
    assert len(load(folder).to_torch()) == 6


def test_a_set_of_no_plain_tensor_has_no_torch_data_set(small):
    class Odd(type(small.syn)):
        def decode(self, rows=None):
            batch = super().decode(rows)
            return batch.with_inputs((batch.inputs,))

    syn = Odd(small.syn.values, small.syn.labels)
    with pytest.raises(UsageError, match="a set of modality 'tensor' is no plain tensor; use decode"):
        replace(small, syn=syn).to_torch()


def test_an_occupied_folder_is_kept(small, folder):
    before = content(folder)
    with pytest.raises(UsageError, match="exists and is not empty"):
        small.save(folder)
    assert content(folder) == before
    assert content(small.save(folder, force=True)) == before


def test_locate_takes_a_run_or_its_artifact(small, tmp_path):
    small.save(tmp_path / "run" / "artifact")
    assert locate(tmp_path / "run") == locate(tmp_path / "run" / "artifact") == tmp_path / "run" / "artifact"


def test_locate_says_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        locate(tmp_path / "x")
    with pytest.raises(UsageError, match=r"holds no manifest\.json; give the folder of a run"):
        locate(tmp_path)
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(UsageError, match=r"the run .* is not finished; continue it with --resume"):
        locate(tmp_path)


def edit(change):
    """Change the manifest."""

    def damage(folder):
        path = folder / "manifest.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return damage


def rewrite(change, *, records=True):
    """Change the tensors, and the manifest so that its hash and records fit."""

    def damage(folder):
        path = folder / "data.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        if records:
            found = tensor_records(tensors)
            manifest["tensors"] = {name: each.model_dump(mode="json") for name, each in found.items()}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return damage


def data(change):
    def damage(folder):
        path = folder / "data.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return damage


def flip_last(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def announce_terabytes(content):
    header = {"values.values": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[-102:]


def put(key, value):
    def change(tensors):
        tensors[key] = value

    return change


def spoil(tensors):
    tensors["values.values"][0, 0] = float("nan")


def narrow(tensors):
    tensors["values.values"] = tensors["values.values"][:, :3].contiguous()


def empty(tensors):
    tensors["values.values"], tensors["labels"] = tensors["values.values"][:0], tensors["labels"][:0]


def twice(folder):
    """Name a tensor twice in the header; readers take one or the other."""

    def change(content):
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        text = b'{"labels": %s, ' % json.dumps(header["labels"]).encode() + content[8 : 8 + size].strip()[1:]
        return len(text).to_bytes(8, "little") + text + content[8 + size :]

    data(change)(folder)


def large(name):
    def damage(folder):
        with open(folder / name, "wb") as file:
            file.truncate(2**30)

    return damage


def point_outside(folder):
    outside = folder.parent / "outside"
    (folder / "data.safetensors").rename(outside)
    (folder / "data.safetensors").symlink_to(outside)


def recipe_outside(folder):
    (folder.parent / "secret").write_text("secret")
    (folder / "recipe.toml").unlink()
    (folder / "recipe.toml").symlink_to(folder.parent / "secret")


WRONG = {
    "broken JSON": (lambda f: (f / "manifest.json").write_text("{"), "is no valid JSON"),
    "no object": (lambda f: (f / "manifest.json").write_text("[]"), "has no schema_version"),
    "endless number": (
        lambda f: (f / "manifest.json").write_text('{"schema_version": ' + "9" * 5000 + "}"),
        "is no valid JSON",
    ),
    "missing key": (edit(lambda m: m.pop("seed")), "the setting 'manifest.seed' is missing; add it"),
    "missing inner key": (
        edit(lambda m: m["data"].pop("axes")),
        "the setting 'manifest.data.axes' is missing; add it",
    ),
    "unknown key": (
        edit(lambda m: m.update(run="rm")),
        "unknown setting 'manifest.run': did you mean 'manifest.kind'? choose from",
    ),
    "newer schema": (
        edit(lambda m: m.update(schema_version=99)),
        "has schema version 99, this attar-core reads 1 to 1; upgrade attar-core",
    ),
    "no schema": (edit(lambda m: m.pop("schema_version")), "has no schema_version; it is no manifest"),
    "no hash": (edit(lambda m: m.update(sha256="x")), "manifest.sha256 = 'x' does not fit"),
    "no classes": (edit(lambda m: m["data"].update(classes=[])), "manifest.data.classes = [] does not fit"),
    "changed data": (data(flip_last), "has been changed: its SHA-256 is not the one in manifest.json"),
    "truncated data": (data(lambda c: c[:-20]), "data.safetensors is damaged"),
    "empty data": (data(lambda c: b""), "data.safetensors is damaged"),
    "terabytes": (data(announce_terabytes), "data.safetensors is damaged"),
    "endless header": (data(lambda c: b"\xff" * 8 + c[8:]), "data.safetensors is damaged"),
    "missing data": (lambda f: (f / "data.safetensors").unlink(), "has no data.safetensors; restore it"),
    "wrong shape": (
        rewrite(narrow, records=False),
        "the tensor 'values.values' in data.safetensors is F32 (6, 3), manifest.json says F32 (6, 4)",
    ),
    "wrong type": (
        rewrite(lambda t: t.update({"labels": t["labels"].to(torch.int32)}), records=False),
        "the tensor 'labels' in data.safetensors is I32 (6,), manifest.json says U8 (6,)",
    ),
    "missing tensor": (
        rewrite(lambda t: t.pop("labels"), records=False),
        "data.safetensors and manifest.json disagree about the tensor 'labels'",
    ),
    "further tensor": (
        rewrite(put("code", torch.zeros(1)), records=False),
        "data.safetensors and manifest.json disagree about the tensor 'code'",
    ),
    "no labels at all": (
        rewrite(lambda t: t.pop("labels")),
        "the tensors of the artifact do not fit its description",
    ),
    "too few labels": (
        rewrite(put("labels", torch.zeros(3, dtype=torch.uint8))),
        "the tensors of the artifact do not fit its description",
    ),
    "too many labels": (
        rewrite(put("labels", torch.zeros(9, dtype=torch.uint8))),
        "the tensors of the artifact do not fit its description",
    ),
    "NaN": (rewrite(spoil), "the tensor 'values.values' in data.safetensors holds NaN or infinite values"),
    "labels too large": (
        rewrite(put("labels", torch.full((6,), 3, dtype=torch.uint8))),
        "the artifact has labels outside its 3 classes",
    ),
    "labels negative": (
        rewrite(put("labels", torch.full((6,), -1, dtype=torch.int16))),
        "the artifact has labels outside its 3 classes",
    ),
    "no sample": (rewrite(empty), "the artifact holds no sample"),
    "other shape": (
        rewrite(narrow),
        "the artifact has samples of shape (3,), but manifest.json says (4,)",
    ),
    "shape of another rank": (
        edit(lambda m: m["data"].update(feature=[1, 4])),
        "the artifact has samples of shape (4,), but manifest.json says (1, 4)",
    ),
    "targets of other classes": (
        lambda f: (
            rewrite(put("targets", torch.zeros(6, 2)))(f),
            edit(lambda m: m["set"].update(label_kind="probability"))(f),
        ),
        "the artifact has targets of shape (6, 2) for 6 samples of 3 classes",
    ),
    "a tensor twice": (twice, "data.safetensors is damaged (a name stands there twice)"),
    "large recipe": (large("recipe.toml"), "has 1,073,741,824 bytes, more than the 1,048,576 allowed"),
    "large picture": (large("preview.png"), "has 1,073,741,824 bytes, more than the"),
    "large manifest": (large("manifest.json"), "has 1,073,741,824 bytes, more than the"),
    "many classes": (
        edit(lambda m: m["data"].update(classes=[str(i) for i in range(100_001)])),
        "manifest.data.classes",
    ),
    "a large number": (edit(lambda m: m["size"].update(stored=10**400)), "manifest.size.stored"),
    "control characters": (
        edit(lambda m: m["tensors"].update({"\x1b]0;pwned\x07": 1})),
        "manifest.tensors.\N{REPLACEMENT CHARACTER}]0;pwned\N{REPLACEMENT CHARACTER}",
    ),
    "link outside": (point_outside, "points outside the artifact; copy the file into it"),
    "recipe outside": (recipe_outside, "recipe.toml in"),
    "recipe no text": (lambda f: (f / "recipe.toml").write_bytes(b"\xff"), "recipe.toml"),
    "unknown modality": (
        edit(lambda m: m["data"].update(modality="smell")),
        "unknown modality 'smell': choose from",
    ),
    "modality to install": (
        edit(lambda m: m["data"].update(modality="scent")),
        "the modality 'scent' is not installed: run 'pip install attar-scent'",
    ),
    "unknown parameterization": (
        edit(lambda m: m["set"].update(parameterization="magic")),
        "unknown parameterization 'magic'",
    ),
    "further setting": (
        edit(lambda m: m["set"]["settings"].update(x=1)),
        "unknown setting 'plain.x'",
    ),
    "no parameterization": (
        edit(lambda m: m["set"].pop("parameterization")),
        "the setting 'set.parameterization' is missing",
    ),
    "unknown kind of labels": (
        edit(lambda m: m["set"].update(label_kind="loud")),
        "set.label_kind = 'loud' does not fit",
    ),
    "unknown storage type": (
        edit(lambda m: m["set"].update(dtype="float8")),
        "set.dtype = 'float8' does not fit",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), WRONG.values(), ids=WRONG)
def test_every_wrong_artifact_has_its_sentence(folder, damage, sentence):
    damage(folder)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        load(folder)


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert load(tmp_path / "link").manifest.seed == 4


def test_values_that_overflow_their_storage_type_are_refused(module_blobs):
    init = module_blobs.draw(1, derive(0), [0, 1, 2])
    syn = module_blobs.synthesize(init.with_inputs(init.inputs + 1e6), SetSpec(dtype="float16"), derive(0))
    with pytest.raises(UsageError, match="float16"):
        make_artifact(
            module_blobs,
            Registry().get("modalities", "tensor"),
            syn,
            kind="distilled",
            method=MethodRecord(name="dm", reference="", settings={}),
            seed=0,
            cost=Cost(),
            environment=Environment.current(),
        )


NASTY = ("a`b", "c|d", "<script>alert(1)</script>", "e\nf", "", "``", "[x](y)", "---")


def card(small, *, classes=NASTY, reference="a paper"):
    from attar.artifact.card import dataset_card

    record = small.manifest.data.model_copy(update={"classes": classes, "name": "n|`"})
    method = small.manifest.method.model_copy(update={"reference": reference})
    return dataset_card(small.manifest.model_copy(update={"data": record, "method": method}))


def parse_front_matter(text):
    """Read the keys and lists that a card's head consists of."""
    lines = text.split("\n")
    assert lines[0] == "---"
    end = lines.index("---", 1)
    head, key = {}, ""
    for line in lines[1:end]:
        if line.startswith("- "):
            head[key].append(line[2:])
        else:
            key, value = re.fullmatch(r"([a-z_]+):(?: (\S+))?", line).groups()
            head[key] = value or []
    return head, lines[end + 1 :]


def test_the_card_has_a_head_that_the_hub_reads(small):
    head, _ = parse_front_matter(card(small, classes=("a", "b", "c")))
    assert head == {
        "license": "unknown",
        "task_categories": ["tabular-classification"],
        "size_categories": ["n<1K"],
        "tags": ["dataset-distillation", "attar"],
    }


def rows(text):
    return [line for line in text.split("\n") if line.startswith("|")]


def test_class_names_cannot_break_the_card(small):
    text = card(small)
    head, body = parse_front_matter(text)
    assert set(head) == {"license", "task_categories", "size_categories", "tags"}
    assert "---" not in body
    assert len(rows(text)) == 10
    for row in rows(text):
        assert row.count("|") == 3
        assert row.count("`") % 2 == 0
    outside = re.sub(r"`[^`\n]*`", "", text.split("```")[0])
    assert "<script>" not in outside
    assert "](y)" not in outside


def test_a_method_s_reference_cannot_break_the_card(small):
    text = card(small, reference="a | b\n\n<script>\n---")
    assert len(rows(text)) == 10
    assert all(row.count("|") == 3 for row in rows(text))
    assert "<script>" not in re.sub(r"`[^`\n]*`", "", text.split("```")[0])


def test_many_classes_are_cut_short(small):
    text = card(small, classes=tuple(f"class-{index}" for index in range(60)))
    assert "`class-49` and 10 more" in text
    assert "class-50" not in text
