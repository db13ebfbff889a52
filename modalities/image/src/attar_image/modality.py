"""The modality ``image``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from attar.batch import Batch
from attar.contracts import SyntheticSet, Task
from attar.encoded import BadOptions
from attar.errors import UsageError
from attar.plugins import DataInfo, Exhibit, Export, LoadRequest
from attar.render import sample_picture
from attar.settings import parse, unknown
from attar.tensor import Standardize, TensorAugment, TensorModality, TensorTask
from attar.tensor.splits import SplitOptions, split
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from torch import Tensor

from attar_image.augment import affine, siamese
from attar_image.export import EXPORTS
from attar_image.given import check_levels, new_images
from attar_image.networks import ARCHITECTURES
from attar_image.public import PUBLIC
from attar_image.sources import Images, digits, given_images, images_at, public_images

__all__ = ["IMAGE", "ImageModality", "ImageOptions"]

_DIGITS = "1,797 handwritten digits of 8 × 8 pixels (scikit-learn)"


# Numbers arrive as text from the command line, so they are converted before they are compared.
def _number(value: object) -> object:
    return int(value) if isinstance(value, str) else value


Channels = Annotated[Literal[0, 1, 3], BeforeValidator(_number)]


class ImageOptions(BadOptions, SplitOptions):
    """How images are loaded.

    Attributes:
        size: Height and width that pictures are brought to, in pixels; 0 chooses.
        channels: 1 for gray, 3 for color; 0 chooses.
        augment: ``siamese``, the field's mix of color, crop, cutout, flip, scale and rotation;
            ``affine``, shift, scale and rotation together; ``none``; ``auto`` takes ``affine``
            for MNIST and ``siamese`` for everything else.
        strength: How far ``affine`` goes; sets of many samples want less, since networks learn
            them faster.
        mirror: Whether ``siamese`` may exchange left and right; by default for all but
            characters.
        image_column: Column of a table that holds the images; "" chooses.
        label_column: Column of a table that holds the labels; "" chooses.
    """

    size: int = Field(default=0, ge=0, le=256)
    channels: Channels = 0
    augment: Literal["auto", "siamese", "affine", "none"] = "auto"
    strength: float = Field(default=1.0, gt=0, le=2)
    mirror: bool | None = None
    image_column: str = ""
    label_column: str = ""


class ImageModality(TensorModality):
    """Images: torchvision's data sets by name, a folder of class subfolders, or a table."""

    category = "image-classification"
    default_method = "dm"
    summary = "images: MNIST, CIFAR-10, …, your own folder of class subfolders, Parquet, or tensors"
    Options = ImageOptions
    architectures = ARCHITECTURES
    limits = (0.0, 1.0)

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return the paper's ConvNet, with a block fewer or more for tiny or large images."""
        side = min(feature[1:], default=0)
        # Each block halves the image; tiny ones allow two, large ones want more.
        return f"convnet,depth={2 if side < 16 else 3 if side < 64 else 4}"

    def augmentation(self, name: str, options: Any) -> TensorAugment | None:
        """Return the augmentation that the options ask for."""
        return _augment(name, options)

    def read(self, raw: Any, info: DataInfo) -> Tensor:
        """Return new images in the unit of the data.

        They are Pillow images or paths of files, or pixels of the right shape: whole numbers in
        the data's unit, or fractions of white in [0, 1].

        Raises:
            UsageError: If a file is no image, or pixels have another shape.
        """
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        return new_images(raw, info.feature, preprocess.scale)

    def set_of(self, arrays: Mapping[str, NDArray[Any]], task: Task) -> SyntheticSet:
        """Return the set that arrays hold: ``inputs`` ``(n, c, h, w)`` are pixels from 0 to 255.

        Raises:
            UsageError: If an array is missing or unknown, or does not fit the task.
        """
        check_levels(arrays.get("inputs", np.zeros(0)))
        return super().set_of(arrays, task)

    def datasets(self) -> Mapping[str, str]:
        """Return the known data sets."""
        return {"digits": _DIGITS, **{name: known.summary for name, known in PUBLIC.items()}}

    def load(self, request: LoadRequest) -> TensorTask:
        """Load a known data set, the user's own images, or images given in Python.

        Own images are a folder of class subfolders, Parquet files with a column of encoded
        images and one of labels, or a folder that Hugging Face's ``save_to_disk`` wrote. A
        folder may have ``train`` and ``test`` parts; otherwise the test split is drawn.

        Raises:
            UsageError: If the data are unknown, missing, damaged, or do not fit.
        """
        options: ImageOptions = request.options
        return self._task(self._images(request, options), options)

    def _images(self, request: LoadRequest, options: ImageOptions) -> Images:
        if request.given is not None:
            return given_images(request.given, request.data, options)
        if request.data == "digits":
            return digits()
        if request.data in PUBLIC:
            return public_images(request.data, request.root, request.download)
        path = Path(request.data)
        if path.exists():
            return images_at(path, options, request)
        known = unknown("data", request.data, self.datasets())
        raise UsageError(f"{known}, or give the path of a folder of class subfolders with --data")

    def pixels(self, batch: Batch, info: DataInfo) -> Sequence[Any]:
        """Return the images in natural colors, ``(h, w)`` or ``(h, w, 3)`` in [0, 1]."""
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        values: Tensor = preprocess.decode(batch.inputs.detach().cpu()) / preprocess.scale
        images = values.clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return [image[:, :, 0] if image.shape[2] == 1 else image for image in images]

    def exhibits(self, batch: Batch, info: DataInfo) -> list[Exhibit]:
        """Return each image as a picture of its own."""
        return [
            Exhibit(picture=sample_picture(image, limits=self.limits)) for image in self.pixels(batch, info)
        ]

    def exports(self) -> Mapping[str, Export]:
        """Return picture files, NumPy arrays and Parquet, all of pixels from 0 to 255."""
        return EXPORTS

    def _task(self, images: Images, options: ImageOptions) -> TensorTask:
        parts = split(images.train, images.test, len(images.classes), options)
        public = PUBLIC.get(images.name)
        known = public is not None or images.name == "digits"
        if public is not None and public.statistics is not None:
            mean, std = public.statistics
            preprocess = Standardize(scale=images.scale, mean=mean, std=std)
        else:
            preprocess = Standardize.fit(parts.train, scale=images.scale)
        return self.task(
            "image",
            images.name,
            images.classes,
            parts,
            options,
            preprocess=preprocess,
            license=images.license,
            fitted="" if options.size or known else "the size of the pictures (data.size)",
            about=images.about,
        )


def _augment(name: str, options: ImageOptions) -> TensorAugment | None:
    oriented = name == "digits" or (name in PUBLIC and PUBLIC[name].oriented)
    kind = options.augment
    if kind == "auto":
        kind = "affine" if name == "mnist" else "siamese"
    if kind == "none":
        return None
    if kind == "affine":
        return affine(options.strength)
    return siamese(mirror=not oriented if options.mirror is None else options.mirror)


IMAGE = ImageModality()
