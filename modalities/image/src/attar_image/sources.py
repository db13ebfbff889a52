"""Where images come from: a train and a test split in one form, or one split to be drawn from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attar.errors import UsageError
from attar.plugins import GivenData, LoadRequest
from attar.tensor import ArrayItems, Items
from attar.tensor.builtin import digits_arrays
from attar.tensor.given import read_pairs
from numpy.typing import NDArray

from attar_image.decode import Form
from attar_image.folder import common_form, read_folder
from attar_image.given import channels_first, scale_of, to_pixels
from attar_image.pixels import ImageSource, items_of
from attar_image.public import PUBLIC, load_public
from attar_image.tables import Columns, is_saved, parquet_splits, read_parquet, read_saved

if TYPE_CHECKING:
    from attar_image.modality import ImageOptions

__all__ = ["Images", "digits", "given_images", "images_at", "public_images"]

_TEST_NAMES = ("test", "val", "validation", "valid")
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
    """

    name: str
    classes: tuple[str, ...]
    train: Items
    test: Items | None
    scale: float = 255.0
    license: str = "unknown"


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
    columns = Columns(options.image_column, options.label_column)
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise UsageError(
                f"{str(path)!r} is a file; give a folder of class subfolders, or a .parquet file"
            )
        return _images(path.stem, {"train": read_parquet([path], columns)}, options, request)
    if is_saved(path):
        return _images(path.resolve().name, read_saved(path, columns), options, request)
    if files := parquet_splits(path):
        return _images(path.resolve().name, _read_splits(path, files, columns), options, request)
    return _images(path.resolve().name, _folder_splits(path), options, request)


def _folder_splits(folder: Path) -> Mapping[str, ImageSource]:
    try:
        inside = {name for name in os.listdir(folder) if (folder / name).is_dir()}
    except OSError as error:
        raise UsageError(
            f"the folder {str(folder)!r} cannot be read ({error.strerror}); permit it"
        ) from error
    held = next((name for name in _TEST_NAMES if name in inside), None)
    if "train" not in inside or held is None:
        if "train" in inside and len(inside) == 1:
            raise UsageError(
                f"{str(folder)!r} has 'train' but no 'test'; add it, or give {str(folder / 'train')!r} "
                f"to have a test split drawn"
            )
        return {"train": read_folder(folder)}
    train = read_folder(folder / "train")
    return {"train": train, held: read_folder(folder / held, train.classes)}


def _read_splits(
    folder: Path, files: Mapping[str, Sequence[Path]], columns: Columns
) -> Mapping[str, ImageSource]:
    if len(files) == 1:
        return {"train": read_parquet(next(iter(files.values())), columns)}
    held = next((name for name in _TEST_NAMES if name in files), None)
    if "train" not in files or held is None:
        raise UsageError(
            f"{str(folder)!r} has Parquet files of {', '.join(sorted(files))}; name them train*.parquet and "
            f"test*.parquet, or give one of them"
        )
    train = read_parquet(files["train"], columns)
    return {"train": train, held: read_parquet(files[held], columns, train.classes)}


def _images(name: str, splits: Mapping[str, Any], options: ImageOptions, request: LoadRequest) -> Images:
    train = splits.get("train") or next(iter(splits.values()))
    if not len(train):
        raise UsageError(f"{name!r} holds no images; give at least one per class")
    held = next((splits[split] for split in _TEST_NAMES if split in splits), None)
    form = _form(train, options)
    items = [
        items_of(source, form, cache=request.cache, threads=_THREADS, show=request.show)
        for source in (train, held)
        if source is not None
    ]
    return Images(name=name, classes=train.classes, train=items[0], test=items[1] if len(items) > 1 else None)


def _form(source: ImageSource, options: ImageOptions) -> Form:
    """Return the form that options ask for, filled in from the headers of some images."""
    if options.size and options.channels:
        return Form(options.channels, options.size)
    if source.random_access:
        step = -(-len(source) // _MOST_HEADS)
        heads = ((source.fetch(row), source.where(row)) for row in range(0, len(source), step))
    else:
        first = zip(range(_MOST_HEADS), source.scan(), strict=False)
        heads = ((read(), source.where(row)) for row, read in first)
    known = common_form(heads)
    return Form(options.channels or known.channels, options.size or known.side)
