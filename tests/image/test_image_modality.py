from __future__ import annotations

import re
import struct
import zlib

import attar
import numpy as np
import pytest
import torch
from attar.encoded import items_of
from attar.errors import UsageError
from attar.plugins import DataInfo
from attar.settings import parse
from attar_image import IMAGE, Color, Crop, ImageOptions, read_folder
from attar_image.decode import Form, ImageDecoder
from attar_image.public import PUBLIC
from PIL import Image


def picture(path, *, size=(20, 16), color=(255, 0, 0), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    for name, color in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        for index in range(6):
            picture(folder / name / f"{index}.png", color=color)
    return folder


@pytest.fixture(params=["disk", "none"])
def read(request):
    """What reads all images of a folder, from the pixel cache and without it."""

    def items(folder, channels=3, side=16):
        return items_of(
            read_folder(folder), ImageDecoder(Form(channels, side)), cache=request.param, threads=2
        )

    return items


def load(folder, **options):
    return attar.task("image", data=folder, **options)


def test_classes_are_the_subfolders(pets):
    (pets / ".hidden").mkdir()
    (pets / "notes.txt").write_text("not an image")
    (pets / "cat" / "notes.txt").write_text("not an image")
    task = load(pets)
    assert (task.name, task.classes, task.feature) == ("pets", ("cat", "dog"), (3, 16, 16))
    assert task.size("train") + task.size("validation") + task.size("test") == 12
    assert task.axes == ("channel", "height", "width")


def test_pixels_belong_to_their_label(pets):
    task = load(pets)
    batch = task.gather(torch.arange(task.size("train")))
    raw = task.preprocess.decode(batch.inputs)
    reds = raw[:, 0].flatten(1).mean(1) > 200
    assert reds.equal(batch.labels == 0)


def test_train_and_test_subfolders_are_taken_as_they_are(tmp_path):
    for split, count in (("train", 5), ("test", 2)):
        for name in ("a", "b"):
            for index in range(count):
                picture(tmp_path / "d" / split / name / f"{index}.png", color=(index, 0, 0))
    task = load(tmp_path / "d", validation=0)
    assert (task.size("train"), task.size("test"), task.size("validation")) == (10, 4, 0)


def test_splits_with_other_classes_are_refused(tmp_path):
    for split, names in (("train", "ab"), ("test", "a")):
        for name in names:
            picture(tmp_path / "d" / split / name / "0.png")
    with pytest.raises(UsageError, match=r"the class 'b' is in one split of .* but not in the other"):
        load(tmp_path / "d")


@pytest.mark.parametrize(
    ("options", "feature"),
    [({}, (3, 16, 16)), ({"size": 8}, (3, 8, 8)), ({"channels": 1, "size": 24}, (1, 24, 24))],
)
def test_images_are_brought_to_one_form(pets, options, feature):
    task = load(pets, **options)
    assert task.feature == feature
    assert task.gather(torch.tensor([0])).inputs.shape == (1, *feature)


@pytest.mark.parametrize("options", [{"channels": 2}, {"channels": 4}, {"size": 300}, {"augment": "flip"}])
def test_options_without_meaning_are_refused(options):
    with pytest.raises(UsageError, match="does not fit"):
        parse(ImageOptions, options, "data.options")


def test_gray_images_have_one_channel(tmp_path):
    for name in "ab":
        for index in range(3):
            picture(tmp_path / "d" / name / f"{index}.png", mode="L", color=100, size=(40, 50))
    assert load(tmp_path / "d").feature == (1, 32, 32)


def test_gray_images_of_16_bits_keep_their_shades(tmp_path, read):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for name in "ab":
        path = tmp_path / "d" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(values).save(path)
    raw = read(tmp_path / "d", channels=1).read(torch.tensor([0]))
    assert len(raw.unique()) > 200


def test_every_mode_can_be_read(tmp_path, read):
    modes = [("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"), ("RGB", "png"), ("RGBA", "png")]
    for index, (mode, kind) in enumerate([*modes, ("CMYK", "jpg"), ("P", "gif")]):
        color = 0 if mode in ("1", "L", "P") else None
        picture(tmp_path / "d" / "a" / f"{index}.{kind}", mode=mode, color=color)
    assert read(tmp_path / "d").read(torch.arange(8)).shape == (8, 3, 16, 16)


def test_what_is_transparent_is_white(tmp_path, read):
    picture(tmp_path / "d" / "a" / "0.png", mode="RGBA", color=(0, 0, 0, 0))
    picture(tmp_path / "d" / "a" / "1.png", mode="LA", color=(0, 0))
    assert read(tmp_path / "d").read(torch.arange(2)).unique().tolist() == [255]


def test_photographs_are_turned_upright(tmp_path, read):
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[:8] = 255
    path = tmp_path / "d" / "a" / "0.png"
    path.parent.mkdir(parents=True)
    turned = Image.fromarray(image).rotate(90)
    exif = turned.getexif()
    exif[0x0112] = 6  # EXIF's orientation: turn by 90 degrees clockwise to see it upright
    turned.save(path, exif=exif)
    assert read(tmp_path / "d").read(torch.tensor([0]))[0, 0].equal(torch.from_numpy(image[:, :, 0]))


def test_sides_are_cut_at_the_center(tmp_path, read):
    image = np.zeros((16, 48, 3), dtype=np.uint8)
    image[:, 16:32] = 255
    path = tmp_path / "d" / "a" / "0.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(image).save(path)
    assert read(tmp_path / "d").read(torch.tensor([0])).float().mean() == 255


def test_the_fingerprint_follows_the_pixels(pets, read):
    before = read(pets).fingerprint()
    assert read(pets).fingerprint() == before
    picture(pets / "cat" / "0.png", color=(1, 2, 3))
    assert read(pets).fingerprint() != before


def test_a_folder_without_subfolders_is_refused(tmp_path):
    picture(tmp_path / "0.png")
    with pytest.raises(UsageError, match="has no subfolders; put the images of each class into a folder"):
        load(tmp_path)


def test_an_empty_class_is_named(pets):
    (pets / "bird").mkdir()
    with pytest.raises(UsageError, match=r"the class folder .*bird' holds no images; add some"):
        load(pets)


def header(width, height):
    """Return a PNG that announces a size and holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    form = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", form) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        header(20, 20)[:30],
        header(20, 20),
        header(9000, 9000),
        header(12000, 12000),
        header(60000, 60000),
    ],
    ids=["empty", "text", "cut", "no pixels", "large", "larger", "bomb"],
)
def test_an_image_that_cannot_be_read_is_named(pets, read, content):
    (pets / "cat" / "0.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"0\.png"):
        read(pets).read(torch.tensor([0]))


@pytest.mark.parametrize(
    "content", [b"", header(12000, 12000), header(60000, 60000)], ids=["empty", "larger", "bomb"]
)
def test_loading_a_folder_names_an_image_that_cannot_be_read(pets, content):
    (pets / "cat" / "0.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"0\.png"):
        load(pets)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("minst", "unknown data 'minst': did you mean 'mnist'? choose from cifar10, cifar100, digits"),
        (__file__, "is a file; give a folder of class subfolders"),
    ],
)
def test_data_that_cannot_be_had_are_one_sentence(data, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        load(data)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_missing_downloads_say_how_to_get_them(tmp_path, name):
    with pytest.raises(
        UsageError, match=f"{name} is not in .*: give the folder that .* with --root, or fetch it"
    ):
        load(name, root=tmp_path)


def test_digits_come_with_statistics_and_shape():
    task = load("digits")
    assert (task.feature, len(task.classes)) == ((1, 8, 8), 10)
    assert task.architecture == "convnet,depth=2"
    inputs = task.gather(torch.arange(task.size("train"))).inputs
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-3)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [({}, {Crop}), ({"augment": "siamese"}, {Crop, Color}), ({"augment": "none"}, None)],
)
def test_the_augmentation_can_be_chosen(options, kinds):
    augment = load("digits", **options).augment
    found = None if augment is None else {type(each) for each in augment.operations}
    assert found is None if kinds is None else kinds <= found


def test_pixels_are_shown_in_natural_colors(pets):
    task = load(pets)
    info = DataInfo(classes=task.classes, axes=task.axes, preprocessing=task.preprocessing)
    batch = task.draw(1, torch.Generator().manual_seed(0), [0, 1])
    cat, dog = IMAGE.pixels(batch, info)
    np.testing.assert_allclose(cat[0, 0], [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(dog[0, 0], [0, 0, 1], atol=1e-3)
    assert IMAGE.render(batch, info).startswith(b"\x89PNG")


def test_a_folder_distills_and_comes_back(pets, tmp_path):
    artifact = attar.distill(
        load(pets, size=8), method="dm", ipc=1, steps=1, model="linear", out=tmp_path / "run"
    )
    assert attar.load(tmp_path / "run").decode().inputs.equal(artifact.decode().inputs)
    assert artifact.manifest.data.name == "pets"
    assert str(tmp_path) not in (tmp_path / "run" / "artifact" / "manifest.json").read_text()
