"""What a ConvNet answers where nobody asks for gradients, in float32 on a CPU, at less cost.

Distribution matching, evaluation and the choice of samples run networks over real data without ever
going back through them. Three things make that cheap, beside the plain path of :mod:`attar.nets`:

- few images at a time, all the way through, so that what is between layers stays in the processor's cache;
- channels last, where convolutions are products of matrices and statistics are products with ones, and
  where everything that follows a convolution is done in place;
- convolutions by F(4 × 4, 3 × 3), which multiplies 36 times for 16 outputs instead of 144 times.

The numbers are those of the plain path but for rounding: within 1e-5 of the size of the largest, where
the plain path itself is off by up to 1e-6.

References:
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["allowed", "maps"]

_POSITIONS = 8 * 32 * 32
"""Positions of the images that go through together: with 128 channels, 4 MB between layers."""

_TILE, _WINDOW = 4, 6
"""Sides of a tile of outputs, and of the inputs that it is made of."""
_FEW_TAPS = 64
"""Inputs of an output up to which a convolution is one product of matrices: first layers."""
_MANY_CHANNELS = 64
"""Channels of every block from which all this pays; narrower networks are faster as they are."""


def _both(rows: Sequence[Sequence[float]]) -> Tensor:
    """Return what a transform of one axis is for two axes at once."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


# F(4, 3) with the points 0, 1, -1, 2, -2 and infinity.
_INPUT = _both(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_WEIGHT = _both(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUTPUT = _both([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

_Convolution = Callable[[Tensor], Tensor]
"""From padded inputs ``(n, h + 2, w + 2, c)`` to outputs ``(n, h, w, k)``."""


def allowed(inputs: Tensor, width: int) -> bool:
    """Return whether nobody asks for gradients, images are in float32 on a CPU, and a network is wide."""
    suited = inputs.device.type == "cpu" and inputs.dtype == torch.float32 and inputs.ndim == 4
    asked = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    return suited and not asked and width >= _MANY_CHANNELS and len(inputs) > 0


def maps(blocks: Sequence[Any], inputs: Tensor, *, last: bool = False) -> list[Tensor]:
    """Return the output of each block of a ConvNet, ``(n, k, h, w)``.

    Args:
        blocks: Of each a convolution of 3 × 3, a normalization of each channel by itself, a
            rectifier, and an average over squares of 2 × 2.
        inputs: Images, float32 ``(n, c, h, w)``; see :func:`allowed`.
        last: Whether only that of the last block is wanted.
    """
    sides = [int(side) for side in inputs.shape[2:]]
    steps: list[tuple[Any, _Convolution]] = []
    for block in blocks:
        conv = block[0]
        sides = [side + 2 * pad - 2 for side, pad in zip(sides, conv.padding, strict=True)]
        steps.append((block, _convolution(conv.weight, sides)))
        sides = [side // 2 for side in sides]
    size = max(1, _POSITIONS // (inputs.shape[2] * inputs.shape[3]))
    found = [_through(steps, piece, last) for piece in inputs.split(size)]
    return [torch.cat(column) for column in zip(*found, strict=True)]


def _through(steps: Sequence[tuple[Any, _Convolution]], inputs: Tensor, last: bool) -> list[Tensor]:
    found = []
    hidden = inputs.permute(0, 2, 3, 1)
    for place, (block, convolution) in enumerate(steps):
        high, wide = block[0].padding
        hidden = convolution(functional.pad(hidden, (0, 0, wide, wide, high, high)))
        hidden = _normalized(hidden, block[1]).relu_()
        pooled = functional.avg_pool2d(hidden.permute(0, 3, 1, 2), 2)
        if not last or place == len(steps) - 1:
            found.append(pooled.contiguous())
        hidden = pooled.permute(0, 2, 3, 1)
    return found


def _normalized(hidden: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Normalize ``(n, h, w, k)`` in place, each channel of each image by itself.

    The bias of the convolution before, which is a part of the mean, is left out there.
    """
    flat = hidden.flatten(1, 2)
    ones = flat.new_full((len(flat), 1, flat.shape[1]), 1 / flat.shape[1])
    flat.sub_(ones @ flat)
    scale = (ones @ (flat * flat) + norm.eps).rsqrt_().mul_(norm.weight)
    torch.addcmul(norm.bias, flat, scale, out=flat)
    return hidden


def _convolution(weight: Tensor, sides: Sequence[int]) -> _Convolution:
    """Return the convolution by a weight ``(k, c, 3, 3)`` that is cheapest for outputs of these sides."""
    outputs, inputs = weight.shape[:2]
    if 9 * inputs <= _FEW_TAPS:
        return partial(_product, weight.permute(1, 2, 3, 0).reshape(9 * inputs, outputs))
    if all(side % _TILE == 0 for side in sides):
        taps = _WEIGHT @ weight.permute(2, 3, 1, 0).reshape(9, inputs * outputs)
        return partial(_tiled, taps.view(_WINDOW**2, inputs, outputs))
    return partial(_direct, weight.contiguous(memory_format=torch.channels_last))


def _windows(padded: Tensor, side: int, step: int) -> Tensor:
    """Return the windows of ``(n, h, w, c)`` as a view ``(n, rows, columns, c, side, side)``."""
    return padded.unfold(1, side, step).unfold(2, side, step)


def _product(taps: Tensor, padded: Tensor) -> Tensor:
    windows = _windows(padded, 3, 1)
    return (windows.reshape(-1, len(taps)) @ taps).view(*windows.shape[:3], -1)


def _direct(weight: Tensor, padded: Tensor) -> Tensor:
    found = functional.conv2d(padded.permute(0, 3, 1, 2), weight)
    return found.permute(0, 2, 3, 1).contiguous()


def _tiled(taps: Tensor, padded: Tensor) -> Tensor:
    """Convolve by tiles: equation 13 of the paper, each of its products for all tiles at once."""
    windows = _windows(padded, _WINDOW, _TILE)
    n, rows, columns, channels = windows.shape[:4]
    # A row for each place in a window, so that transforms are products, too.
    places = windows.permute(4, 5, 0, 1, 2, 3).reshape(_WINDOW**2, -1)
    moved = (_INPUT @ places).view(_WINDOW**2, -1, channels)
    tiles = _OUTPUT @ (moved @ taps).view(_WINDOW**2, -1)
    tiles = tiles.view(_TILE, _TILE, n, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
    return tiles.reshape(n, _TILE * rows, _TILE * columns, -1)
