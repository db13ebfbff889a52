"""Images given in Python: arrays, tensors, or any map-style data set."""

from __future__ import annotations

from typing import Any

import numpy as np
from attar.errors import UsageError
from numpy.typing import NDArray
from PIL import Image

from attar_image.decode import Form, fit

__all__ = ["channels_first", "scale_of", "to_pixels"]


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
