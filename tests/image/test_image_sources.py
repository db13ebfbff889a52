"""Images from folders, tables, torchvision and Python, and the pixel cache behind files."""

from __future__ import annotations

import io
import json
import os
import pickle
from types import SimpleNamespace

import attar
import numpy as np
import pytest
import torch
from attar.encoded import MappedItems, items_of
from attar.errors import UsageError
from attar.tensor.items import ItemsView, JoinedItems, RelabeledItems, sample_name
from attar_image import read_folder
from attar_image.decode import Form, ImageDecoder
from attar_image.public import PUBLIC, load_public
from PIL import Image

FORM = Form(3, 8)


def save(path, shade=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, shade)).save(path)


@pytest.fixture
def shades(tmp_path):
    """Two classes of five images, dark and bright, each of a shade of its own."""
    folder = tmp_path / "shades"
    for label, name in enumerate(("dark", "bright")):
        for index in range(5):
            save(folder / name / f"{index}.png", shade=100 * label + 10 * index)
    return folder


def items(folder, cache="disk", **options):
    return items_of(read_folder(folder), ImageDecoder(FORM), cache=cache, threads=2, **options)


def cached(kind):
    from attar.cache import cache_root

    found = (cache_root() / "decoded").glob("*.npy")
    return sorted(path for path in found if ("x" in path.name.split("-")[-1]) == (kind == "pixels"))


# The cache.


def test_the_cache_changes_nothing(shades):
    kept, decoded = items(shades), items(shades, cache="none")
    rows = torch.tensor([3, 0, 9])
    assert kept.read(rows).equal(decoded.read(rows))
    assert kept.fingerprint(rows) == decoded.fingerprint(rows)
    assert kept.fingerprint() == decoded.fingerprint() != kept.fingerprint(rows)
    assert kept.labels.equal(decoded.labels)


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_samples_are_named_by_their_files_whatever_is_taken_of_them(cache, shades):
    found = items(shades, cache=cache)
    names = [sample_name(found, row) for row in range(len(found.labels))]
    there = sorted(path.relative_to(shades).as_posix() for path in shades.rglob("*.png"))
    assert sorted(name.replace(os.sep, "/") for name in names) == there
    rows = torch.tensor([2, 0])
    assert sample_name(ItemsView(found, rows), 0) == names[2]
    joined = JoinedItems([ItemsView(found, rows), found])
    assert [sample_name(joined, row) for row in (1, 2)] == [names[0], names[0]]
    assert sample_name(RelabeledItems(found, torch.tensor([1, 0])), 3) == names[3]


def test_a_task_of_files_says_what_its_samples_are_called(shades):
    task = attar.task("image", data=shades, test=0.34, validation=0)
    assert task.caption(0).endswith(".png")
    assert task.subset(torch.tensor([3])).caption(0) == task.caption(3)


def test_samples_without_files_have_no_names():
    assert attar.task("image", data="digits").caption(0) == ""


def test_an_unchanged_folder_is_not_read_again(shades, monkeypatch):
    items(shades)

    def refuse(*_):
        raise AssertionError("read again")

    monkeypatch.setattr("attar.encoded.folder.FolderSource.fetch", refuse)
    assert items(shades).read(torch.tensor([4]))[0, 0, 0, 0] == 140


def test_a_changed_file_is_decoded_anew(shades):
    before = items(shades)
    save(shades / "dark" / "0.png", shade=200, size=(13, 11))
    after = items(shades)
    assert (int(before.read(torch.tensor([5]))[0, 0, 0, 0]), int(after.labels[5])) == (0, 1)
    assert int(after.read(torch.tensor([5]))[0, 0, 0, 0]) == 200
    assert before.fingerprint() != after.fingerprint()
    assert len(cached("pixels")) == 2


def test_equal_contents_elsewhere_share_their_pixels(shades, tmp_path):
    import shutil

    shutil.copytree(shades, tmp_path / "copy")
    assert items(shades).fingerprint() == items(tmp_path / "copy").fingerprint()
    assert (len(cached("index")), len(cached("pixels"))) == (2, 1)


def test_a_damaged_index_is_made_anew(shades):
    first = items(shades)
    for path in cached("index"):
        path.write_bytes(b"damaged")
    assert items(shades).fingerprint() == first.fingerprint()


def test_cached_items_travel_as_a_path(shades):
    kept = items(shades)
    kept.read(torch.tensor([0]))
    data = pickle.dumps(kept)
    assert kept._values.nbytes == 10 * 3 * 8 * 8
    assert len(data) < 2000
    assert pickle.loads(data).read(torch.arange(10)).equal(kept.read(torch.arange(10)))


def test_nothing_stays_of_a_decoding_that_ended_midway(shades, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(ImageDecoder, "__call__", full)
    with pytest.raises(MemoryError):
        items(shades)
    assert cached("pixels") == cached("index") == []


def test_a_cache_without_room_is_refused_or_left_out(shades, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(UsageError, match=r"the decoded images need .* left; free some, choose another"):
        items(shades, cache="disk")
    assert not isinstance(items(shades, cache="auto"), MappedItems)


def test_a_file_that_changes_in_mid_run_is_named(shades):
    decoded = items(shades, cache="none")
    save(shades / "bright" / "1.png", shade=5, size=(30, 30))
    with pytest.raises(UsageError, match=r"1\.png' has been changed since it was first read"):
        decoded.read(torch.arange(10))


def test_a_file_that_goes_away_in_mid_run_is_named(shades):
    decoded = items(shades, cache="none")
    (shades / "bright" / "1.png").unlink()
    with pytest.raises(UsageError, match=r"1\.png' cannot be read \(No such file"):
        decoded.read(torch.arange(10))


def test_long_decoding_is_shown(shades, capsys, monkeypatch):
    monkeypatch.setattr("attar.progress._QUIET_SECONDS", 0)
    items(shades, show=True)
    assert "decoding images: 10/10" in capsys.readouterr().err


# Folders.


def test_images_may_lie_deeper(shades):
    save(shades / "dark" / "old" / "more" / "5.png")
    assert read_folder(shades).labels.tolist() == [0] * 5 + [1] * 6


def test_a_link_in_a_circle_is_named(shades):
    (shades / "dark" / "again").symlink_to(shades, target_is_directory=True)
    with pytest.raises(UsageError, match=r"the link .*again' leads back to a folder that it is in; remove"):
        read_folder(shades)


def test_a_link_to_itself_is_no_class(shades):
    (shades / "self").symlink_to(shades / "self")
    assert read_folder(shades).classes == ("bright", "dark")


def test_a_class_may_be_a_link(shades, tmp_path):
    save(tmp_path / "elsewhere" / "0.png")
    (shades / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert read_folder(shades).classes == ("bright", "dark", "linked")


def test_a_folder_that_may_not_be_read_is_named(shades, monkeypatch):
    listed = os.listdir

    def refuse(path):
        if str(path).endswith("dark"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UsageError, match=r"dark' cannot be read \(Permission denied\); permit it"):
        read_folder(shades)


NAMES = ["with space", 'it\'s "quoted"', "🐈", "<b>bold", "a|b`c`", "[x](y)", "- item", "null"]


def test_any_name_of_a_class_survives(tmp_path):
    for name in NAMES:
        for index in range(4):
            save(tmp_path / "odd" / name / f"{index}.png", shade=10 * index)
    task = attar.task("image", data=tmp_path / "odd", size=8)
    artifact = attar.distill(task, method="random", ipc=1, out=tmp_path / "run")
    assert attar.load(tmp_path / "run").manifest.data.classes == task.classes == tuple(sorted(NAMES))
    assert artifact.preview.startswith(b"\x89PNG")
    card = (tmp_path / "run" / "artifact" / "README.md").read_text("utf-8")
    assert card.startswith("---\n")
    assert card.count("\n---\n") == 1


def test_one_image_per_class_distills(tmp_path):
    for index, name in enumerate("abc"):
        save(tmp_path / "few" / "train" / name / "0.png", shade=80 * index)
        save(tmp_path / "few" / "test" / name / "0.png", shade=80 * index)
    task = attar.task("image", data=tmp_path / "few")
    assert (task.size("train"), task.size("validation"), task.size("test")) == (3, 0, 3)
    assert len(attar.distill(task, ipc=2, ipc_policy="repeat", steps=2, reuse=1).to_torch()) == 6


def test_a_missing_test_split_is_named(shades, tmp_path):
    (tmp_path / "d").mkdir()
    shades.rename(tmp_path / "d" / "train")
    with pytest.raises(UsageError, match=r"has 'train' but no 'test'; add it, or give .*train' to have"):
        attar.task("image", data=tmp_path / "d")


def test_channels_and_sizes_are_mixed_at_will(tmp_path):
    Image.new("L", (9, 40), 10).save(_made(tmp_path / "m" / "a" / "0.png"))
    Image.new("RGB", (100, 20), (1, 2, 3)).save(_made(tmp_path / "m" / "a" / "1.png"))
    Image.new("RGBA", (64, 64), (1, 2, 3, 4)).save(_made(tmp_path / "m" / "b" / "0.webp"))
    Image.new("CMYK", (30, 30), (1, 2, 3, 4)).save(_made(tmp_path / "m" / "b" / "1.tif"))
    task = attar.task("image", data=tmp_path / "m", validation=0)
    assert task.feature == (3, 28, 28)


def _made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("side", [8, 32, 256])
def test_sizes_from_8_to_256(shades, side):
    task = attar.task("image", data=shades, size=side)
    assert task.feature == (3, side, side)
    model = task.build("", torch.Generator().manual_seed(0))
    assert model(task.gather(torch.arange(2)).inputs).shape == (2, 2)


# Tables.


def encoded(shade):
    file = io.BytesIO()
    Image.new("RGB", (10, 10), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


def write_parquet(path, *, images=None, labels=None, names=None, columns=("image", "label"), count=6):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    images = (
        [{"bytes": encoded(20 * i), "path": f"{i}.png"} for i in range(count)] if images is None else images
    )
    labels = [i % 2 for i in range(len(images))] if labels is None else labels
    table = pa.table(dict(zip(columns, (images, labels), strict=True)))
    if names:
        feature = (
            f'{{"names": [{", ".join(chr(34) + name + chr(34) for name in names)}], "_type": "ClassLabel"}}'
        )
        info = f'{{"info": {{"features": {{"{columns[1]}": {feature}}}}}}}'
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=4)
    return path


@pytest.mark.parametrize("cells", ["struct", "bytes"])
def test_parquet_holds_images_and_labels(tmp_path, cells):
    images = [encoded(20 * i) for i in range(6)] if cells == "bytes" else None
    path = write_parquet(tmp_path / "pets.parquet", images=images, names=["cat", "dog"])
    task = attar.task("image", data=path, validation=0, test=0.3)
    assert (task.name, task.classes, task.feature) == ("pets", ("cat", "dog"), (3, 8, 8))
    assert task.size("train") + task.size("test") == 6
    raw = task.preprocess.decode(task.gather(torch.arange(task.size("train"))).inputs)[:, 0, 0, 0]
    assert [round(value / 20) % 2 for value in raw.tolist()] == task.labels.tolist()


def test_parquet_files_are_split_by_name(tmp_path):
    for part in range(2):
        write_parquet(tmp_path / "hub" / "data" / f"train-0000{part}-of-00002.parquet", count=5)
    write_parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", count=3)
    task = attar.task("image", data=tmp_path / "hub", validation=0)
    assert (task.name, task.size("train"), task.size("test")) == ("hub", 10, 3)


def test_words_as_labels_are_classes_in_order(tmp_path):
    path = write_parquet(tmp_path / "p.parquet", labels=["b", "a", "b", "a", "b", "a"])
    task = attar.task("image", data=path, validation=0)
    assert task.classes == ("a", "b")


def test_columns_can_be_named(tmp_path):
    path = write_parquet(tmp_path / "p.parquet", columns=("scan", "finding"))
    with pytest.raises(UsageError, match=r"choose from finding, scan; name it with --set data.image_column"):
        attar.task("image", data=path)
    assert attar.task("image", data=path, image_column="scan", label_column="finding").size("test") == 1


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, None, 1, 0, 1], "has no label in row 2; remove such rows"),
        ([0.5, 1.0, 0.0, 1.0, 0.0, 1.0], "has the label 0.5; labels must be whole numbers or names"),
        ([0, 1, -1, 1, 0, 1], "has no label in row 2; remove such rows"),
    ],
    ids=["none", "fractions", "negative"],
)
def test_parquet_labels_that_do_not_fit_are_named(tmp_path, labels, sentence):
    path = write_parquet(tmp_path / "p.parquet", labels=labels)
    with pytest.raises(UsageError, match=sentence):
        attar.task("image", data=path)


def test_a_label_beyond_the_named_classes_is_refused(tmp_path):
    path = write_parquet(tmp_path / "p.parquet", labels=[0, 1, 2, 0, 1, 2], names=["a", "b"])
    with pytest.raises(UsageError, match="run from 0 to 2, but there are 2 classes; name them all"):
        attar.task("image", data=path)


def test_a_label_that_training_does_not_have_is_refused(tmp_path):
    write_parquet(tmp_path / "d" / "train.parquet", labels=["a", "b"] * 3)
    write_parquet(tmp_path / "d" / "test.parquet", labels=["a", "c"] * 3)
    with pytest.raises(UsageError, match="has the label 'c', which the training data do not have"):
        attar.task("image", data=tmp_path / "d")


def test_a_row_without_an_image_is_named(tmp_path):
    images = [{"bytes": encoded(0), "path": ""}, {"bytes": None, "path": "gone.png"}] * 3
    path = write_parquet(tmp_path / "p.parquet", images=images)
    with pytest.raises(UsageError, match=r"row 1 of .*p\.parquet' holds no encoded image"):
        attar.task("image", data=path)


def test_a_row_that_is_no_image_is_named(tmp_path):
    path = write_parquet(tmp_path / "p.parquet", images=[encoded(0), b"text"] * 3)
    with pytest.raises(UsageError, match=r"row 1 of .*p\.parquet' cannot be read as an image"):
        attar.task("image", data=path)


def test_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "p.parquet"
    path.write_bytes(b"PAR1 damaged")
    with pytest.raises(UsageError, match=r"p\.parquet' cannot be read as Parquet; restore it"):
        attar.task("image", data=path)


def test_an_empty_table_is_refused(tmp_path):
    path = write_parquet(tmp_path / "p.parquet", images=[], labels=[])
    with pytest.raises(UsageError, match="holds no images; give at least one per class"):
        attar.task("image", data=path)


def test_splits_without_a_test_are_named(tmp_path):
    write_parquet(tmp_path / "d" / "train.parquet")
    write_parquet(tmp_path / "d" / "extra.parquet")
    with pytest.raises(UsageError, match="has Parquet files of extra, train; name them train"):
        attar.task("image", data=tmp_path / "d")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_data_set_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {
        "image": [{"bytes": encoded(20 * i), "path": None} for i in range(6)],
        "label": [i % 2 for i in range(6)],
    }
    split = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(str(tmp_path / "saved"))
    tasks = [
        attar.task("image", data=tmp_path / "saved", validation=0, cache=cache) for cache in ("disk", "none")
    ]
    for task in tasks:
        assert (task.classes, task.size("train"), task.size("test")) == (("cat", "dog"), 6, 6)
    assert tasks[0].fingerprint == tasks[1].fingerprint


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["{outside}/private.png", "../private.png"])
def test_a_saved_data_set_reads_no_file_outside_of_itself(name, tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "private.png").write_bytes(encoded(3))
    path = name.format(outside=tmp_path)
    rows = {"image": [{"bytes": None, "path": path}] * 4, "label": ["a", "b"] * 2}
    features = datasets.Features(
        {
            "image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.Value("string"),
        }
    )
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(UsageError, match="which is outside of the data set"):
        attar.task("image", data=tmp_path / "saved")


@pytest.mark.parametrize("file", ["dataset_dict.json", "state.json"])
def test_a_saved_data_set_names_no_files_outside_of_itself(file, tmp_path):
    pytest.importorskip("datasets")
    said = (
        {"splits": ["../other"]}
        if file == "dataset_dict.json"
        else {"_data_files": [{"filename": "../x.arrow"}]}
    )
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{}")
    (tmp_path / "saved" / file).write_text(json.dumps(said))
    (tmp_path / "saved" / "state.json").touch()
    if file == "state.json":
        (tmp_path / "saved" / file).write_text(json.dumps(said))
    with pytest.raises(UsageError, match="which is outside of it"):
        attar.task("image", data=tmp_path / "saved")


def test_a_class_folder_whose_name_is_no_text_is_refused_at_the_start(tmp_path):
    for name in (b"cat", b"\xff\xfe"):
        place = os.path.join(os.fsencode(tmp_path), name)
        try:
            os.mkdir(place)
        except OSError:
            pytest.skip("this file system takes only names in UTF-8")
        with open(os.path.join(place, b"1.png"), "wb") as file:
            file.write(encoded(1))
    with pytest.raises(UsageError, match="has a name that is no UTF-8; rename it"):
        attar.task("image", data=tmp_path)


