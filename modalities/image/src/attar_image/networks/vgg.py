"""VGG-11 for small images."""

from __future__ import annotations

from collections.abc import Sequence

from attar.nets import Count
from torch import nn

from attar_image.networks.stack import ImageNorm, Stack, image_shape, normalization, padding

__all__ = ["VGG11"]

# Convolutions of each block, as multiples of the first one's channels; pooling ends a block.
_PLAN = ((1,), (2,), (4, 4), (8, 8), (8, 8))


class VGG11(Stack):
    """VGG-11 as the distillation literature uses it: eight convolutions and a linear classifier.

    Five blocks of 3 × 3 convolutions, each ended by max pooling. At 32 × 32 pixels the
    classifier sees one position. Smaller images are padded with zeros to the next power of two.

    Args:
        feature: Shape of one sample, ``(channels, height, width)``, at least 4 × 4 pixels.
        classes: Number of classes.
        width: Channels of the first block; later ones have 2, 4, 8 and 8 times as many.
        norm: ``instance``, ``batch``, which makes the rows of a batch influence one another, or
            ``none``.

    Raises:
        UsageError: If samples are no images.

    References:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015, table 1, configuration A; for 32 × 32 pixels and with
        InstanceNorm Zhao et al., "Dataset Condensation with Gradient Matching", ICLR 2021
        (cross-architecture experiments).
    """

    def __init__(
        self, feature: Sequence[int], classes: int, *, width: Count = 64, norm: ImageNorm = "instance"
    ) -> None:
        before, *sides = image_shape(feature, "VGG-11")
        more = [padding(side) for side in sides]
        sides = [side + 2 * extra for side, extra in zip(sides, more, strict=True)]
        blocks = []
        for index, factors in enumerate(_PLAN):
            layers: list[nn.Module] = []
            for factor in factors:
                first = index == 0
                pads = (1 + more[0], 1 + more[1]) if first else (1, 1)
                layers += [
                    nn.Conv2d(before, factor * width, 3, padding=pads),
                    normalization(norm, factor * width),
                    nn.ReLU(),
                ]
                before = factor * width
            last = index == len(_PLAN) - 1
            # Instance statistics need more than one position, so tiny images are halved less often.
            if last or min(sides) >= 4:
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
            blocks.append(nn.Sequential(*layers))
        super().__init__(blocks, before * sides[0] * sides[1], classes, coupled=norm == "batch")
