"""Differentiable image augmentation, as used for distillation and for training.

Every operation draws first and is applied later, so that one draw can be applied to a
real and to a synthetic batch (siamese augmentation). A draw holds only uniform numbers in
``[0, 1)``; sizes enter when it is applied, so that one draw fits images of any size.

Images are ``(n, channels, height, width)`` and normalized, so that zero is the mean color;
what an operation moves in from outside is zero.

References:
    Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
    ICML 2021, section 3.2 and appendix, for the operations and their default strengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from attar.tensor import Operation, TensorAugment
from torch import Generator, Tensor
from torch.nn import functional

__all__ = ["Color", "Crop", "Cutout", "Flip", "Rotate", "Scale", "affine", "siamese"]


def _uniform(gen: Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=gen)


def _affine(images: Tensor, matrix: Tensor) -> Tensor:
    """Sample `images` where `matrix`, ``(n, 2, 3)``, sends each output position.

    Positions are in half sides from the center. Outside the image there is zero.
    """
    grid = functional.affine_grid(matrix.to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _matrix(a: Tensor, b: Tensor, x: Tensor, c: Tensor, d: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b, x], 1), torch.stack([c, d, y], 1)], 1)


@dataclass(frozen=True)
class Color:
    """Brightness, saturation and contrast, in this order.

    Attributes:
        brightness: A number in ``±brightness / 2`` is added to the normalized image.
        saturation: The distance of each channel from the pixel's mean over channels is
            multiplied by a number in ``[0, saturation)``; nothing happens to gray images.
        contrast: The distance from the image's mean is multiplied by a number in
            ``[contrast, 1 + contrast)``.
    """

    brightness: float = 1.0
    saturation: float = 2.0
    contrast: float = 0.5

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 3)``."""
        return _uniform(gen, k, 3)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(3,)`` per image."""
        light, color, contrast = (column.view(-1, 1, 1, 1) for column in draws.to(values).unbind(1))
        values = values + (light - 0.5) * self.brightness
        gray = values.mean(dim=1, keepdim=True)
        values = gray + (values - gray) * (color * self.saturation)
        if values.shape[1] == 1:
            values = gray
        mean = values.mean(dim=(1, 2, 3), keepdim=True)
        return mean + (values - mean) * (contrast + self.contrast)


@dataclass(frozen=True)
class Crop:
    """Shift by a whole number of pixels, up to `ratio` of each side."""

    ratio: float = 0.125

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 2)``."""
        return _uniform(gen, k, 2)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(2,)`` per image."""
        height, width = values.shape[-2:]
        most = torch.tensor([int(width * self.ratio + 0.5), int(height * self.ratio + 0.5)])
        pixels = torch.floor(draws * (2 * most + 1)) - most
        x, y = (pixels * 2 / torch.tensor([width, height])).unbind(1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        return _affine(values, _matrix(one, zero, x, zero, one, y))


@dataclass(frozen=True)
class Cutout:
    """Set a square of `ratio` of each side, anywhere, to zero."""

    ratio: float = 0.5

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 2)``."""
        return _uniform(gen, k, 2)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(2,)`` per image."""
        masks = []
        for axis, side in zip(draws.unbind(1), values.shape[-2:], strict=True):
            length = int(side * self.ratio + 0.5)
            # The center may be any pixel, so part of the square can lie outside.
            start = torch.floor(axis * (side + 1 - length % 2)) - length // 2
            position = torch.arange(side) - start[:, None]
            masks.append((position >= 0) & (position < length))
        hole = masks[0][:, None, :, None] & masks[1][:, None, None, :]
        return values * (~hole).to(values)


@dataclass(frozen=True)
class Flip:
    """Mirror left and right with a probability."""

    probability: float = 0.5

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 1)``."""
        return _uniform(gen, k, 1)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(1,)`` per image."""
        mirrored = (draws < self.probability).view(-1, 1, 1, 1).to(values.device)
        return torch.where(mirrored, values.flip(-1), values)


@dataclass(frozen=True)
class Scale:
    """Stretch height and width independently, each by a factor in ``[1/ratio, ratio)``."""

    ratio: float = 1.2

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 2)``."""
        return _uniform(gen, k, 2)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(2,)`` per image."""
        x, y = (draws * (self.ratio - 1 / self.ratio) + 1 / self.ratio).unbind(1)
        zero = torch.zeros_like(x)
        return _affine(values, _matrix(x, zero, zero, zero, y, zero))


@dataclass(frozen=True)
class Rotate:
    """Rotate about the center by up to `degrees` either way."""

    degrees: float = 15.0

    def draw(self, k: int, gen: Generator) -> Tensor:
        """Return `k` draws, ``(k, 1)``."""
        return _uniform(gen, k, 1)

    def transform(self, values: Tensor, draws: Tensor) -> Tensor:
        """Apply one draw of shape ``(1,)`` per image."""
        height, width = values.shape[-2:]
        angle = (draws[:, 0] - 0.5) * 2 * math.radians(self.degrees)
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        # Positions are in half sides, so turning a rectangle needs its aspect ratio.
        return _affine(
            values,
            _matrix(cos, -sin * height / width, zero, sin * width / height, cos, zero),
        )


def affine(strength: float = 1.0) -> TensorAugment:
    """Return shift, scale and rotation, all in each draw.

    Args:
        strength: How far each goes, in parts of 15 % of the side, a factor of 1.3 and 25°.

    What is written or drawn keeps its meaning under them. Trained on one distilled digit of
    MNIST per class, networks reach several points more with this than with :func:`siamese`
    (``benchmarks/tuning/mnist-augmentation.csv``, chosen on validation data). Images of a few
    pixels lose too much under all three at once: scikit-learn's digits want :func:`siamese`.
    """
    operations = (Crop(0.15 * strength), Scale(1 + 0.3 * strength), Rotate(25.0 * strength))
    return TensorAugment(operations, mode="all")


def siamese(*, mirror: bool) -> TensorAugment:
    """Return the field's augmentation: one operation per draw, out of all of them.

    Args:
        mirror: Whether left and right may be exchanged, which changes what a digit is.
    """
    operations: list[Operation] = [Color(), Crop(), Cutout(), Scale(), Rotate()]
    if mirror:
        operations.insert(3, Flip())
    return TensorAugment(tuple(operations))
