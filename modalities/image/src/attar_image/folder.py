"""The user's own images: a folder of class subfolders, decoded on demand."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from attar.errors import UsageError
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

__all__ = ["FolderItems", "Listing", "read_folder"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_MOST_PIXELS = 2**26


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image, turning whatever is wrong with it into one sentence."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of images that announce very many pixels, and does so too late.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise UsageError(
                        f"{str(path)!r} announces {image.width} × {image.height} pixels; "
                        f"images of more than {_MOST_PIXELS:,} pixels are refused"
                    )
                yield image
    except UsageError:
        raise
    except Image.DecompressionBombError as error:
        raise UsageError(f"{str(path)!r} announces too many pixels; remove it") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"{str(path)!r} cannot be read as an image; remove or repair it") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 or 32 bits per pixel with 8; Pillow itself would clip its shades."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image, dtype=np.float64)
    scale = 257.0 if values.max(initial=0.0) > 255 else 1.0
    return Image.fromarray(np.clip(np.round(values / scale), 0, 255).astype(np.uint8))


def _decode(path: Path, channels: int, side: int) -> Tensor:
    """Return an image as uint8 ``(channels, side, side)``: resized to cover, cut at the center."""
    with _opened(path) as image:
        upright = _eight_bits(ImageOps.exif_transpose(image))
        color = upright.convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(color, (side, side), method=Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(fitted))
    return values[None] if channels == 1 else values.permute(2, 0, 1)


@dataclass(frozen=True)
class FolderItems:
    """Images in files, decoded when they are read.

    Attributes:
        paths: The files.
        owners: Class of each file.
        channels: 1 for gray, 3 for color.
        side: Height and width that images are brought to, in pixels.
    """

    paths: tuple[Path, ...]
    owners: tuple[int, ...]
    channels: int
    side: int

    @cached_property
    def labels(self) -> Tensor:
        """Class of each image, int64 ``(n,)``."""
        return torch.tensor(self.owners, dtype=torch.int64)

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one image."""
        return (self.channels, self.side, self.side)

    def read(self, rows: Tensor) -> Tensor:
        """Return images as uint8 ``(k, channels, side, side)``."""
        images = [_decode(self.paths[row], self.channels, self.side) for row in rows.tolist()]
        return torch.stack(images) if images else torch.empty((0, *self.feature), dtype=torch.uint8)

    def fingerprint(self, rows: Tensor | None = None) -> str:
        """Return a hash of names, contents, labels and the form images are brought to."""
        digest = hashlib.blake2b(f"{self.feature}".encode(), digest_size=16)
        for row in range(len(self.paths)) if rows is None else rows.tolist():
            path, owner = self.paths[row], self.owners[row]
            digest.update(f"{owner}/{path.name}/".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        return digest.hexdigest()

    def nbytes(self, rows: Tensor) -> int:
        """Return the bytes of the images as uint8 pixels."""
        return len(rows) * self.channels * self.side**2


@dataclass(frozen=True)
class Listing:
    """What a folder of class subfolders holds.

    Attributes:
        classes: Names of the subfolders, in order.
        paths: Image files.
        owners: Class of each file.
    """

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    owners: tuple[int, ...]


def read_folder(folder: Path, classes: Sequence[str] | None = None) -> Listing:
    """List the images of a folder whose subfolders are the classes.

    Args:
        folder: The folder.
        classes: The classes expected, or None to take the subfolders' names.

    Raises:
        UsageError: If there are no class subfolders, one holds no image, or the classes differ.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise UsageError(
            f"{str(folder)!r} has no subfolders; put the images of each class into a folder of its own"
        )
    names = tuple(path.name for path in found)
    if classes is not None and names != tuple(classes):
        odd = sorted(set(names) ^ set(classes))[0]
        raise UsageError(f"the class {odd!r} is in one split of {str(folder.parent)!r} but not in the other")
    paths: list[Path] = []
    owners: list[int] = []
    for owner, subfolder in enumerate(found):
        images = sorted(
            path for path in subfolder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not images:
            raise UsageError(
                f"the class folder {str(subfolder)!r} holds no images; add some "
                f"({', '.join(sorted(SUFFIXES))}) or remove the folder"
            )
        paths += images
        owners += [owner] * len(images)
    return Listing(classes=names, paths=tuple(paths), owners=tuple(owners))


def common_form(listing: Listing, most: int = 200) -> tuple[int, int]:
    """Return channels and side that suit a folder's images, from their headers alone.

    Channels are 1 if all are gray. The side is the median of the shorter sides, brought down
    to the nearest of 16, 28, 32, 64, 96, 128.
    """
    step = max(1, len(listing.paths) // most)
    sides, gray = [], True
    for path in listing.paths[::step]:
        with _opened(path) as image:
            sides.append(min(image.size))
            gray = gray and (image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16"))
    median = sorted(sides)[len(sides) // 2]
    side = max((known for known in (16, 28, 32, 64, 96, 128) if known <= median), default=16)
    return (1 if gray else 3), side
