"""From the bytes of an image file to pixels, whatever its size, mode and rotation."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from attar.errors import UsageError
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["MOST_BYTES", "Form", "ImageDecoder", "decode", "fit", "opened", "used_levels"]

MOST_PIXELS = 2**26
MOST_BYTES = 2**29
_MANY, _LARGE = 2**23, 2**24
"""Pixels above which an image is decoded alone, and above which it is brought down first."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""What is read; Pillow would also start Ghostscript for PostScript, whatever a file is called."""
_ALONE, _OPENING = threading.Lock(), threading.Lock()
_ROWS = 256
_GRAY = ("1", "L", "I", "F")


@dataclass(frozen=True)
class Form:
    """What images are brought to.

    Attributes:
        channels: 1 for gray, 3 for color.
        side: Height and width, in pixels.
    """

    channels: int
    side: int

    @property
    def feature(self) -> tuple[int, int, int]:
        """Shape of one image, ``(channels, side, side)``."""
        return (self.channels, self.side, self.side)


def _headed(data: bytes) -> Image.Image:
    """Return an image of which only the header is read."""
    # Pillow warns of what is refused or read anyway: very many pixels, tags that lead nowhere. Filters
    # of warnings belong to the process, so that threads that change them meanwhile would mix them up.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=_FORMATS)


@contextmanager
def opened(data: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image, turning whatever is wrong with it into one sentence about `where`."""
    try:
        with _headed(data) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UsageError(
                    f"{where} announces {image.width} × {image.height} pixels; "
                    f"images of more than {MOST_PIXELS:,} pixels are refused"
                )
            yield image
    except Image.DecompressionBombError as error:
        raise UsageError(f"{where} announces too many pixels; remove it") from error
    except (UsageError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise errors of many kinds for damaged files.
        wrong = "is empty" if not data else "cannot be read as an image"
        raise UsageError(f"{where} {wrong}; remove or repair it") from error


def is_gray(image: Image.Image) -> bool:
    """Return whether an image has shades but no colors, as its header says."""
    return image.mode in _GRAY or image.mode in ("LA", "La") or image.mode.startswith("I;16")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 or 32 bits per pixel with 8; Pillow itself would clip its shades."""
    deep = image.mode.startswith("I;16")
    if image.mode not in ("I", "F") and not deep:
        return image
    # A file of 16 bits has 65,535 for white however dark it is; other types do not say.
    extremes: Any = image.getextrema()
    scale = 257.0 if deep or extremes[1] > 255 else 1.0
    levels = np.empty((image.height, image.width), dtype=np.uint8)
    # Some rows at a time: a copy in more digits is eight times as large.
    for start in range(0, image.height, _ROWS):
        end = min(start + _ROWS, image.height)
        part = np.asarray(image.crop((0, start, image.width, end)), dtype=np.float64)
        levels[start:end] = np.clip(np.round(part / scale), 0, 255)
    return Image.fromarray(levels)


def used_levels(image: Image.Image) -> int | None:
    """Return how many of 256 shades are left of an image of 16 bits, or None for other images."""
    if image.mode != "I;16":
        return None
    extremes: Any = image.getextrema()
    return int(round(extremes[1] / 257) - round(extremes[0] / 257) + 1)


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image with its transparent parts laid on white, as they are seen on paper."""
    if not image.has_transparency_data:
        return image
    layers = image.convert("RGBA")
    paper = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, layers).convert("L" if is_gray(image) else "RGB")


def fit(image: Image.Image, form: Form) -> NDArray[Any]:
    """Return an opened image as uint8 ``(channels, side, side)``.

    It is turned upright as its EXIF data say, resized to cover the square, cut at the center.
    """
    upright = _opaque(_eight_bits(ImageOps.exif_transpose(image)))
    color = upright.convert("L" if form.channels == 1 else "RGB")
    fitted = ImageOps.fit(color, (form.side, form.side), method=Image.Resampling.BILINEAR)
    values = np.array(fitted)
    return values[None] if form.channels == 1 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _fit_large(image: Image.Image, form: Form) -> NDArray[Any]:
    """Return a large image as :func:`fit` does, in little more memory than its own pixels take."""
    if image.width * image.height > _LARGE:
        factor = min(image.size) // (4 * form.side)
        # Turned where it is: a copy would be made even of an image that stands upright.
        ImageOps.exif_transpose(image, in_place=True)
        upright = _eight_bits(image)
        if upright.mode in ("P", "PA"):
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        if factor > 1 and upright.mode in ("L", "RGB", "RGBA", "LA", "CMYK", "YCbCr"):
            upright = upright.reduce(factor)
        values = fit(upright, form)
    else:
        values = fit(image, form)
    # The next one may begin before what opened this lets go of it.
    image.close()
    return values


def decode(data: bytes, where: str, form: Form) -> NDArray[Any]:
    """Return an encoded image as uint8 ``(channels, side, side)``.

    Args:
        data: The bytes of the file: PNG, JPEG, BMP, GIF, WebP, TIFF, PPM or PGM.
        where: What the image is called in errors.
        form: What it is brought to.

    Raises:
        UsageError: If the bytes are no image, are cut short, or announce too many pixels.
    """
    with opened(data, where) as image:
        # Large JPEGs are decoded at a fraction of their size, which is many times faster.
        image.draft(None, (2 * form.side, 2 * form.side))
        if image.width * image.height <= _MANY:
            return fit(image, form)
        with _ALONE:
            return _fit_large(image, form)


@dataclass(frozen=True)
class ImageDecoder:
    """Decodes images for :func:`attar.encoded.items_of`.

    Attributes:
        to: What they are brought to.
    """

    to: Form

    noun = "image"
    dtype = np.uint8

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.to.feature

    @property
    def form(self) -> str:
        """The shape, which is all that is asked for."""
        return f"{self.feature}"

    @property
    def versions(self) -> str:
        """Versions of what decodes."""
        return f"attar-image {version('attar-image')}, pillow {version('pillow')}"

    @property
    def nbytes(self) -> int:
        """Bytes of an image as pixels of 8 bits."""
        return int(np.prod(self.feature))

    def __call__(self, data: bytes, where: str) -> NDArray[Any]:
        """Return an image as uint8 ``(channels, side, side)``."""
        return decode(data, where, self.to)
