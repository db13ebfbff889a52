"""Networks for rows of vectors of tokens ``(n, length, width)``.

A row that is zero throughout is no token: the mask is in the data, so that samples need nothing beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from attar.errors import UsageError
from attar.nets import Count, Depth
from torch import Tensor, nn

__all__ = ["RecurrentText", "TextCNN", "TextTransformer", "only_tokens", "token_mask"]

_FAR = -1e4
"""What stands for minus infinity where a maximum is taken or scores are compared."""


def token_mask(inputs: Tensor) -> Tensor:
    """Return which rows are tokens, bool ``(n, length)``; of a text without any, the first counts."""
    mask = (inputs != 0).any(-1)
    first = torch.zeros_like(mask)
    first[:, 0] = True
    return mask | (first & ~mask.any(1, keepdim=True))


def only_tokens(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and which are tokens; the others have no gradient, so that a text keeps its length."""
    mask = token_mask(inputs)
    return inputs.masked_fill(~mask[:, :, None], 0.0), mask


def _sizes(feature: Sequence[int]) -> tuple[int, int]:
    if len(feature) != 2:
        raise UsageError(
            f"samples of shape {tuple(feature)} are no rows of tokens (length, width); set data.mode=token"
        )
    return feature[0], feature[1]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.to(hidden)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _turned(inputs: Tensor, mask: Tensor) -> Tensor:
    """Return texts with their tokens in reverse order, still followed by what is behind their end."""
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    lengths = ((places + 1) * mask).amax(1, keepdim=True)
    source = torch.where(places < lengths, lengths - 1 - places, places)
    return inputs.gather(1, source[:, :, None].expand_as(inputs))


class TextCNN(nn.Module):
    """Convolutions over 3, 4 and 5 tokens, each filter's greatest answer.

    Args:
        feature: Shape of one sample, ``(length, width)``.
        classes: Number of classes.
        width: Filters of each length.

    References:
        Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014, section 2.
    """

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 64) -> None:
        super().__init__()
        _, size = _sizes(feature)
        # Padding lets texts be shorter than a filter.
        self.filters = nn.ModuleList(nn.Conv1d(size, width, k, padding=k // 2) for k in (3, 4, 5))
        self.head = nn.Linear(3 * width, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the greatest answers of the filters of each length, each ``(n, width)``."""
        inputs, tokens = only_tokens(inputs)
        mask, hidden = tokens[:, None], inputs.transpose(1, 2)
        maps = []
        for convolution in self.filters:
            answers = convolution(hidden)[:, :, : mask.shape[2]].relu()
            maps.append(answers.masked_fill(~mask, 0.0).amax(2))
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the greatest answers of all filters, ``(n, 3 * width)``."""
        return torch.cat(self.feature_maps(inputs), 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class RecurrentText(nn.Module):
    """A gated recurrent network in both directions; its states are averaged over the tokens.

    Args:
        feature: Shape of one sample, ``(length, width)``.
        classes: Number of classes.
        width: Units of each direction.
    """

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 64) -> None:
        super().__init__()
        size = _sizes(feature)[1]
        self.onward = nn.GRU(size, width, batch_first=True)
        self.back = nn.GRU(size, width, batch_first=True)
        self.head = nn.Linear(2 * width, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the states ``(n, 2 * width, length)``, zero behind the end of a text.

        Those of the way back stand in the order in which they came about.
        """
        inputs, mask = only_tokens(inputs)
        states = torch.cat([self.onward(inputs)[0], self.back(_turned(inputs, mask))[0]], 2)
        return [(states * mask[:, :, None]).transpose(1, 2)]

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the mean state, ``(n, 2 * width)``."""
        return _mean(self.feature_maps(inputs)[0].transpose(1, 2), token_mask(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class _Attention(nn.Module):
    """Self-attention and two layers, each added to what it was given normalized.

    Written out, since the fused kernels cannot be differentiated twice.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        n, length, width = hidden.shape
        query, key, value = (
            part.view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.asked(self.before(hidden)).chunk(3, -1)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        shares = scores.masked_fill(~mask[:, None, None], _FAR).softmax(-1)
        hidden = hidden + self.answer((shares @ value).transpose(1, 2).reshape(n, length, width))
        after: Tensor = hidden + self.layers(self.between(hidden))
        return after


class TextTransformer(nn.Module):
    """A small transformer with sines and cosines of the position; its states are averaged.

    Args:
        feature: Shape of one sample, ``(length, width)``.
        classes: Number of classes.
        width: Numbers of a state, a multiple of four.
        depth: Number of layers.

    Raises:
        UsageError: If the width is no multiple of four.

    References:
        Vaswani et al., "Attention Is All You Need", NeurIPS 2017, sections 3.2 and 3.5.
    """

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 64, depth: Depth = 2) -> None:
        super().__init__()
        length, size = _sizes(feature)
        if width % 4:
            raise UsageError(f"the width of a text transformer is a multiple of 4, not {width}")
        self.enter = nn.Linear(size, width)
        self.layers = nn.ModuleList(_Attention(width, 4) for _ in range(depth))
        self.head = nn.Linear(width, classes)
        places = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("places", torch.cat([places.sin(), places.cos()], 1), persistent=False)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the states after each layer, each ``(n, width, length)``, zero behind the end of a text."""
        inputs, mask = only_tokens(inputs)
        hidden = self.enter(inputs) + self.places
        maps = []
        for layer in self.layers:
            hidden = layer(hidden, mask)
            maps.append((hidden * mask[:, :, None]).transpose(1, 2))
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the mean state, ``(n, width)``."""
        return _mean(self.feature_maps(inputs)[-1].transpose(1, 2), token_mask(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits
