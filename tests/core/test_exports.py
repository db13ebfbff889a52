"""Exports of tensor sets, and what rounding changes."""

from __future__ import annotations

import json
import sys

import attar
import numpy as np
import pytest
import torch
from attar.batch import Batch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings
from attar.exports import ExportRecord, _difference, accuracy_change, as_exported
from attar.owned import LIST
from attar.plugins import DataInfo, Tabular
from attar.protocols import protocol
from attar.rng import derive
from attar.settings import parse
from attar.tensor import Standardize
from attar.tensor.export import Npz, Parquet
from attar.testing.compare import same_batch
from hypothesis import given
from hypothesis import strategies as st

INFO = DataInfo(
    classes=("a", "b c", "🐈"),
    axes=("feature",),
    preprocessing={"kind": "standardize", "scale": 2.0, "mean": [1.0, -3.0], "std": [0.5, 4.0], "axis": 0},
)
NPZ = Npz(summary="arrays", dtypes=("float32", "float16", "uint8"))


def batch_of(natural, targets=None):
    """Return samples given in the unit of the data."""
    values = torch.tensor(natural, dtype=torch.float32)
    inputs = parse(Standardize, INFO.preprocessing, "").encode(values)
    return Batch(inputs, torch.arange(len(values)) % 3, targets)


@pytest.fixture(scope="module")
def artifact():
    return attar.distill(attar.task("tensor", data="iris"), method="random", ipc=2)


def read_npz(folder):
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_npz_holds_natural_units(artifact, tmp_path):
    record = attar.export(artifact, tmp_path / "out", "npz")
    arrays = read_npz(tmp_path / "out")
    assert set(arrays) == {"inputs", "labels", "classes"}
    assert (arrays["inputs"].dtype, arrays["labels"].dtype) == (np.float32, np.int64)
    assert tuple(arrays["classes"]) == artifact.manifest.data.classes == ("setosa", "versicolor", "virginica")
    # Centimeters with one decimal, as they were measured.
    assert np.allclose(arrays["inputs"], arrays["inputs"].round(1), atol=1e-5)
    assert arrays["inputs"].min() > 0
    assert torch.allclose(artifact.preprocess(arrays["inputs"]), artifact.decode().inputs, atol=1e-5)
    assert record == ExportRecord(
        format="npz",
        dtype="float32",
        folder=str(tmp_path / "out"),
        samples=6,
        files=3,
        bytes=sum(path.stat().st_size for path in (tmp_path / "out").iterdir() if path.name != LIST),
        largest=record.largest,
        mean=record.mean,
        clipped=0.0,
    )
    assert 0 <= record.mean <= record.largest < 1e-5


def test_the_folder_says_how_it_is_read(artifact, tmp_path):
    attar.export(artifact, tmp_path / "out", "npz", dtype="float16")
    how = json.loads((tmp_path / "out" / "preprocessing.json").read_text("utf-8"))
    values = read_npz(tmp_path / "out")["inputs"].astype(np.float32)
    found = (values / how["scale"] - np.array(how["mean"])) / np.array(how["std"])
    rounded = as_exported(artifact, "npz", dtype="float16").decode().inputs
    assert np.allclose(found, rounded, atol=1e-5)
    assert (how["format"], how["dtype"], how["axis"]) == ("npz", "float16", 0)
    assert how["formula"].startswith("(x / scale - mean) / std")
    page = (tmp_path / "out" / "README.md").read_bytes().decode("utf-8")
    for word in ("6 samples", "`iris`", "`random`", "1. `versicolor`", "`unknown`", "no anonymity", '"std"'):
        assert word in page
    assert "\r" not in page


def test_rounding_is_told(tmp_path):
    batch = batch_of([[0.4, 254.0], [-10.0, 300.0], [7.5, 0.0]])
    assert NPZ.clipped(batch, INFO, "uint8") == pytest.approx(2 / 6)
    assert NPZ.clipped(batch, INFO, "float16") == 0
    assert NPZ.values(batch, INFO, "uint8").tolist() == [[0, 254], [0, 255], [8, 0]]
    largest, mean = _difference(batch, NPZ.rounded(batch, INFO, "uint8"))
    # A change of x natural units is x / scale / std standard deviations.
    changes = [0.4 / 1, 0, 10 / 1, 45 / 8, 0.5 / 1, 0]
    assert largest == pytest.approx(10, abs=1e-4)
    assert mean == pytest.approx(sum(changes) / 6, abs=1e-4)