# torchvision.


class FakeSet:
    """What torchvision's classes return, filled with pixels that tell their place."""

    def __init__(self, shape, labels, names):
        self.data = np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape)
        self.targets = self.labels = labels
        self.classes = names


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_data_have_channels_first_and_labels_from_0(name, tmp_path, monkeypatch):
    from torchvision import datasets

    known = PUBLIC[name]
    shape = {"hw": (4, 6, 6), "wh": (4, 6, 6), "hwc": (4, 6, 6, 3), "chw": (4, 3, 6, 6)}[known.axes]
    labels = [known.first + label for label in (0, 1, 1, 0)]
    made = []

    def fake(root, *, download, **options):
        made.append((root, download, options))
        return FakeSet(shape, labels, ["N/A"] * known.first + ["a", "b"])

    monkeypatch.setattr(datasets, known.kind, fake)
    train, test, classes = load_public(name, tmp_path, download=False)
    assert [each[2] for each in made] == [{**split, **known.options} for split in known.splits]
    assert classes == (("0", "1") if known.numbered else ("a", "b"))
    assert train.labels.tolist() == test.labels.tolist() == [0, 1, 1, 0]
    pixels = train.read(torch.tensor([1]))[0]
    assert pixels.shape == ((1, 6, 6) if len(shape) == 3 else (3, 6, 6))
    right = {"hw": 1, "wh": 6, "hwc": 3, "chw": 1}[known.axes]
    assert int(pixels[0, 0, 1]) - int(pixels[0, 0, 0]) == right


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("DATA/MNIST", r"but in the folder above it: give --root '.*DATA'$"),
        ("elsewhere", r"give the folder that torchvision keeps data in with --root, or fetch"),
    ],
)
def test_public_data_that_are_missing_are_looked_for_one_folder_above(given, said, tmp_path, monkeypatch):
    from torchvision import datasets

    def fake(root, *, download, **options):
        if root != str(tmp_path.resolve() / "DATA"):
            raise RuntimeError("Dataset not found.")
        return FakeSet((4, 6, 6), [0, 1, 1, 0], ["a", "b"])

    monkeypatch.setattr(datasets, "MNIST", fake)
    with pytest.raises(UsageError, match=said):
        load_public("mnist", tmp_path / given, download=False)


# Python.


def gray(n=12, side=8):
    return torch.arange(n, dtype=torch.uint8)[:, None, None].expand(n, side, side).clone()


LABELS = torch.arange(12) % 3


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (gray(), (1, 8, 8)),
        (gray().numpy(), (1, 8, 8)),
        (gray()[:, None].expand(12, 3, 8, 8), (3, 8, 8)),
        (gray()[..., None].expand(12, 8, 8, 3), (3, 8, 8)),
        (gray().float() / 255, (1, 8, 8)),
        (gray().float(), (1, 8, 8)),
    ],
    ids=["gray", "numpy", "channels first", "channels last", "fractions", "floats"],
)
def test_tensors_are_images(values, feature):
    task = attar.task("image", data=(values, LABELS), classes=["a", "b", "c"], name="mine", validation=0)
    assert (task.name, task.classes, task.feature) == ("mine", ("a", "b", "c"), feature)
    assert len(attar.distill(task, method="random", ipc=1).preview) > 100


