"""LeNet-5."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attar.nets import Count
from torch import Tensor, nn

from attar_image.networks.stack import Stack, image_shape

__all__ = ["LeNet"]

_FIELD = 32


class LeNet(Stack):
    """LeNet-5 as the distillation literature uses it, with ReLU and max pooling.

    Two 5 × 5 convolutions, each followed by pooling, and three fully connected layers. Images
    below 32 × 32 pixels are padded with zeros to that; larger ones give the first fully
    connected layer more inputs.

    Args:
        feature: Shape of one sample, ``(channels, height, width)``, at least 4 × 4 pixels.
        classes: Number of classes.
        width: Channels of the first convolution; the other layers keep their proportion to it:
            16, 120 and 84 units at the published 6.

    Raises:
        UsageError: If samples are no images.

    References:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of
        the IEEE 1998, section II.B; with ReLU and max pooling Zhao et al., "Dataset Condensation
        with Gradient Matching", ICLR 2021 (cross-architecture experiments).
    """

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 6) -> None:
        channels, *sides = image_shape(feature, "LeNet")
        top, left = (max(0, -(-(_FIELD - side) // 2)) for side in sides)
        second, third, fourth = (max(1, round(factor * width / 6)) for factor in (16, 120, 84))
        blocks = [
            nn.Sequential(nn.Conv2d(channels, width, 5, padding=(top, left)), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(width, second, 5), nn.ReLU(), nn.MaxPool2d(2)),
        ]
        positions = 1
        for side, extra in zip(sides, (top, left), strict=True):
            positions *= ((side + 2 * extra - 4) // 2 - 4) // 2
        super().__init__(blocks, fourth, classes, coupled=False)
        self.hidden = nn.Sequential(
            nn.Linear(second * positions, third), nn.ReLU(), nn.Linear(third, fourth), nn.ReLU()
        )

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the last hidden layer, ``(n, 14 · width)``."""
        hidden: Tensor = self.hidden(torch.flatten(self.feature_maps(inputs)[-1], 1))
        return hidden
