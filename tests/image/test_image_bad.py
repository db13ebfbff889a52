"""Files and rows that cannot be read: all named at once, or left out and recorded."""

from __future__ import annotations

import io
import json
import logging
import struct
import warnings

import attar
import numpy as np
import pytest
from attar.encoded.bad import Bad, refuse
from attar.encoded.items import _decoded
from attar.errors import UsageError
from PIL import Image


def encoded(shade):
    file = io.BytesIO()
    Image.new("L", (12, 12), shade).save(file, "PNG")
    return file.getvalue()


def write(folder, each=6):
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            (folder / name / f"{index}.png").write_bytes(encoded(100 * label + 10 * index))


@pytest.fixture
def odd(tmp_path):
    """Twelve images, three of them bad, the first of each class among them."""
    write(tmp_path / "odd")
    (tmp_path / "odd" / "cat" / "0.png").write_bytes(b"")
    (tmp_path / "odd" / "cat" / "3.png").write_bytes(b"text")
    (tmp_path / "odd" / "dog" / "0.png").write_bytes(encoded(5)[:-40])
    return tmp_path / "odd"


NAMES = ("cat/0.png", "cat/3.png", "dog/0.png")


@pytest.fixture
def saved(odd, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [], "label": []}
    for path in sorted(odd.rglob("*.png")):
        rows["image"].append({"bytes": path.read_bytes(), "path": str(path.relative_to(odd))})
        rows["label"].append(path.parent.name)
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def table(saved, tmp_path):
    import datasets

    datasets.load_from_disk(str(saved)).to_parquet(tmp_path / "odd.parquet")
    return tmp_path / "odd.parquet"


@pytest.mark.parametrize("cache", ["disk", "none"])
@pytest.mark.parametrize("kind", ["odd", "saved", "table"])
def test_all_bad_samples_are_named_in_one_message(kind, cache, request):
    with pytest.raises(UsageError, match=r"3 images are bad: .*is empty, .*cannot be read .*, .*") as told:
        attar.task("image", data=request.getfixturevalue(kind), cache=cache)
    assert "leave such images out with --set data.bad=skip" in str(told.value)


@pytest.mark.parametrize("cache", ["disk", "none"])
@pytest.mark.parametrize("kind", ["odd", "saved", "table"])
def test_bad_samples_can_be_left_out_and_are_recorded(kind, cache, request, caplog):
    data = request.getfixturevalue(kind)
    task = attar.task("image", data=data, cache=cache, bad="skip", validation=0)
    assert task.size("train") + task.size("test") == 9
    (told,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert told.startswith("3 of 12 images cannot be read and are left out: ")
    record = attar.distill(task, method="random", ipc=1).manifest.data
    assert record.about["skipped"] == {"samples": 3, "names": list(NAMES)}
    assert record.options["bad"] == "skip"


def test_the_samples_left_are_those_of_the_folder_without_the_bad_ones(odd):
    skipped = attar.task("image", data=odd, bad="skip")
    for name in NAMES:
        (odd / name).unlink()
    clean = attar.task("image", data=odd)
    assert skipped.fingerprint == clean.fingerprint
    assert skipped.train.read(skipped.labels.nonzero()[:, 0]).equal(
        clean.train.read(clean.labels.nonzero()[:, 0])
    )
    assert "skipped" not in clean.about


def test_what_was_decoded_before_bad_samples_are_left_out_is_not_decoded_again(odd, monkeypatch):
    with pytest.raises(UsageError):
        attar.task("image", data=odd)
    from attar_image import decode

    seen = []
    known = decode.fit
    monkeypatch.setattr(decode, "fit", lambda *given: seen.append(1) or known(*given))
    attar.task("image", data=odd, bad="skip", size=8, channels=1)
    assert not seen


def test_a_file_that_was_permitted_since_is_no_longer_left_out(odd, monkeypatch):
    from attar.encoded import FolderSource

    known = FolderSource.fetch

    def forbidden(source, row):
        if source.names[row] == "dog/4.png":
            raise UsageError(f"{source.where(row)} cannot be read (Permission denied); restore it")
        return known(source, row)

    monkeypatch.setattr(FolderSource, "fetch", forbidden)
    assert attar.task("image", data=odd, bad="skip").about["skipped"]["samples"] == 4
    monkeypatch.undo()
    assert attar.task("image", data=odd, bad="skip").about["skipped"]["samples"] == 3


def test_bad_samples_of_all_splits_are_named_together(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / split)
        (tmp_path / split / "dog" / "2.png").write_bytes(b"")
    with pytest.raises(
        UsageError, match=r"2 images are bad: '.*train/dog/2.png' is empty, '.*test/dog/2.png'"
    ):
        attar.task("image", data=tmp_path)
    task = attar.task("image", data=tmp_path, bad="skip", validation=0)
    assert (task.size("train"), task.size("test")) == (11, 11)


def test_a_class_of_bad_samples_alone_is_refused(tmp_path):
    write(tmp_path, each=3)
    for path in (tmp_path / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="no image of the class 'dog' can be read"):
        attar.task("image", data=tmp_path, bad="skip")


def test_data_of_bad_samples_alone_are_refused(tmp_path):
    write(tmp_path, each=3)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="is empty"):
        attar.task("image", data=tmp_path, bad="skip")
    with pytest.raises(UsageError, match="none of 6 images can be read"):
        attar.task("image", data=tmp_path, bad="skip", size=8, channels=1)


def test_a_file_over_the_limit_is_not_read(tmp_path, monkeypatch):
    write(tmp_path / "own")
    with open(tmp_path / "own" / "cat" / "0.png", "r+b") as file:
        file.truncate(2**40)  # Holes: it takes no room on the disk, but would in memory.
    with pytest.raises(UsageError, match=r"cat/0\.png' has more than 536,870,912 bytes; remove or repair it"):
        attar.task("image", data=tmp_path / "own")


def test_what_pillow_warns_of_is_not_shown(tmp_path):
    write(tmp_path / "own")
    tags = struct.pack("<HHHII", 1, 256, 4, 2**31 - 1, 8)  # A tag that leads behind the end of the file.
    (tmp_path / "own" / "cat" / "0.png").write_bytes(b"II*\0\x08\0\0\0" + tags + bytes(4))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(UsageError, match="cannot be read as an image"):
            attar.task("image", data=tmp_path / "own")
    assert not seen


def test_values_that_are_not_finite_are_bad():
    class Decoder:
        dtype = np.float32

        def __call__(self, data, where):
            return np.array([np.float32(data)])

    assert _decoded(lambda: b"1", Decoder(), "'a'")[2] == ""
    assert _decoded(lambda: b"inf", Decoder(), "'a'")[1:] == (None, "'a' decodes to NaN or infinite values")


def test_very_many_are_counted():
    with pytest.raises(UsageError) as told:
        refuse([Bad(row, f"'{row}.png' is empty") for row in range(1234)], "image")
    assert "1,234 images are bad" in str(told.value)
    assert "'19.png' is empty, and 1,214 more; " in str(told.value)
    assert "'20.png'" not in str(told.value)


def test_the_command_line_leaves_them_out(odd, cli):
    asked = ("distill", "image", "--data", odd, "--ipc", 1, "--method", "random", "--out", "run")
    assert "3 images are bad" in cli(*asked).refusal
    found = cli(*asked, "--set", "data.bad=skip", "--json")
    assert json.loads(found.out)["samples"] == 2
    assert "3 of 12 images cannot be read and are left out" in found.err