def test_units_do_not_matter():
    tasks = [
        attar.task("image", data=(values, LABELS), validation=0)
        for values in (gray(), gray().float() / 255, gray() / 1.0)
    ]
    inputs = [task.gather(torch.arange(4)).inputs for task in tasks]
    torch.testing.assert_close(inputs[0], inputs[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(inputs[0], inputs[2], atol=1e-5, rtol=1e-5)


def test_a_test_split_can_be_given():
    task = attar.task("image", data=(gray(), LABELS), test_data=(gray()[:3], LABELS[:3]), validation=0)
    assert (task.size("train"), task.size("test")) == (12, 3)


class Pairs(torch.utils.data.Dataset):
    def __init__(self, samples, labels):
        self.samples, self.labels = samples, labels

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, row):
        return self.samples[row], self.labels[row]


def test_any_data_set_of_pairs_will_do():
    pictures = [Image.new("RGB", (20 + i, 30), (i, i, i)) for i in range(12)]
    task = attar.task("image", data=Pairs(pictures, LABELS.tolist()), size=16, validation=0)
    assert (task.feature, task.size("train") + task.size("test")) == ((3, 16, 16), 12)
    other = attar.task("image", data=torch.utils.data.TensorDataset(gray()[:, None], LABELS), validation=0)
    assert other.feature == (1, 8, 8)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((gray(), LABELS[:5]), "has 12 samples but 5 labels; give one label per sample"),
        ((gray(), LABELS + 0.5), "has the label 0.5; labels must be whole numbers or names of classes"),
        ((gray(), torch.zeros(12, 4, dtype=torch.int64)), "has several labels per sample"),
        ((gray(), LABELS - 1), "has no label in row 0; remove such rows"),
        ((torch.zeros(12, 5, 8, 8), LABELS), r"have shape \(12, 5, 8, 8\); give \(n, h, w\)"),
        (
            (torch.randn(12, 3, 8, 8) - 9, LABELS),
            "give them in \\[0, 1\\] or \\[0, 255\\], not yet standardized",
        ),
        ((torch.full((12, 8, 8), float("nan")), LABELS), "NaN or infinite"),
        ((gray(),), "is a sequence of 1; give a pair of samples and labels"),
        (3, "is int; give a pair of samples and labels, or a data set with __len__"),
        (Pairs([gray(1)[0], gray(1, 9)[0]], [0, 1]), r"sample 1 .* has shape \(9, 9\), the first \(8, 8\)"),
        (Pairs([gray(1), gray(1).expand(3, 8, 8)], [0, 1]), r"sample 1 .* has shape \(3, 8, 8\)"),
        (Pairs([], []), "is empty; give at least one sample per class"),
        (Pairs(["text"], [0]), "is no array of numbers|is no image"),
        (Pairs([gray(1)[0]] * 2, [[0, 1], [1, 0]]), "has several labels per sample"),
    ],
)
def test_given_data_that_do_not_fit_are_one_sentence(data, sentence):
    with pytest.raises(UsageError, match=sentence):
        attar.task("image", data=data)


def test_names_and_test_splits_go_with_given_data_only(shades):
    with pytest.raises(UsageError, match="a test split and class names go with data given in Python"):
        attar.task("image", data=shades, classes=["a", "b"])


def test_vectors_can_be_given_too():
    task = attar.task("tensor", data=(torch.randn(30, 4), torch.arange(30) % 3), name="points")
    assert (task.name, task.feature) == ("points", (4,))


def test_digests_follow_the_contents_not_the_place(shades, tmp_path):
    there = attar.task("image", data=shades, size=8)
    shades.rename(tmp_path / "moved")
    assert attar.task("image", data=tmp_path / "moved", size=8).fingerprint == there.fingerprint


def test_postscript_is_no_image_whatever_it_is_called(shades, monkeypatch):
    def started(*given, **more):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", started)
    (next(each for each in shades.iterdir() if each.is_dir()) / "zz.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n%%EOF\n"
    )
    with pytest.raises(UsageError, match=r"zz\.png' cannot be read as an image"):
        attar.task("image", data=shades, validation=0)


def test_faint_images_of_16_bits_are_said_in_one_line(tmp_path, caplog):
    for name, level in (("one", 2000), ("two", 2100)):
        (tmp_path / name).mkdir()
        for place in range(4):
            values = np.full((8, 8), level, dtype=np.uint16)
            values[place] += 800
            Image.fromarray(values).save(tmp_path / name / f"{place}.png")
    attar.task("image", data=tmp_path, validation=0)
    (line,) = [message for message in caplog.messages if "16 bits" in message]
    assert "at most 4 of 256 shades are left" in line


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_very_large_images_come_out_alike(mode, monkeypatch):
    from attar_image import decode as module

    gray = Image.fromarray(np.linspace(0, 255, 240 * 320).reshape(240, 320).astype(np.uint8))
    picture = (
        Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    )
    content = io.BytesIO()
    picture.save(content, "PNG")
    usual = module.decode(content.getvalue(), "x", module.Form(3, 16)).astype(int)
    monkeypatch.setattr(module, "_MANY", 100)
    monkeypatch.setattr(module, "_LARGE", 100)
    assert abs(module.decode(content.getvalue(), "x", module.Form(3, 16)).astype(int) - usual).max() <= 2
