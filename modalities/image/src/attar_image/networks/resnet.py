"""ResNet-18 for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from attar.nets import Count
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ResNet18"]


def _norm(kind: Literal["instance", "batch"], width: int) -> nn.Module:
    return nn.GroupNorm(width, width) if kind == "instance" else nn.BatchNorm2d(width)


class _Block(nn.Module):
    """Two 3 × 3 convolutions with a shortcut."""

    def __init__(self, before: int, width: int, stride: int, norm: Literal["instance", "batch"]) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.first_norm = _norm(norm, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = _norm(norm, width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), _norm(norm, width)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.first_norm(self.first(inputs)))
        hidden = self.second_norm(self.second(hidden))
        return functional.relu(hidden + self.shortcut(inputs))


class ResNet18(nn.Module):
    """ResNet-18 for small images: a 3 × 3 first convolution without pooling.

    Args:
        feature: Shape of one sample, ``(channels, height, width)``.
        classes: Number of classes.
        width: Channels of the first stage; later ones have 2, 4 and 8 times as many.
        norm: ``batch``, or ``instance``, which keeps rows of a batch independent.

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2
        for the small-image stem.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        width: Count = 64,
        norm: Literal["instance", "batch"] = "batch",
    ) -> None:
        super().__init__()
        self.coupled = norm == "batch"
        self.stem = nn.Conv2d(feature[0], width, 3, padding=1, bias=False)
        self.stem_norm = _norm(norm, width)
        stages = []
        before = width
        side = min(feature[1:])
        for stage in range(4):
            after = width * 2**stage
            # Instance statistics need more than one position, so tiny images are not halved further.
            stride = 2 if stage > 0 and side > 2 else 1
            side = -(-side // stride)
            stages.append(nn.Sequential(_Block(before, after, stride, norm), _Block(after, after, 1, norm)))
            before = after
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(before, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return each stage's output, ``(n, channels, height, width)``."""
        hidden = functional.relu(self.stem_norm(self.stem(inputs)))
        maps = []
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the mean over positions of the last stage, ``(n, 8 · width)``."""
        return torch.mean(self.feature_maps(inputs)[-1], dim=(2, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits
