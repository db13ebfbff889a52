"""Images given in Python: arrays, tensors, or any map-style data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.errors import UsageError
from attar.tensor.given import as_array
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attar_image.decode import MOST_BYTES, Form, decode, fit

__all__ = ["channels_first", "check_levels", "new_images", "scale_of", "to_pixels"]


_SPAN = 16.0
"""Levels that the pixels of any set of pictures span, in 255."""


def channels_first(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return images ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)`` as ``(n, c, h, w)``.

    Three axes are gray images. Where the last axis has 1 or 3 positions and the second has
    not, channels come last.

    Raises:
        UsageError: If the shape is none of these.
    """
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[1] in (1, 3):
        return values
    if values.ndim == 4 and values.shape[3] in (1, 3):
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    raise UsageError(
        f"the images of {name!r} have shape {values.shape}; give (n, h, w), (n, c, h, w) or (n, h, w, c) "
        f"with 1 or 3 channels"
    )


def scale_of(values: NDArray[Any], name: str) -> float:
    """Return the value that means white: 255 for whole numbers, 1 or 255 for others.

    Raises:
        UsageError: If values are negative or above 255: such images have been standardized,
            which Attar does itself and stores with the set.
    """
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or high > 255:
        raise UsageError(
            f"the pixels of {name!r} run from {low:g} to {high:g}; give them in [0, 1] or [0, 255], "
            f"not yet standardized, or use attar.task('tensor', …)"
        )
    return 255.0 if np.issubdtype(values.dtype, np.integer) or high > 1 else 1.0


def check_levels(pixels: NDArray[Any]) -> None:
    """Refuse pixels of a set that were standardized, or are fractions of white.

    Other software keeps its sets so; taken for levels from 0 to 255, they would all be black.

    Args:
        pixels: Pixels of the whole set.

    Raises:
        UsageError: If they are no whole numbers and differ by less than 16 of 255 levels.
    """
    if not np.issubdtype(pixels.dtype, np.floating) or not pixels.size:
        return
    low, high = float(pixels.min()), float(pixels.max())
    if high - low < _SPAN:
        raise UsageError(
            f"the pixels of 'inputs' run from {low:.3g} to {high:.3g}; give them from 0 (black) to 255 "
            f"(white), neither as fractions nor standardized"
        )


def to_pixels(sample: Any, form: Form | None, where: str) -> NDArray[Any]:
    """Return one image of a data set as ``(c, h, w)`` or ``(h, w)``, resized if it is a picture.

    Args:
        sample: A Pillow image, an array or a tensor.
        form: What Pillow images are brought to; None leaves their size alone.
        where: What the sample is called in errors.

    Raises:
        UsageError: If the sample is no image.
    """
    if isinstance(sample, Image.Image):
        chosen = form or Form(1 if sample.mode in ("1", "L") else 3, min(sample.size))
        return fit(sample, chosen)
    values = np.asarray(sample)
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_) or values.ndim not in (2, 3):
        raise UsageError(f"{where} is no image; give Pillow images, arrays or tensors of pixels")
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def new_images(raw: Any, feature: tuple[int, ...], scale: float) -> Tensor:
    """Return images to be classified, ``(n, channels, height, width)`` in the unit of the data.

    Args:
        raw: A picture or several: Pillow images or paths of files, which are resized and cut as
            the training images were; or pixels of the right size, ``(n, h, w)``,
            ``(n, c, h, w)``, ``(n, h, w, c)`` or one image of these, whole numbers in the data's
            unit or fractions of white in [0, 1].
        feature: Shape of one image.
        scale: Value that means white in the data.

    Raises:
        UsageError: If a file is no image, or pixels have another shape.
    """
    pictures = _pictures(raw, feature)
    if pictures is not None:
        values = torch.from_numpy(np.stack(pictures))
        return values if scale == 255.0 else values.to(torch.float32) * (scale / 255.0)
    channels, height, width = feature
    pixels = as_array(raw, "the input")
    # Three axes are one color image, or several gray ones.
    if pixels.ndim == 2 or (pixels.ndim == 3 and (channels == 3 or pixels.shape == (height, width, 1))):
        pixels = pixels[None]
    pixels = channels_first(pixels, "the input")
    if pixels.shape[1:] != feature:
        raise UsageError(
            f"the input has images of shape {pixels.shape[1:]}, the data {feature}; give Pillow images, "
            f"which are resized, or pixels of that shape"
        )
    fractions = np.issubdtype(pixels.dtype, np.floating) and float(pixels.max(initial=0.0)) <= 1
    values = torch.from_numpy(pixels.copy())
    if fractions:
        return values.to(torch.float32) * scale
    return values if scale != 1.0 else values.to(torch.float32) / 255.0


def _pictures(raw: Any, feature: tuple[int, ...]) -> list[NDArray[Any]] | None:
    """Return pictures in the form of the data, or None where pixels are given."""
    several = raw if isinstance(raw, Sequence) and not isinstance(raw, str) else [raw]
    if not several or not all(isinstance(each, Image.Image | str | Path) for each in several):
        return None
    form = Form(feature[0], feature[1])
    if feature[1] != feature[2]:
        raise UsageError(f"pictures cannot be brought to the shape {feature}; give pixels of that shape")
    return [fit(each, form) if isinstance(each, Image.Image) else _file(Path(each), form) for each in several]


def _file(path: Path, form: Form) -> NDArray[Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the image {str(path)!r} cannot be read ({error.strerror}); check the path"
        ) from error
    return decode(content, repr(str(path)), form)
