"""The modality ``image``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from attar.batch import Batch
from attar.errors import UsageError
from attar.plugins import DataInfo, LoadRequest
from attar.settings import parse, unknown
from attar.tensor import ArrayItems, Items, Standardize, TensorAugment, TensorModality, TensorTask
from attar.tensor.builtin import digits_arrays
from attar.tensor.modality import SplitOptions, holdout
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from torch import Tensor

from attar_image.augment import affine, siamese
from attar_image.folder import FolderItems, common_form, read_folder
from attar_image.networks import ARCHITECTURES

__all__ = ["IMAGE", "ImageModality", "ImageOptions"]

_KNOWN = {
    "digits": "1,797 handwritten digits of 8 × 8 pixels (scikit-learn)",
    "mnist": "70,000 handwritten digits of 28 × 28 pixels (torchvision)",
    "fashion-mnist": "70,000 pieces of clothing of 28 × 28 pixels (torchvision)",
    "cifar10": "60,000 color images of 32 × 32 pixels, 10 classes (torchvision)",
}
# The statistics that the field's tables use; those of other data are measured on train.
_STATISTICS = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2861,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
# Mirroring a digit changes what it is.
_ORIENTED = frozenset({"digits", "mnist"})
_TEST_NAMES = ("test", "val", "validation")


# Numbers arrive as text from the command line, so they are converted before they are compared.
Channels = Annotated[Literal[0, 1, 3], BeforeValidator(int)]


class ImageOptions(SplitOptions):
    """How images are loaded.

    Attributes:
        size: Height and width that images of a folder are brought to, in pixels; 0 chooses.
        channels: 1 for gray, 3 for color; 0 chooses.
        augment: ``siamese``, the field's mix of color, crop, cutout, flip, scale and rotation;
            ``affine``, shift, scale and rotation together; ``none``; ``auto`` takes ``affine``
            for digits and ``siamese`` for everything else.
        mirror: Whether ``siamese`` may exchange left and right; by default for all but digits.
    """

    size: int = Field(default=0, ge=0, le=256)
    channels: Channels = 0
    augment: Literal["auto", "siamese", "affine", "none"] = "auto"
    mirror: bool | None = None


class ImageModality(TensorModality):
    """Images: torchvision's data sets by name, or a folder of class subfolders."""

    summary = "images: MNIST, CIFAR-10, … or your own folder of class subfolders"
    Options = ImageOptions
    limits = (0.0, 1.0)

    def datasets(self) -> Mapping[str, str]:
        """Return the known data sets."""
        return _KNOWN

    def load(self, request: LoadRequest) -> TensorTask:
        """Load a known data set, or a folder of class subfolders.

        A folder may have ``train`` and ``test`` subfolders with the classes in them;
        otherwise the test split is drawn.

        Raises:
            UsageError: If the data are unknown, missing, damaged, or do not fit.
        """
        options: ImageOptions = request.options
        if request.data in _KNOWN:
            return self._known(request, options)
        folder = Path(request.data)
        if folder.is_dir():
            return self._folder(folder, options)
        if folder.is_file():
            raise UsageError(f"{request.data!r} is a file; give a folder of class subfolders")
        known = unknown("data", request.data, _KNOWN)
        raise UsageError(f"{known}, or give a folder of class subfolders with --data")

    def pixels(self, batch: Batch, info: DataInfo) -> Sequence[Any]:
        """Return the images in natural colors, ``(h, w)`` or ``(h, w, 3)`` in [0, 1]."""
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        values: Tensor = preprocess.decode(batch.inputs.detach().cpu()) / preprocess.scale
        images = values.clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return [image[:, :, 0] if image.shape[2] == 1 else image for image in images]

    def _known(self, request: LoadRequest, options: ImageOptions) -> TensorTask:
        name = request.data
        scale = 255.0
        if name == "digits":
            values, labels, classes = digits_arrays()
            train: Items = ArrayItems(values, labels, name)
            train, test = holdout(train, options.test, len(classes), options.split_seed, "test")
            scale = 16.0
        else:
            train, test, classes = _torchvision(name, request.root, request.download)
        return self._task(name, classes, train, test, options, scale)

    def _folder(self, folder: Path, options: ImageOptions) -> TensorTask:
        inside = {path.name for path in folder.iterdir() if path.is_dir()}
        held = next((name for name in _TEST_NAMES if name in inside), None)
        split = "train" in inside and held is not None
        listing = read_folder(folder / "train" if split else folder)
        channels, side = common_form(listing)
        channels, side = options.channels or channels, options.size or side
        train: Items = FolderItems(listing.paths, listing.owners, channels, side)
        test: Items
        if split and held is not None:
            other = read_folder(folder / held, listing.classes)
            test = FolderItems(other.paths, other.owners, channels, side)
        else:
            train, test = holdout(train, options.test, len(listing.classes), options.split_seed, "test")
        return self._task(folder.resolve().name, listing.classes, train, test, options, 255.0)

    def _task(
        self,
        name: str,
        classes: tuple[str, ...],
        train: Items,
        test: Items,
        options: ImageOptions,
        scale: float,
    ) -> TensorTask:
        validation: Items | None = None
        if options.validation > 0:
            train, validation = holdout(
                train, options.validation, len(classes), options.split_seed, "validation"
            )
        if name in _STATISTICS:
            mean, std = _STATISTICS[name]
            preprocess = Standardize(scale=scale, mean=mean, std=std)
        else:
            preprocess = Standardize.fit(train, scale=scale)
        side = min(train.feature[1:])
        return TensorTask(
            modality="image",
            name=name,
            classes=classes,
            axes=("channel", "height", "width"),
            train=train,
            test=test,
            validation=validation,
            preprocess=preprocess,
            architectures=ARCHITECTURES,
            # Each block halves the image; tiny ones allow two, large ones want more.
            architecture=f"convnet,depth={2 if side < 16 else 3 if side < 64 else 4}",
            augment=_augment(name, options),
            registry=self.registry,
        )


def _augment(name: str, options: ImageOptions) -> TensorAugment | None:
    kind = options.augment
    if kind == "auto":
        kind = "affine" if name in _ORIENTED else "siamese"
    if kind == "none":
        return None
    if kind == "affine":
        return affine()
    return siamese(mirror=name not in _ORIENTED if options.mirror is None else options.mirror)


def _torchvision(name: str, root: Path, download: bool) -> tuple[Items, Items, tuple[str, ...]]:
    """Return train and test of a torchvision data set, and its class names."""
    from torchvision import datasets

    kinds = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
    splits = []
    for train in (True, False):
        try:
            splits.append(kinds[name](str(root), train=train, download=download))
        except (RuntimeError, FileNotFoundError) as error:
            raise UsageError(
                f"{name} is not in {str(root)!r}: give its folder with --root, or fetch it with --download"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{name} in {str(root)!r} is damaged or cannot be fetched: {error}") from error
    items = [
        ArrayItems(_channels_first(np.asarray(split.data)), np.asarray(split.targets), name)
        for split in splits
    ]
    digits = name == "mnist"
    classes = tuple(str(i) if digits else str(title) for i, title in enumerate(splits[0].classes))
    return items[0], items[1], classes


def _channels_first(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None] if values.ndim == 3 else np.ascontiguousarray(values.transpose(0, 3, 1, 2))


IMAGE = ImageModality()
