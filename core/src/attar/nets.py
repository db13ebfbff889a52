"""Networks for tensor data of any shape, shared by the modalities whose samples are tensors.

A modality registers the ones that suit its data under names of its own
(``attar_image`` offers :class:`ConvNet` over height and width, an audio modality
can offer the same class over bands and frames).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from attar import forward_only
from attar.errors import UsageError
from attar.pooling import AveragePool2d

__all__ = ["MLP", "ActivationName", "ConvNet", "Count", "Depth", "Linear", "NormName"]

NormName = Literal["instance", "batch", "layer", "group", "none"]
"""Normalization between convolution and activation."""
ActivationName = Literal["relu", "leaky_relu", "gelu", "sigmoid"]
Count = Annotated[int, Field(ge=1, le=10**7)]
Depth = Annotated[int, Field(ge=1, le=1000)]
"""How often something is repeated, such as a layer: each time takes time, whatever the width."""

_MOST_PADDED = 16
"""How many times as long as the data zeros may make an axis."""
_CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_AVERAGES: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 3: nn.AvgPool3d}
_MAXIMA: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_BATCH_NORMS: dict[int, type[nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(negative_slope=0.01),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}


def _without_bias(conv: Any, inputs: Tensor) -> Tensor:
    """Convolve where each channel's mean is taken away behind it, and with the mean the bias.

    The bias stays a parameter, as in the field's networks, and its gradient is the zero that it is but
    for rounding. To add it and to sum its gradient takes up to a third of a step of training in
    bfloat16, a tenth in float32.
    """
    # Without such a term whoever asks for the gradient is told that the bias is not used.
    nothing = (0 * conv.bias).view(-1, *[1] * (conv.weight.ndim - 1))
    convolve = _CONVOLVE[conv.weight.ndim - 2]
    return convolve(inputs, conv.weight + nothing, padding=conv.padding)


class _Conv1d(nn.Conv1d):
    def forward(self, inputs: Tensor) -> Tensor:
        return _without_bias(self, inputs)


class _Conv2d(nn.Conv2d):
    def forward(self, inputs: Tensor) -> Tensor:
        return _without_bias(self, inputs)


class _Conv3d(nn.Conv3d):
    def forward(self, inputs: Tensor) -> Tensor:
        return _without_bias(self, inputs)


_CONVOLVE: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
_BEFORE_MEANS: dict[int, type[nn.Module]] = {1: _Conv1d, 2: _Conv2d, 3: _Conv3d}


def _normalization(name: NormName, width: int, rank: int) -> nn.Module:
    """Return the normalization over `width` channels of data with `rank` spatial axes."""
    if name == "instance":
        # One group per channel: InstanceNorm with affine parameters, for any rank.
        return nn.GroupNorm(width, width)
    if name == "batch":
        return _BATCH_NORMS[rank](width)
    if name == "layer":
        return nn.GroupNorm(1, width)
    if name == "group":
        return nn.GroupNorm(math.gcd(4, width), width)
    return nn.Identity()


def _pooling(name: Literal["avg", "max"], sides: Sequence[int]) -> nn.Module:
    """Return what halves each of the `sides` of data."""
    rank = len(sides)
    if name == "max":
        return _MAXIMA[rank](kernel_size=2, stride=2)
    if rank == 2:
        return AveragePool2d(sides[1])
    return _AVERAGES[rank](kernel_size=2, stride=2)


class Linear(nn.Module):
    """Multinomial logistic regression on flattened samples of shape ``(n, *feature)``."""

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(math.prod(feature), classes)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the flattened inputs, ``(n, d)``."""
        return inputs.flatten(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class MLP(nn.Module):
    """Fully connected network on flattened samples.

    Args:
        feature: Shape of one sample, ``(*feature,)``.
        classes: Number of classes.
        width: Units per hidden layer.
        depth: Number of hidden layers.
        act: ``relu``, ``leaky_relu``, ``gelu`` or ``sigmoid``.
        norm: ``none``, or ``batch``, which makes the rows of a batch influence one another.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        width: Count = 128,
        depth: Depth = 2,
        act: ActivationName = "relu",
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        super().__init__()
        self.coupled = norm == "batch"
        widths = [math.prod(feature)] + [width] * depth
        between = [nn.BatchNorm1d(width)] if norm == "batch" else []
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), *copy.deepcopy(between), _ACTIVATIONS[act]())
            for before, after in pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the activations of each hidden layer, each ``(n, width)``."""
        maps = []
        hidden = inputs.flatten(1)
        for layer in self.layers:
            hidden = layer(hidden)
            maps.append(hidden)
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the last hidden layer, ``(n, width)``."""
        maps = self.feature_maps(inputs)
        return maps[-1] if maps else inputs.flatten(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class ConvNet(nn.Module):
    """The field's ConvNet: `depth` blocks of convolution, normalization, activation, pooling.

    Each block halves every spatial axis. Axes that are no multiple of ``2 ** depth`` are
    padded with zeros by the first convolution, so that 28 × 28 becomes 32 × 32 at depth 3,
    as in the field's reference networks.

    Args:
        feature: Shape of one sample, ``(channels, *spatial)`` with 1 to 3 spatial axes.
        classes: Number of classes.
        depth: Number of blocks.
        width: Channels of every block.
        norm: Normalization; ``batch`` makes the rows of a batch influence one another.
        act: ``relu``, ``leaky_relu``, ``gelu`` or ``sigmoid``.
        pool: ``avg``, ``max`` or ``none``.

    Raises:
        UsageError: If the samples have no spatial axis, or too few positions to halve.

    References:
        Gidaris and Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting",
        CVPR 2018; used by Zhao et al., "Dataset Condensation with Gradient Matching",
        ICLR 2021, section 4.1.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        depth: Depth = 3,
        width: Count = 128,
        norm: NormName = "instance",
        act: ActivationName = "relu",
        pool: Literal["avg", "max", "none"] = "avg",
    ) -> None:
        super().__init__()
        channels, *spatial = feature
        rank = len(spatial)
        if rank not in _CONVOLUTIONS:
            raise UsageError(
                f"a ConvNet needs samples of shape (channels, *spatial) with 1 to 3 spatial axes, "
                f"but these have shape {tuple(feature)}; choose the architecture 'mlp' instead"
            )
        factor = 2**depth if pool != "none" else 1
        if factor > _MOST_PADDED * max(spatial):
            raise UsageError(
                f"samples of shape {tuple(feature)} are too small for a ConvNet of depth {depth}; "
                f"lower the depth"
            )
        padded = [-(-side // factor) * factor for side in spatial]
        # Half of what is missing on either side: the first convolution's padding does it.
        extra = [math.ceil((after - before) / 2) for before, after in zip(spatial, padded, strict=True)]
        self.coupled = norm == "batch"
        convolution = (_BEFORE_MEANS if norm == "instance" else _CONVOLUTIONS)[rank]
        blocks = []
        sides = list(spatial)
        for index in range(depth):
            before = channels if index == 0 else width
            padding = [1 + (more if index == 0 else 0) for more in extra]
            sides = [side + 2 * (pad - 1) for side, pad in zip(sides, padding, strict=True)]
            block: list[nn.Module] = [
                convolution(before, width, kernel_size=3, padding=tuple(padding)),
                _normalization(norm, width, rank),
                _ACTIVATIONS[act](),
            ]
            if pool != "none":
                block.append(_pooling(pool, sides))
                sides = [side // 2 for side in sides]
            blocks.append(nn.Sequential(*block))
        if min(sides) < 1:
            raise UsageError(
                f"samples of shape {tuple(feature)} are too small for a ConvNet of depth {depth}; "
                f"lower the depth"
            )
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(width * math.prod(sides), classes)
        usual = (rank, norm, act, pool) == (2, "instance", "relu", "avg")
        # Where nobody asks for gradients, blocks of this kind have a faster way.
        self._width = width if usual else 0

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return each block's output, ``(n, width, *spatial / 2 ** block)``."""
        if forward_only.allowed(inputs, self._width):
            return forward_only.maps(list(self.blocks), inputs)
        maps = []
        hidden = inputs
        for block in self.blocks:
            hidden = block(hidden)
            maps.append(hidden)
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the flattened output of the last block, ``(n, d)``."""
        if forward_only.allowed(inputs, self._width):
            return forward_only.maps(list(self.blocks), inputs, last=True)[0].flatten(1)
        hidden = inputs
        for block in self.blocks:
            hidden = block(hidden)
        return torch.flatten(hidden, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits
