from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Two classes of six gray images."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        place = tmp_path / "pets" / name
        place.mkdir(parents=True)
        for index in range(6):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path / "pets"


@pytest.fixture
def images(cli):
    def call(data, *more):
        quick = ("--steps", 1, "--model", "convnet,width=4,depth=2")
        return cli("distill", "image", "--data", data, "--ipc", 1, *quick, "--out", "run", *more)

    return call


@pytest.fixture
def arrays(cli):
    def call(data, *more):
        quick = ("--steps", 1, "--model", "mlp,width=4")
        return cli("distill", "tensor", "--data", data, "--ipc", 1, *quick, "--out", "run", *more)

    return call


def test_a_folder_of_classes_is_distilled(images, folder):
    assert images(folder, "--json").json["samples"] == 2


def test_a_file_that_is_no_image_by_its_name_is_passed_over(images, folder):
    (folder / "cats" / "notes.txt").write_text("about cats")
    assert images(folder, "--json").json["samples"] == 2


def test_an_empty_image_is_named(images, folder):
    (folder / "dogs" / "0.png").write_bytes(b"")
    assert "0.png' is empty; remove or repair it" in images(folder).refusal


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n cut short"])
def test_a_damaged_image_is_named(images, folder, content):
    (folder / "dogs" / "0.png").write_bytes(content)
    assert "0.png' cannot be read as an image" in images(folder).refusal


def test_an_image_cut_short_is_named(images, folder):
    for path in (folder / "dogs").iterdir():
        path.write_bytes(path.read_bytes()[:-60])
    assert ".png' cannot be read as an image" in images(folder).refusal


def _announced(side):
    """Return a PNG whose header announces a square of a side, with no pixels behind it."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 10_000, 60_000, 100_000])
def test_an_image_that_announces_too_many_pixels_is_refused(images, folder, side):
    (folder / "cats" / "0.png").write_bytes(_announced(side))
    assert "0.png" in images(folder).refusal


def test_an_empty_class_folder_is_named(images, folder):
    (folder / "birds").mkdir()
    said = images(folder).refusal
    assert "birds" in said
    assert "no images" in said


def test_a_folder_without_subfolders_says_where_images_go(images, tmp_path):
    (tmp_path / "flat").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "flat" / "0.png")
    assert "'" + str(tmp_path / "flat") + "' has no subfolders" in images(tmp_path / "flat").refusal


def test_a_file_in_place_of_a_folder_is_refused(images, folder):
    assert "is a file" in images(folder / "cats" / "0.png").refusal


def test_a_single_class_is_refused(images, folder):
    for path in (folder / "dogs").iterdir():
        path.unlink()
    (folder / "dogs").rmdir()
    assert "single class" in images(folder).refusal


def test_an_ipc_above_the_smallest_class_names_it(images, folder):
    for index in range(2, 6):
        (folder / "dogs" / f"{index}.png").unlink()
    assert "'dogs'" in images(folder, "--set", "size.ipc=3").refusal


def test_a_class_in_one_split_only_is_named(images, folder, tmp_path):
    (tmp_path / "split").mkdir()
    folder.rename(tmp_path / "split" / "train")
    (tmp_path / "split" / "test" / "cats").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "split" / "test" / "cats" / "0.png")
    assert "'dogs'" in images(tmp_path / "split").refusal


def test_a_name_too_long_for_any_folder_is_refused(images):
    assert "x" * 400 in images("x" * 400).refusal


def test_own_arrays_are_distilled(arrays, npz):
    assert arrays(npz(), "--json").json["samples"] == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_found(arrays, npz, bad):
    values = np.zeros((30, 4), np.float32)
    values[7, 2] = bad
    said = arrays(npz(x_train=values)).refusal
    assert "NaN or infinite" in said
    assert "sample 7" in said


@pytest.mark.parametrize(
    ("arrays_given", "words"),
    [
        ({"x_train": None, "y_train": None, "images": np.zeros(3)}, ["images", "x_train and y_train"]),
        ({"y_train": None}, ["x_train", "y_train"]),
        ({"x_test": np.zeros((3, 4), np.float32)}, ["x_test with y_test"]),
        ({"y_train": np.arange(29) % 3}, ["30 samples", "29 labels"]),
        ({"y_train": np.zeros(30) + 0.5}, ["label 0.5", "whole numbers"]),
        ({"y_train": np.zeros((30, 2), int)}, ["several labels", "(30, 2)"]),
        ({"y_train": np.arange(30) % 3 - 1}, ["no label in row 0"]),
        ({"x_train": np.zeros((30, 4), complex)}, ["real numbers", "complex128"]),
        ({"x_train": np.array([["a"]] * 30)}, ["numbers"]),
        ({"x_train": np.float32(1)}, ["own"]),
        ({"x_train": np.zeros((0, 4)), "y_train": np.zeros(0, int)}, ["no samples"]),
        ({"y_train": np.zeros(30, int)}, ["single class"]),
        ({"x_test": np.zeros((3, 5), np.float32), "y_test": np.arange(3)}, ["test", "(5,)", "(4,)"]),
        ({"x_test": np.zeros((3, 4), np.float32), "y_test": np.arange(3) + 7}, ["(test)", "label 7"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_arrays_that_do_not_fit_are_described(arrays, npz, arrays_given, words):
    said = arrays(npz(**arrays_given)).refusal
    assert [word for word in words if word not in said] == []


def test_labels_far_apart_are_the_classes_that_occur(arrays, npz):
    made = arrays(npz(y_train=np.where(np.arange(30) % 2, 3_000_000_000, 5)))
    assert made.code == 0
    assert "run from 5 to 3000000000; the 2 that occur are the classes" in made.err


def test_an_archive_of_zeros_is_refused_before_it_is_unpacked(arrays, tmp_path):
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, x_train=np.zeros((300, 2**20), np.uint8), y_train=np.arange(300) % 3)
    assert "unpacks to 314," in arrays(path).refusal


def test_pickled_objects_are_refused_and_not_run(arrays, npz, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    trap = np.array([Trap()] * 30, dtype=object)
    assert "plain arrays" in arrays(npz(x_train=trap)).refusal
    assert not (tmp_path / "sprung").exists()


def _zipped(**members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return target.getvalue()


def _npy(shape):
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return target.getvalue()


def _compressed():
    target = io.BytesIO()
    np.savez_compressed(target, x_train=np.arange(4000.0).reshape(-1, 4), y_train=np.arange(1000) % 2)
    content = bytearray(target.getvalue())
    content[200:240] = bytes(40)
    return bytes(content)


def _array_alone():
    target = io.BytesIO()
    np.save(target, np.zeros(3))
    return target.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        b"PK\x03\x04 cut short",
        _array_alone(),
        _compressed(),
        _zipped(x_train=_npy((10**13,)), y_train=_npy((3,))),
        _zipped(x_train=b"no array", y_train=b""),
    ],
    ids=["empty", "text", "cut short", "one array", "flipped bits", "announces terabytes", "no arrays"],
)
def test_a_damaged_archive_is_named(arrays, tmp_path, content):
    (tmp_path / "own.npz").write_bytes(content)
    assert "own.npz" in arrays("own.npz").refusal


def test_an_export_is_read_as_data(arrays, tmp_path):
    np.savez(tmp_path / "set.npz", inputs=np.random.rand(30, 4), labels=np.arange(30) % 3)
    assert arrays(tmp_path / "set.npz").code == 0
