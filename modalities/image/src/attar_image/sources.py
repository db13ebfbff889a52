"""Where images come from: a train and a test split in one form, or one split to be drawn from."""

from __future__ import annotations

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
from attar.tensor.given import read_pairs
from numpy.typing import NDArray

from attar_image.decode import Form, ImageDecoder
from attar_image.folder import IMAGES, common_form, head
from attar_image.given import channels_first, scale_of, to_pixels
from attar_image.public import PUBLIC, load_public

if TYPE_CHECKING:
    from attar_image.modality import ImageOptions

__all__ = ["Images", "digits", "given_images", "images_at", "public_images"]

_MOST_HEADS = 200
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
    train, labels = _given_split(given.train, name, options)
    classes = given.classes or tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
    scale = scale_of(train, name)
    test: Items | None = None
    if given.test is not None:
        values, held = _given_split(given.test, f"{name} (test)", options)
        if scale_of(values, f"{name} (test)") != scale:
            raise UsageError(
                f"white is {scale:g} in the training images of {name!r} and not in its test images; "
                f"give both in one unit"
            )
        test = ArrayItems(values, held, f"{name} (test)")
    return Images(name=name, classes=classes, train=ArrayItems(train, labels, name), test=test, scale=scale)


def _given_split(data: Any, name: str, options: ImageOptions) -> tuple[NDArray[Any], NDArray[Any]]:
    form = Form(options.channels or 3, options.size) if options.size else None
    values, labels = read_pairs(data, name, lambda sample, where: to_pixels(sample, form, where))
    return channels_first(values, name), labels


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
    return Images(
        name=found.name,
        classes=found.train.classes,
        train=decoded.items["train"],
        test=decoded.items.get("test"),
        about={"form": _told(form, options), **about_bad(decoded.skipped)},
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
