"""AlexNet for small images."""

from __future__ import annotations

from collections.abc import Sequence

from attar.nets import Count
from torch import nn

from attar_image.networks.stack import ImageNorm, Stack, image_shape, normalization, padding

__all__ = ["AlexNet"]


class AlexNet(Stack):
    """AlexNet as the distillation literature uses it: five convolutions and a linear classifier.

    Kernels of 5, 5, 3, 3 and 3 pixels, max pooling after the first, the second and the last. At
    32 × 32 pixels the classifier sees 4 × 4 positions. Smaller images are padded with zeros to
    the next power of two. There is no dropout.

    Args:
        feature: Shape of one sample, ``(channels, height, width)``, at least 4 × 4 pixels.
        classes: Number of classes.
        width: Channels of the first convolution; the others have 1.5, 2, 1.5 and 1.5 times as many.
        norm: ``none`` as published, ``instance`` or ``batch``.

    Raises:
        UsageError: If samples are no images.

    References:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks",
        NIPS 2012; for 32 × 32 pixels Zhao et al., "Dataset Condensation with Gradient Matching",
        ICLR 2021 (cross-architecture experiments).
    """

    def __init__(
        self, feature: Sequence[int], classes: int, *, width: Count = 128, norm: ImageNorm = "none"
    ) -> None:
        before, *sides = image_shape(feature, "AlexNet")
        more = [padding(side) for side in sides]
        sides = [side + 2 * extra for side, extra in zip(sides, more, strict=True)]
        wider = max(1, round(1.5 * width))
        # Channels, kernel and whether pooling follows.
        plan = (
            (width, 5, True),
            (wider, 5, True),
            (2 * width, 3, False),
            (wider, 3, False),
            (wider, 3, True),
        )
        blocks = []
        for index, (after, kernel, pooled) in enumerate(plan):
            reach = kernel // 2
            extra = more if index == 0 else [0, 0]
            layers: list[nn.Module] = [
                nn.Conv2d(before, after, kernel, padding=(reach + extra[0], reach + extra[1])),
                normalization(norm, after),
                nn.ReLU(),
            ]
            last = index == len(plan) - 1
            # Instance statistics need more than one position, so tiny images are halved less often.
            if pooled and (last or min(sides) >= 4):
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
            blocks.append(nn.Sequential(*layers))
            before = after
        super().__init__(blocks, before * sides[0] * sides[1], classes, coupled=norm == "batch")
