"""Networks for vectors of texts, and all architectures of the modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attar.architectures import Architecture, Family
from attar.infinite import InfiniteMLP
from attar.nets import MLP, Count, Depth, Linear
from attar.solved import Ridge
from torch import Tensor, nn

from attar_text.sequences import RecurrentText, TextCNN, TextTransformer

__all__ = ["ARCHITECTURES", "ResidualMLP"]


class ResidualMLP(nn.Module):
    """Blocks that add what two layers make of a normalized vector to it.

    Args:
        feature: Shape of one sample, ``(d,)``.
        classes: Number of classes.
        width: Numbers of the hidden vector.
        depth: Number of blocks.

    References:
        He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, equation 2.
    """

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 128, depth: Depth = 2) -> None:
        super().__init__()
        size = 1
        for side in feature:
            size *= side
        self.enter = nn.Linear(size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the vector after each block, each ``(n, width)``."""
        maps = []
        hidden = self.enter(inputs.flatten(1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
            maps.append(hidden)
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the last vector, ``(n, width)``."""
        return self.feature_maps(inputs)[-1]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


ARCHITECTURES: Mapping[str, Architecture | Family] = {
    "linear": Linear,
    "mlp": MLP,
    "residual": ResidualMLP,
    "ridge": Ridge,
    "textcnn": TextCNN,
    "gru": RecurrentText,
    "transformer": TextTransformer,
    "ntk": InfiniteMLP,
}
"""The architectures of texts by name; some are for rows of tokens."""
