"""Exports of image sets, read by the loaders that people have."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.plugins import DataInfo
from attar_image.export import EXPORTS, png
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save

NAMES = ("test", 'a/b, "c"', "CON", "🐈", "con ")


@pytest.fixture(scope="module", params=[1, 3], ids=["gray", "color"])
def artifact(request):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 7, 6, request.param), dtype=np.uint8)
    task = attar.task("image", data=(pixels, np.arange(30) % 5), classes=NAMES)
    return attar.distill(task, method="random", ipc=2)


def pixels_of(artifact):
    values = EXPORTS["npz"].values(artifact.decode(), artifact.info, "float32").numpy()
    assert np.abs(values - values.round()).max() < 1e-3
    return values.round().astype(np.uint8)


def opened(content):
    """Return a picture as ``(channels, height, width)``."""
    values = np.asarray(Image.open(io.BytesIO(content)))
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


@given(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_png_keeps_every_pixel(channels, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (channels, height, width), dtype=np.uint8)
    assert np.array_equal(opened(png(pixels)), pixels)


def test_png_files_and_their_table(artifact, tmp_path):
    record = attar.export(artifact, tmp_path / "out", "png")
    assert (record.dtype, record.samples, record.files, record.clipped) == ("uint8", 10, 13, 0.0)
    # Real pixels are whole numbers: nothing is lost.
    assert record.largest < 1e-4
    with open(tmp_path / "out" / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file_name"] for row in rows] == [f"{i:05d}.png" for i in range(10)]
    labels = artifact.decode().labels.tolist()
    assert [(int(row["label"]), row["class"]) for row in rows] == [(label, NAMES[label]) for label in labels]
    found = [opened((tmp_path / "out" / row["file_name"]).read_bytes()) for row in rows]
    assert np.array_equal(found, pixels_of(artifact))


# datasets 4 leaves the table that it has read open.
@pytest.mark.filterwarnings("ignore:unclosed file .*metadata.csv:ResourceWarning")
def test_hugging_face_reads_png_files(artifact, tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    attar.export(artifact, tmp_path / "out", "png")
    where = {"data_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    table = datasets.load_dataset("imagefolder", **where)["train"]
    assert table["label"][:] == artifact.decode().labels.tolist()
    assert table["class"][:] == [NAMES[label] for label in table["label"][:]]
    assert np.array_equal(
        np.asarray(table[3]["image"]).ravel(), pixels_of(artifact)[3].transpose(1, 2, 0).ravel()
    )


def test_torchvision_reads_class_folders(artifact, tmp_path):
    from torchvision.datasets import ImageFolder

    attar.export(artifact, tmp_path / "out", "imagefolder")
    how = json.loads((tmp_path / "out" / "preprocessing.json").read_text("utf-8"))
    assert len({name.casefold() for name in how["folders"]}) == 5
    folder = ImageFolder(str(tmp_path / "out"))
    assert sorted(folder.classes) == sorted(how["folders"])
    assert len(folder) == 10
    pixels, labels = pixels_of(artifact), artifact.decode().labels.tolist()
    for path, found in folder.samples:
        number = int(path[-9:-4])
        assert folder.classes[found] == how["folders"][labels[number]]
        with open(path, "rb") as file:
            assert np.array_equal(opened(file.read()), pixels[number])


def test_hugging_face_reads_class_folders(tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    attar.export(digits(), tmp_path / "out", "imagefolder")
    where = {"data_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    table = datasets.load_dataset("imagefolder", **where)["train"]
    assert table.features["label"].names == [str(label) for label in range(10)]
    assert table["label"][:] == list(range(10))


def test_attar_reads_its_own_class_folders_and_parquet(artifact, tmp_path):
    for format in ("imagefolder", "parquet"):
        attar.export(artifact, tmp_path / format, format)
        task = attar.task("image", data=tmp_path / format, validation=0, test=0.5)
        assert task.counts.sum() == 5
        assert task.feature == (artifact.info.feature[0], 8, 8)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_parquet_comes_back_as_it_was(artifact, tmp_path, dtype):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    attar.export(artifact, tmp_path / "out", "parquet", dtype=dtype)
    path, cache = tmp_path / "out" / "train.parquet", tmp_path / "cache"
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(cache))
    kinds = {"uint8": datasets.Image, "float16": datasets.Array3D, "float32": datasets.Array3D}
    assert isinstance(table.features["image"], kinds[dtype])
    assert table.features["label"].names == list(NAMES)
    columns = table.with_format("torch")[:]
    # Pictures and arrays come alike: channels first.
    assert torch.allclose(columns["image"].float(), torch.from_numpy(pixels_of(artifact)).float(), atol=0.07)
    assert torch.equal(columns["label"], artifact.decode().labels)
    assert artifact.to_hf(dtype).features == table.features


def digits():
    return attar.distill(attar.task("image", data="digits"), method="random", ipc=1)


@pytest.mark.parametrize("format", ["npz", "parquet"])
def test_pixels_run_to_255_whatever_unit_the_data_came_in(tmp_path, format):
    artifact = digits()
    assert artifact.manifest.data.preprocessing["scale"] == 16
    attar.export(artifact, tmp_path / "out", format)
    how = json.loads((tmp_path / "out" / "preprocessing.json").read_text("utf-8"))
    assert how["scale"] == 255
    values = EXPORTS[format].values(artifact.decode(), artifact.info, "uint8")
    assert int(values.max()) == 255
    found = (values.float() / how["scale"] - torch.tensor(how["mean"])) / torch.tensor(how["std"])
    assert torch.allclose(found, artifact.decode().inputs, atol=0.5 / 255 / how["std"][0] + 1e-4)


def test_picture_files_hold_no_learned_targets(artifact, tmp_path):
    batch = artifact.decode()
    learned = type(batch)(batch.inputs, batch.labels, torch.zeros(10, 5))
    for name in ("png", "imagefolder"):
        with pytest.raises(
            UsageError, match="cannot hold the learned targets of this set; choose the format npz"
        ):
            EXPORTS[name].write(learned, artifact.info, "uint8", tmp_path)
    EXPORTS["npz"].write(learned, artifact.info, "uint8", tmp_path)
    with np.load(tmp_path / "data.npz") as arrays:
        assert arrays["targets"].shape == (10, 5)


def test_what_is_no_picture_is_refused(artifact, tmp_path):
    batch = artifact.decode()
    odd = batch.with_inputs(torch.zeros(10, 2, 4, 4))
    info = DataInfo(classes=NAMES, axes=(), preprocessing={"kind": "standardize"})
    for name in ("png", "imagefolder", "parquet"):
        with pytest.raises(
            UsageError, match=r"samples of shape \(2, 4, 4\) are no pictures of 1 or 3 channels"
        ):
            EXPORTS[name].rounded(odd, info, "uint8")
    with pytest.raises(UsageError, match="'png' cannot hold 'float16'; choose from uint8"):
        attar.export(artifact, tmp_path / "out", "png", dtype="float16")


def test_licenses_of_public_data_reach_the_artifact(monkeypatch):
    from attar_image import sources

    pixels = np.zeros((20, 28, 28), dtype=np.uint8)
    items = sources.ArrayItems(pixels[:, None], np.arange(20) % 2, "mnist")
    monkeypatch.setattr(sources, "load_public", lambda *_: (items, items, ("0", "1")))
    task = attar.task("image", data="mnist")
    assert task.license == "cc-by-sa-3.0"
    assert attar.distill(task, method="random", ipc=1).manifest.data.license == "cc-by-sa-3.0"


def test_own_data_of_a_public_name_have_no_known_license():
    pixels = np.zeros((20, 28, 28), dtype=np.uint8)
    task = attar.task("image", data=(pixels, np.arange(20) % 2), name="mnist")
    assert task.license == "unknown"


@pytest.fixture
def stored(tmp_path):
    """A stored set of digits, and what changes its manifest and its values."""
    task = attar.task("image", data="digits")
    attar.distill(task, method="random", ipc=1).save(tmp_path / "set")

    def change(options=None, scale=1.0):
        manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
        manifest["data"]["options"].update(options or {})
        tensors = load_file(tmp_path / "set" / "data.safetensors")
        content = save(
            {name: each * scale if each.is_floating_point() else each for name, each in tensors.items()}
        )
        (tmp_path / "set" / "data.safetensors").write_bytes(content)
        manifest["sha256"] = hashlib.sha256(content).hexdigest()
        (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))
        return attar.load(tmp_path / "set")

    return change


def test_an_option_that_is_null_is_one_that_nobody_chose(stored, tmp_path):
    """Where a number is taken: it is the data's own, not a failure of `int(None)`."""
    attar.export(stored({"channels": None, "size": None}), tmp_path / "null", format="imagefolder")
    assert len(list((tmp_path / "null").rglob("*.png"))) == 10


def test_values_that_are_too_large_in_the_unit_of_the_data_are_one_sentence(stored, tmp_path):
    with pytest.raises(UsageError, match="values that are too large for float32 in the unit of the data"):
        attar.export(stored(scale=1e38), tmp_path / "out", format="npz", dtype="float32")
