"""New images, as a network trained on a set takes them."""

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from PIL import Image


@pytest.fixture(scope="module")
def gray():
    return attar.distill(attar.task("image", data="digits"), method="random", ipc=1)


@pytest.fixture(scope="module")
def color():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), dtype=np.uint8)
    given = attar.task("image", data=(pixels, np.arange(20) % 2))
    return attar.distill(given, method="random", ipc=1)


def picture(side=12, mode="RGB"):
    values = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def test_pictures_and_their_pixels_are_prepared_alike(color):
    one = picture()
    pixels = np.asarray(one)
    expected = color.preprocess(one)
    assert expected.shape == (1, 3, 12, 12)
    for form in (pixels, pixels[None], pixels.transpose(2, 0, 1), torch.from_numpy(pixels.copy()), [one]):
        assert torch.equal(color.preprocess(form), expected)
    assert torch.allclose(color.preprocess(pixels / 255), expected, atol=1e-5)


def test_values_are_those_of_the_preprocessing(color):
    found = color.preprocess(np.full((12, 12, 3), 255, dtype=np.uint8))
    mean, std = (color.manifest.data.preprocessing[key] for key in ("mean", "std"))
    expected = [(1 - m) / s for m, s in zip(mean, std, strict=True)]
    assert found[0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_any_size_and_mode_are_brought_to_the_form(color, gray, mode):
    assert color.preprocess(picture(31, mode)).shape == (1, 3, 12, 12)
    assert gray.preprocess([picture(31, mode), picture(5, mode)]).shape == (2, 1, 8, 8)


def test_white_is_white_in_the_unit_of_the_data(gray):
    white = gray.preprocess(Image.new("L", (20, 20), 255))
    assert torch.allclose(white, gray.preprocess(np.full((8, 8), 16)))
    assert torch.allclose(white, gray.preprocess(np.ones((1, 8, 8))))


def test_files_are_read(color, tmp_path):
    one = picture()
    one.save(tmp_path / "one.png")
    assert torch.equal(color.preprocess(tmp_path / "one.png"), color.preprocess(one))
    assert color.preprocess([str(tmp_path / "one.png")] * 2).shape == (2, 3, 12, 12)


def test_mistakes(color, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UsageError, match=r"text\.png' cannot be read as an image"):
        color.preprocess(tmp_path / "text.png")
    with pytest.raises(UsageError, match=r"gone\.png' cannot be read \(No such file or directory\)"):
        color.preprocess(tmp_path / "gone.png")
    with pytest.raises(UsageError, match=r"has images of shape \(3, 9, 9\), the data \(3, 12, 12\)"):
        color.preprocess(np.zeros((9, 9, 3), dtype=np.uint8))
    with pytest.raises(UsageError, match="no array of numbers"):
        color.preprocess(object())


def test_pictures_do_not_fit_oblong_data():
    given = attar.task("image", data=(np.zeros((20, 8, 12), dtype=np.uint8), np.arange(20) % 2))
    artifact = attar.distill(given, method="random", ipc=1)
    with pytest.raises(UsageError, match=r"cannot be brought to the shape \(1, 8, 12\)"):
        artifact.preprocess(picture())
    assert artifact.preprocess(np.zeros((8, 12))).shape == (1, 1, 8, 12)
