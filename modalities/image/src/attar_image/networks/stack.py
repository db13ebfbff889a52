"""What the plain convolutional networks share: blocks one after another, then a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from attar.errors import UsageError
from torch import Tensor, nn

__all__ = ["ImageNorm", "Stack", "image_shape", "normalization", "padding"]

ImageNorm: TypeAlias = Literal["instance", "batch", "none"]
"""Normalization between convolution and activation."""

_FIELD = 32


def image_shape(feature: Sequence[int], name: str) -> tuple[int, int, int]:
    """Return channels, height and width of an image.

    Raises:
        UsageError: If samples are no images, or smaller than 4 × 4.
    """
    if len(feature) != 3 or min(feature[1:]) < 4:
        raise UsageError(
            f"{name} needs images of shape (channels, height, width) and at least 4 × 4 pixels, but these "
            f"samples have shape {tuple(feature)}; choose the architecture 'mlp' instead"
        )
    channels, height, width = feature
    return channels, height, width


def normalization(norm: ImageNorm, width: int) -> nn.Module:
    """Return the normalization of `width` channels."""
    if norm == "instance":
        # One group per channel: InstanceNorm with affine parameters.
        return nn.GroupNorm(width, width)
    return nn.BatchNorm2d(width) if norm == "batch" else nn.Identity()


def padding(side: int) -> int:
    """Return the pixels on either side that bring an image to the next power of two up to 32.

    The first convolution adds them, so that 28 × 28 becomes 32 × 32 as in the field's networks.
    """
    target = min(_FIELD, 1 << (side - 1).bit_length())
    return max(0, -(-(target - side) // 2))


class Stack(nn.Module):
    """Blocks of layers and a linear classifier on the flattened output of the last.

    Args:
        blocks: The blocks.
        size: Number of values that the last block returns for one sample.
        classes: Number of classes.
        coupled: Whether rows of a batch influence one another.
    """

    def __init__(self, blocks: Sequence[nn.Module], size: int, classes: int, *, coupled: bool) -> None:
        super().__init__()
        self.coupled = coupled
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(size, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return each block's output, ``(n, channels, height, width)``."""
        maps = []
        hidden = inputs
        for block in self.blocks:
            hidden = block(hidden)
            maps.append(hidden)
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the flattened output of the last block, ``(n, d)``."""
        return torch.flatten(self.feature_maps(inputs)[-1], 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits
