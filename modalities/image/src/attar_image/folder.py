"""The user's own images: which files they are, and the form that suits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.encoded import FolderSource, Media
from attar.encoded import read_folder as read_class_folder

from attar_image.decode import MOST_BYTES, Form, is_gray, opened

__all__ = ["IMAGES", "Head", "common_form", "head", "read_folder"]

IMAGES = Media(
    noun="image",
    suffixes=frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}),
    most_bytes=MOST_BYTES,
    columns=("image", "img", "picture", "photo"),
    distribution="attar-image",
)
"""Files that hold an image."""

_SIDES = (8, 16, 28, 32, 64, 96, 128)


def read_folder(folder: Path, classes: Sequence[str] | None = None) -> FolderSource:
    """List the images of a folder whose subfolders are the classes.

    Args:
        folder: The folder.
        classes: The classes expected, or None to take the subfolders' names.

    Raises:
        UsageError: If there are no class subfolders, one holds no image or cannot be read, a
            link leads in a circle, or the classes differ.
    """
    return read_class_folder(folder, IMAGES, classes)


@dataclass(frozen=True)
class Head:
    """What an image says of itself.

    Attributes:
        side: The shorter side, in pixels.
        gray: Whether it has shades but no colors.
    """

    side: int
    gray: bool


def head(data: bytes, where: str) -> Head:
    """Return what the header of an encoded image says.

    Raises:
        UsageError: Naming `where`, if it is none.
    """
    with opened(data, where) as image:
        return Head(min(image.size), is_gray(image))


def common_form(heads: Sequence[Head]) -> Form:
    """Return the form that suits images.

    Channels are 1 if all are gray. The side is the median of the shorter sides, brought down
    to the nearest of 8, 16, 28, 32, 64, 96, 128.
    """
    middle = sorted(each.side for each in heads)[len(heads) // 2]
    side = max((side for side in _SIDES if side <= middle), default=8)
    return Form(channels=1 if all(each.gray for each in heads) else 3, side=side)
