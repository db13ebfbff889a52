"""Where images come from: a train and a test split in one form, or one split to be drawn from."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attar.encoded import Columns, EncodedSource, about_bad, find_splits, heads, splits_of
from attar.errors import UsageError
from attar.plugins import GivenData, LoadRequest
from attar.tensor import ArrayItems, Items
from attar.tensor.builtin import digits_arrays
from attar.tensor.given import read_given

from attar_image.decode import Form, ImageDecoder, opened, used_levels
from attar_image.folder import IMAGES, common_form, head
from attar_image.given import channels_first, scale_of, to_pixels
from attar_image.public import PUBLIC, load_public

if TYPE_CHECKING:
    from attar_image.modality import ImageOptions

__all__ = ["Images", "digits", "given_images", "images_at", "public_images"]

logger = logging.getLogger(__name__)

_MOST_HEADS = 200
_MOST_FAINT = 8
_FAINT = 64
"""Shades of 256 below which a picture has lost most of what 12 bits told."""
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images as items.

    Attributes:
        name: What the data are called.
        classes: Names of the classes.
        train: Training images.
        test: Test images, or None to draw them from the training images.
        scale: Value that means white.
        license: License of the images as their owners state it, or ``unknown``.
        about: What else artifacts say of the data.
    """

    name: str
    classes: tuple[str, ...]
    train: Items
    test: Items | None
    scale: float = 255.0
    license: str = "unknown"
    about: Mapping[str, Any] = field(default_factory=dict)


def digits() -> Images:
    """Return scikit-learn's handwritten digits, 8 × 8 pixels."""
    values, labels, classes = digits_arrays()
    return Images(
        name="digits", classes=classes, train=ArrayItems(values, labels, "digits"), test=None, scale=16.0
    )


def public_images(name: str, root: Path, download: bool) -> Images:
    """Return a data set of :data:`attar_image.public.PUBLIC`."""
    train, test, classes = load_public(name, root, download)
    return Images(name=name, classes=classes, train=train, test=test, license=PUBLIC[name].license)


def given_images(given: GivenData, name: str, options: ImageOptions) -> Images:
    """Return images given in Python.

    Raises:
        UsageError: If they are no images, differ in shape, or labels do not fit.
    """
    form = Form(options.channels or 3, options.size) if options.size else None
    found = read_given(given, name, lambda sample, where: to_pixels(sample, form, where))
    train, labels = channels_first(found.train[0], name), found.train[1]
    scale = scale_of(train, name)
    test: Items | None = None
    if found.test is not None:
        held = f"{name} (test)"
        values = channels_first(found.test[0], held)
        if scale_of(values, held) != scale:
            raise UsageError(
                f"white is {scale:g} in the training images of {name!r} and not in its test images; "
                f"give both in one unit"
            )
        test = ArrayItems(values, found.test[1], held)
    return Images(
        name=name, classes=found.classes, train=ArrayItems(train, labels, name), test=test, scale=scale
    )


def images_at(path: Path, options: ImageOptions, request: LoadRequest) -> Images:
    """Return the images at a path: class subfolders, Parquet, or a saved Hugging Face data set.

    Raises:
        UsageError: If there are none, or they do not fit.
    """
    found = find_splits(path, IMAGES, Columns(options.image_column, options.label_column))
    sources = {"train": found.train} | ({} if found.test is None else {"test": found.test})
    form = _form(found.train, options)
    decoded = splits_of(
        sources,
        ImageDecoder(form),
        cache=request.cache,
        threads=_THREADS,
        show=request.show,
        bad=options.bad,
    )
    _tell_faint(found.train, found.name)
    return Images(
        name=found.name,
        classes=found.train.classes,
        train=decoded.items["train"],
        test=decoded.items.get("test"),
        about={"form": _told(form, options), **about_bad(decoded.skipped)},
    )


def _levels(data: bytes, where: str) -> int | None:
    """Return how many of 256 shades a picture of 16 bits uses, or None for other pictures."""
    with opened(data, where) as image:
        return used_levels(image)


def _tell_faint(source: EncodedSource, name: str) -> None:
    """Say so where images of 16 bits use a small part of these, of which 8 bits keep little."""
    found = heads(source, _levels, _MOST_FAINT)
    levels = [each for each in found if each is not None]
    if len(levels) < len(found):
        return
    if levels and max(levels) < _FAINT:
        logger.warning(
            "images of %r have 16 bits and use few of them: brought to 8 bits, at most %d of 256 shades are "
            "left; scale them to the full range first, or give them as arrays of fractions",
            name,
            max(levels),
        )


def _form(source: EncodedSource, options: ImageOptions) -> Form:
    """Return the form that options ask for, filled in from the headers of some images."""
    if options.size and options.channels:
        return Form(options.channels, options.size)
    known = common_form(heads(source, head, _MOST_HEADS))
    return Form(options.channels or known.channels, options.size or known.side)


def _told(form: Form, options: ImageOptions) -> str:
    """Return what images are brought to, and why, in words."""
    shape = f"{form.side} × {form.side} pixels in {'gray' if form.channels == 1 else 'color'}"
    if options.size:
        return shape
    return f"{shape}, by the median of the shorter sides; data.size chooses another"
