"""Sets that other software made, given as plain arrays."""

from __future__ import annotations

import io
import pickle
import zipfile

import attar
import numpy as np
import pytest
import torch
from attar.artifact.card import dataset_card
from attar.artifact.manifest import Manifest
from attar.contracts import SetSpec
from attar.cost import Cost
from attar.errors import UsageError
from attar.exports import as_exported
from attar.given_sets import read_arrays
from attar.plugins import ReadsArrays
from attar.registry import Registry
from attar.rng import derive
from attar.tensor.arrays import kind_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@pytest.fixture(scope="module")
def iris():
    return attar.task("tensor", data="iris")


@pytest.fixture(scope="module")
def digits():
    return attar.task("tensor", data="digits")


def arrays(**changes):
    """Return a small set of iris, with some of its arrays changed; None leaves one out."""
    inputs = np.linspace(1, 7, 24, dtype=np.float32).reshape(6, 4)
    kept = {"inputs": inputs, "labels": np.arange(6) % 3, **changes}
    return {name: value for name, value in kept.items() if value is not None}


def test_samples_are_given_in_natural_units(iris):
    artifact = attar.from_arrays(iris, arrays())
    batch = artifact.decode()
    assert torch.allclose(batch.inputs, artifact.preprocess(arrays()["inputs"]))
    assert batch.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert batch.targets is None
    assert artifact.syn.label_kind == "hard"


def test_the_manifest_says_what_is_known_and_no_more(iris):
    manifest = attar.from_arrays(iris, arrays(), seed=7).manifest
    assert (manifest.kind, manifest.method.name, manifest.seed) == ("given", "given", 7)
    assert (manifest.method.settings, manifest.method.steps, manifest.cost) == ({}, 0, Cost())
    assert manifest.method.model == iris.architecture
    assert manifest.data.fingerprint == iris.fingerprint
    assert (manifest.size.ipc, manifest.size.decoded) == (2, 6)
    assert "# A small set given as arrays\n" in dataset_card(manifest)


def test_the_schema_knows_all_kinds():
    kinds = Manifest.model_json_schema()["properties"]["kind"]["enum"]
    assert kinds == ["distilled", "selected", "given"]


def test_a_given_set_is_saved_loaded_and_evaluated(iris, tmp_path):
    artifact = attar.from_arrays(iris, arrays())
    loaded = attar.load(artifact.save(tmp_path / "set"))
    assert loaded.manifest == artifact.manifest
    quick = attar.protocol("cpu-1", {"epochs": 1, "networks": 1})
    report = attar.evaluate(loaded, iris, protocol=quick, baselines=("random",), workers=1)
    assert (report.method, report.n_sets, report.seconds.cpu, report.data_changed) == ("given", 1, 0, False)
    assert report.architecture == iris.architecture
    assert report.baselines["random"].n == 5
    attar.export(loaded, tmp_path / "out", "npz")
    assert "given as arrays." in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("name", ["iris", "digits"])
def test_an_export_is_read_back(name, dtype, tmp_path, request):
    task = request.getfixturevalue(name)
    artifact = attar.distill(task, method="random", ipc=2)
    attar.export(artifact, tmp_path / "out", "npz", dtype=dtype)
    read = attar.from_arrays(task, tmp_path / "out" / "data.npz").decode()
    expected = as_exported(artifact, "npz", dtype=dtype).decode()
    assert torch.equal(read.inputs, expected.inputs)
    assert torch.equal(read.labels, expected.labels)


@pytest.mark.parametrize("kind", ["probability", "regression"])
def test_learned_targets_are_read_back(kind, iris, tmp_path):
    syn = iris.synthesize(iris.gather(torch.arange(6)), SetSpec(label_kind=kind), derive(0))
    batch = syn.decode()
    Registry().get("modalities", "tensor").exports()["npz"].write(
        batch, attar.from_arrays(iris, arrays()).info, "float32", tmp_path
    )
    artifact = attar.from_arrays(iris, str(tmp_path / "data.npz"))
    assert artifact.syn.label_kind == kind
    assert torch.allclose(artifact.decode().targets, batch.targets, atol=1e-5)


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-20, 20, width=32)))
def test_whatever_sums_to_one_is_a_probability(scores):
    values = torch.from_numpy(scores)
    assert kind_of(values.softmax(1)) == "probability"
    assert kind_of(values.softmax(1).half().float()) == "probability"
    assert kind_of(values.softmax(1) - 0.25) == "regression"
    assert kind_of(values.softmax(1) * 1.5) == "regression"


def test_tensors_of_any_kind_are_taken(iris):
    plain = attar.from_arrays(iris, arrays()).manifest.sha256
    inputs = torch.from_numpy(arrays()["inputs"])
    given = {"inputs": inputs.requires_grad_(), "labels": torch.arange(6) % 3}
    assert attar.from_arrays(iris, given).manifest.sha256 == plain
    big = {"inputs": arrays()["inputs"].astype(">f8"), "labels": arrays()["labels"].astype(np.uint8)}
    assert attar.from_arrays(iris, big).manifest.sha256 == plain
    sparse = {**given, "inputs": inputs.detach().to_sparse()}
    assert attar.from_arrays(iris, sparse).manifest.sha256 == plain


def test_class_names_are_checked(iris):
    names = np.array(iris.classes)
    attar.from_arrays(iris, arrays(classes=names))
    with pytest.raises(
        UsageError, match=r"'classes' names a, b, c, but 'iris' has setosa, .*leave 'classes' out"
    ):
        attar.from_arrays(iris, arrays(classes=["a", "b", "c"]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"input": np.zeros(3)}, "unknown array 'input': did you mean 'inputs'"),
        ({"inputs": None}, "there is no array 'inputs'; a set needs inputs and labels, and may have targets"),
        ({"labels": None}, "there is no array 'labels'"),
        ({"inputs": np.zeros((6, 5))}, r"'inputs' has shape \(6, 5\); give \(n, 4\) as in 'iris'"),
        ({"inputs": np.zeros((0, 4)), "labels": np.zeros(0, int)}, "n at least 1"),
        ({"inputs": np.full((6, 4), np.nan)}, "'inputs' is not finite everywhere"),
        ({"inputs": np.full((6, 4), 1e300)}, "'inputs' is not finite everywhere in float32"),
        ({"inputs": np.zeros((6, 4), complex)}, "'inputs' holds complex128; give real numbers"),
        ({"inputs": [["a"] * 4] * 6}, "the array 'inputs' is no array of numbers"),
        ({"labels": np.arange(5)}, r"'labels' has shape \(5,\); give \(6,\)"),
        ({"labels": np.eye(6)}, r"'labels' has several labels per sample, of shape \(6, 6\)"),
        ({"labels": np.zeros(6) + 0.5}, "'labels' has the label 0.5; labels must be whole numbers"),
        ({"labels": np.arange(6)}, "row 3 of the array 'labels' has the label 3"),
        ({"labels": np.array(["setosa"] * 5 + ["rose"])}, "row 5 of the array 'labels' has the label 'rose'"),
        ({"labels": np.arange(6) % 3 - 1}, "'labels' has no label in row 0"),
        ({"targets": np.zeros((6, 2))}, r"'targets' has shape \(6, 2\); give \(6, 3\)"),
        ({"targets": np.full((6, 3), np.inf)}, "'targets' is not finite everywhere"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(iris, changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        attar.from_arrays(iris, arrays(**changes))


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, value in members.items():
            file.writestr(f"{name}.npy", value)
    return content.getvalue()


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('pickle was run')",)


def pickled():
    content = io.BytesIO()
    np.lib.format.write_array(content, np.array([Trap()], dtype=object), allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        archive(inputs=b"no array"),
        archive(inputs=pickled()),
        archive(inputs=pickle.dumps(1)),
    ],
    ids=["empty", "text", "no array", "objects", "pickle"],
)
def test_a_damaged_file_is_refused_and_nothing_in_it_is_run(iris, content, tmp_path):
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"set\.npz is no NumPy archive of plain arrays; write it with numpy"
    ):
        attar.from_arrays(iris, tmp_path / "set.npz")


def test_a_truncated_file_is_refused(tmp_path):
    np.savez(tmp_path / "set.npz", **arrays())
    (tmp_path / "set.npz").write_bytes((tmp_path / "set.npz").read_bytes()[:-30])
    with pytest.raises(UsageError, match="no NumPy archive"):
        read_arrays(tmp_path / "set.npz")


def test_a_file_that_is_missing_is_named(iris, tmp_path):
    with pytest.raises(UsageError, match=r"there is no file .*nothing\.npz"):
        attar.from_arrays(iris, tmp_path / "nothing.npz")


def test_a_modality_need_not_take_arrays(iris):
    class Without:
        def get(self, group, name):
            return object()

    with pytest.raises(UsageError, match="a set of modality 'tensor' cannot be given as arrays"):
        attar.from_arrays(iris, arrays(), registry=Without())
    assert isinstance(Registry().get("modalities", "tensor"), ReadsArrays)
