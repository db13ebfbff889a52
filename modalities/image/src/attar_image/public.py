"""torchvision's labeled sets of small images, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from attar.errors import UsageError
from attar.tensor import ArrayItems, Items
from numpy.typing import NDArray

__all__ = ["PUBLIC", "PublicData", "load_public"]

Axes = Literal["hw", "wh", "hwc", "chw"]
_Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class PublicData:
    """How torchvision keeps a data set.

    Attributes:
        summary: A line about it.
        kind: Name of torchvision's class.
        axes: Axes of one image in its ``data``; ``wh`` is an image on its side.
        labels: Name of its attribute with the labels.
        options: Further arguments of the class.
        splits: Arguments that choose the training and the test split.
        first: Label of the first class; earlier names of classes are left out.
        numbered: Whether classes are called by their number, as digits are.
        oriented: Whether mirroring an image changes what it is.
        statistics: Mean and standard deviation of each channel that the field's tables use,
            of pixels in [0, 1]; None measures them.
        license: License of the images, as their owners state it, or ``unknown``.
    """

    summary: str
    kind: str
    axes: Axes
    labels: str = "targets"
    options: Mapping[str, Any]
    splits: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"train": True}, {"train": False})
    first: int = 0
    numbered: bool = False
    oriented: bool = False
    statistics: _Statistics | None = None
    license: str = "unknown"


_BY_NAME = ({"split": "train"}, {"split": "test"})
_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_CIFAR_100 = ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))
_SVHN = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))


def _emnist(split: str, summary: str, *, first: int = 0) -> PublicData:
    return PublicData(
        summary=f"{summary} of 28 × 28 pixels (torchvision)",
        kind="EMNIST",
        axes="wh",
        options={"split": split},
        first=first,
        oriented=True,
    )


PUBLIC: Mapping[str, PublicData] = {
    "mnist": PublicData(
        summary="70,000 handwritten digits of 28 × 28 pixels (torchvision)",
        kind="MNIST",
        axes="hw",
        options={},
        numbered=True,
        oriented=True,
        statistics=((0.1307,), (0.3081,)),
        license="cc-by-sa-3.0",
    ),
    "fashion-mnist": PublicData(
        summary="70,000 pieces of clothing of 28 × 28 pixels (torchvision)",
        kind="FashionMNIST",
        axes="hw",
        options={},
        statistics=((0.2861,), (0.3530,)),
        license="mit",
    ),
    "kmnist": PublicData(
        summary="70,000 handwritten Hiragana of 28 × 28 pixels (torchvision)",
        kind="KMNIST",
        axes="hw",
        options={},
        oriented=True,
        license="cc-by-sa-4.0",
    ),
    "emnist-balanced": _emnist("balanced", "131,600 handwritten characters, 47 classes,"),
    "emnist-letters": _emnist("letters", "145,600 handwritten letters, 26 classes,", first=1),
    "emnist-digits": _emnist("digits", "280,000 handwritten digits"),
    "svhn": PublicData(
        summary="99,289 house numbers of 32 × 32 pixels in color (torchvision)",
        kind="SVHN",
        axes="chw",
        labels="labels",
        options={},
        splits=_BY_NAME,
        numbered=True,
        oriented=True,
        statistics=_SVHN,
    ),
    "cifar10": PublicData(
        summary="60,000 color images of 32 × 32 pixels, 10 classes (torchvision)",
        kind="CIFAR10",
        axes="hwc",
        options={},
        statistics=_CIFAR,
    ),
    "cifar100": PublicData(
        summary="60,000 color images of 32 × 32 pixels, 100 classes (torchvision)",
        kind="CIFAR100",
        axes="hwc",
        options={},
        statistics=_CIFAR_100,
    ),
    "stl10": PublicData(
        summary="13,000 labeled color images of 96 × 96 pixels, 10 classes (torchvision)",
        kind="STL10",
        axes="chw",
        labels="labels",
        options={},
        splits=_BY_NAME,
    ),
}
"""The sets known by name; the field's statistics are those of the official code of DC and DM."""

_TO_CHANNELS_FIRST: Mapping[Axes, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "hw": lambda data: data[:, None],
    "wh": lambda data: np.ascontiguousarray(data.transpose(0, 2, 1))[:, None],
    "hwc": lambda data: np.ascontiguousarray(data.transpose(0, 3, 1, 2)),
    "chw": lambda data: data,
}


def load_public(name: str, root: Path, download: bool) -> tuple[Items, Items, tuple[str, ...]]:
    """Return train and test of a data set of :data:`PUBLIC`, and its class names.

    Args:
        name: The data set.
        root: Folder that torchvision keeps data sets in.
        download: Whether it may be downloaded there.

    Raises:
        UsageError: If the data are missing or damaged.
    """
    from torchvision import datasets

    known = PUBLIC[name]
    kind = getattr(datasets, known.kind)
    splits = []
    for choice in known.splits:
        try:
            splits.append(kind(str(root), **choice, **known.options, download=download))
        except (RuntimeError, FileNotFoundError) as error:
            raise UsageError(_missing(name, root, kind, {**choice, **known.options})) from error
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{name} in {str(root)!r} is damaged or cannot be fetched: {error}") from error
    train, test = (_items(name, known, split) for split in splits)
    return train, test, _classes(known, splits[0], train)


def _missing(name: str, root: Path, kind: Callable[..., Any], options: Mapping[str, Any]) -> str:
    """Return what helps where a data set is not in a folder: often the one above it is meant."""
    above = root.resolve().parent
    try:
        kind(str(above), **options, download=False)
    except Exception:
        return (
            f"{name} is not in {str(root)!r}: give the folder that torchvision keeps data in with --root, "
            f"or fetch it with --download"
        )
    return f"{name} is not in {str(root)!r}, but in the folder above it: give --root {str(above)!r}"


def _items(name: str, known: PublicData, split: Any) -> ArrayItems:
    labels = np.asarray(getattr(split, known.labels)).astype(np.int64) - known.first
    return ArrayItems(_TO_CHANNELS_FIRST[known.axes](np.asarray(split.data)), labels, name)


def _classes(known: PublicData, split: Any, train: ArrayItems) -> tuple[str, ...]:
    if known.numbered:
        return tuple(str(label) for label in range(int(train.labels.max()) + 1))
    return tuple(str(title) for title in split.classes[known.first :])