def test_a_value_just_below_zero_is_rounded_and_not_cut_off():
    assert NPZ.clipped(batch_of([[-0.4, 255.4]]), INFO, "uint8") == 0


@given(
    values=st.lists(st.lists(st.floats(-6e4, 6e4, width=32), min_size=2, max_size=2), min_size=1, max_size=5),
    dtype=st.sampled_from(["uint8", "float16", "float32"]),
)
def test_a_reader_gets_what_is_told(values, dtype):
    batch = batch_of(values)
    written = NPZ.values(batch, INFO, dtype)
    assert str(written.dtype) == f"torch.{dtype}"
    standardize = NPZ.standardize(INFO)
    assert torch.equal(standardize.encode(written), NPZ.rounded(batch, INFO, dtype).inputs)
    natural = standardize.decode(batch.inputs)
    step = {"uint8": 0.5 + 1e-2, "float16": 32.0, "float32": 0.05}[dtype]
    inside = natural.clamp(0, 255) if dtype == "uint8" else natural
    assert float((written.float() - inside).abs().max()) <= step


def test_what_float16_cannot_hold_is_refused():
    with pytest.raises(
        UsageError, match=r"values up to 1e\+05 do not fit into float16; export the set as float32"
    ):
        NPZ.values(batch_of([[1e5, 0.0]]), INFO, "float16")


def learned(task):
    init = task.gather(torch.arange(6))
    return task.synthesize(init, SetSpec(label_kind="probability"), derive(0))


def test_learned_targets_are_written(blobs, tmp_path):
    batch = learned(blobs()).decode()
    info = DataInfo(classes=("0", "1", "2"), axes=(), preprocessing=blobs().preprocessing)
    for export in attar.Registry().get("modalities", "tensor").exports().values():
        export.write(batch, info, "float32", tmp_path)
    arrays = read_npz(tmp_path)
    assert arrays["targets"].dtype == np.float32
    assert np.array_equal(arrays["targets"], batch.targets.detach().numpy())
    table = hf().Dataset.from_parquet(str(tmp_path / "train.parquet"), cache_dir=str(tmp_path / "cache"))
    assert np.allclose(np.array(table["targets"][:]), arrays["targets"])


def hf():
    return pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("feature", [(5,), (2, 7), (1, 3, 4)])
def test_parquet_comes_back_as_it_was(blobs, tmp_path, feature, dtype):
    datasets = hf()
    task = blobs(feature=feature)
    artifact = attar.distill(task, method="random", ipc=2)
    attar.export(artifact, tmp_path / "out", "parquet", dtype=dtype)
    path, cache = tmp_path / "out" / "train.parquet", tmp_path / "cache"
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(cache))
    assert table.features["label"].names == ["0", "1", "2"]
    columns = table.with_format("numpy")[:]
    expected = Parquet(summary="", dtypes=(dtype,)).values(artifact.decode(), artifact.info, dtype).numpy()
    assert columns["inputs"].shape == (6, *feature)
    assert np.array_equal(columns["inputs"], expected)
    assert columns["label"].tolist() == artifact.decode().labels.tolist()
    memory = artifact.to_hf(dtype)
    assert memory.features == table.features
    assert np.array_equal(memory.with_format("numpy")[:]["inputs"], expected)


def test_progress_bars_of_datasets_stay_as_they_were(artifact, tmp_path, capfd):
    datasets = hf()
    assert not datasets.utils.are_progress_bars_disabled()
    attar.export(artifact, tmp_path / "out", "parquet")
    assert not datasets.utils.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")


def test_a_missing_library_is_named(artifact, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'attar-core\[hf\]'"):
        attar.export(artifact, tmp_path / "out", "parquet")
    with pytest.raises(UsageError, match=r"pip install 'attar-core\[hf\]'"):
        artifact.to_hf()
    assert list(tmp_path.iterdir()) == []


def test_parquet_refuses_what_it_cannot_hold():
    export = Parquet(summary="", dtypes=("float32",))
    with pytest.raises(
        UsageError, match=r"samples of shape \(\) do not fit into Parquet; choose the format npz"
    ):
        export.check(Batch(torch.zeros(3), torch.zeros(3, dtype=torch.int64)))
    twice = DataInfo(classes=("a", "a"), axes=(), preprocessing=INFO.preprocessing)
    hf()
    with pytest.raises(UsageError, match="two classes are called 'a'"):
        export.dataset(batch_of([[1.0, 2.0]]), twice, "float32")


def test_unknown_formats_and_types_are_refused(artifact, tmp_path):
    with pytest.raises(UsageError, match="unknown format 'npy': did you mean 'npz'"):
        attar.export(artifact, tmp_path / "out", "npy")
    with pytest.raises(UsageError, match="'npz' cannot hold 'bfloat16'; choose from float32, float16, uint8"):
        attar.export(artifact, tmp_path / "out", "npz", dtype="bfloat16")


def test_only_an_earlier_export_is_replaced(artifact, tmp_path):
    place = tmp_path / "out"
    attar.export(artifact, place, "npz")
    with pytest.raises(UsageError, match="exists and is not empty"):
        attar.export(artifact, place, "npz")
    attar.export(artifact, place, "npz", dtype="uint8", force=True)
    assert read_npz(place)["inputs"].dtype == np.uint8
    (place / "preprocessing.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"holds 'preprocessing.json', which .* was changed since"):
        attar.export(artifact, place, "npz", force=True)
    assert (place / "data.npz").is_file()


def test_a_failed_export_leaves_nothing(artifact, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UsageError, match="the disk is full"):
        attar.export(artifact, tmp_path / "out", "npz")
    assert list(tmp_path.iterdir()) == []


def test_the_loss_of_accuracy_is_measured(tmp_path):
    task = attar.task("tensor", data="iris")
    artifact = attar.distill(task, method="random", ipc=2)
    settings = EvaluationSettings(
        protocol=protocol("cpu-1", {"epochs": "30", "networks": "2"}),
        workers=1,
        model="linear",
        cache=tmp_path,
    )
    same = accuracy_change(artifact, task, "npz", settings=settings)
    assert same.change == pytest.approx(0, abs=4)
    assert same.stored.n == same.exported.n == 2
    # Whole centimeters say little of petals, and the result is not taken for the other's.
    rounded = accuracy_change(artifact, task, "npz", dtype="uint8", settings=settings)
    assert rounded.stored == same.stored
    assert rounded.exported != rounded.stored
    assert rounded.change == pytest.approx(rounded.exported.mean - rounded.stored.mean)


def test_sets_as_exported_have_hashes_of_their_own(artifact):
    hashes = {as_exported(artifact, "npz", dtype=d).manifest.sha256 for d in ("float32", "float16", "uint8")}
    assert len(hashes | {artifact.manifest.sha256}) == 4
    exported = as_exported(artifact, "npz")
    assert same_batch(exported.decode(), artifact.decode(), rtol=1e-5)
    rows = torch.tensor([3, 1])
    assert same_batch(exported.syn.decode(rows), exported.decode().take(rows))
    assert (exported.syn.groups(), exported.syn.stored(), exported.syn.description()) == ({}, {}, {})


def test_formats_that_are_tables_say_so(artifact, monkeypatch):
    modality = attar.Registry().get("modalities", "tensor")
    formats = modality.exports()
    assert [name for name, each in formats.items() if isinstance(each, Tabular)] == ["parquet"]
    monkeypatch.setattr(type(modality), "exports", lambda self: {"npz": formats["npz"]})
    with pytest.raises(
        UsageError, match="a set of modality 'tensor' is no table for Hugging Face's datasets"
    ):
        artifact.to_hf()
