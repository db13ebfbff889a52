"""Networks for spectrograms ``(n, 1, positions, frames)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attar.architectures import Architecture, Family
from attar.errors import UsageError
from attar.infinite import InfiniteMLP
from attar.nets import MLP, ConvNet, Count, Depth, Linear, NormName
from torch import Tensor, nn

__all__ = ["ARCHITECTURES", "Recurrent", "TemporalConvNet"]


def _bands(feature: Sequence[int]) -> tuple[int, int]:
    """Return the channels of a spectrogram as a sequence, and its frames."""
    if len(feature) != 3:
        raise UsageError(f"samples of shape {tuple(feature)} are no spectrograms (1, positions, frames)")
    return feature[0] * feature[1], feature[2]


class TemporalConvNet(nn.Module):
    """The field's ConvNet over time alone: bands are the channels of the first convolution.

    Args:
        feature: Shape of one sample, ``(1, positions, frames)``.
        classes: Number of classes.
        depth: Number of blocks, each of which halves the time.
        width: Channels of every block.
        norm: Normalization; ``batch`` makes the rows of a batch influence one another.
    """

    def __init__(
        self,
        feature: Sequence[int],
        classes: int,
        *,
        depth: Depth = 3,
        width: Count = 128,
        norm: NormName = "instance",
    ) -> None:
        super().__init__()
        self.net = ConvNet(_bands(feature), classes, depth=depth, width=width, norm=norm)
        self.coupled = self.net.coupled

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the activations of each block, each ``(n, width, frames)``."""
        return self.net.feature_maps(inputs.flatten(1, -2))

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the flattened last activations, ``(n, d)``."""
        return self.net.embed(inputs.flatten(1, -2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.net(inputs.flatten(1, -2))
        return logits


class Recurrent(nn.Module):
    """A gated recurrent network over frames in both directions; its states are averaged over time.

    Args:
        feature: Shape of one sample, ``(1, positions, frames)``.
        classes: Number of classes.
        width: Units of each direction.
        depth: Number of layers.

    References:
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.
    """

    coupled = False

    def __init__(self, feature: Sequence[int], classes: int, *, width: Count = 64, depth: Depth = 1) -> None:
        super().__init__()
        bands, _ = _bands(feature)
        sizes = [bands, *[2 * width] * (depth - 1)]
        self.layers = nn.ModuleList(
            nn.GRU(size, width, batch_first=True, bidirectional=True) for size in sizes
        )
        self.head = nn.Linear(2 * width, classes)

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the states of each layer, each ``(n, 2 * width, frames)``."""
        maps = []
        hidden = inputs.flatten(1, -2).transpose(1, 2)
        for layer in self.layers:
            hidden, _ = layer(hidden)
            maps.append(hidden.transpose(1, 2))
        return maps

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the mean state of the last layer, ``(n, 2 * width)``."""
        return self.feature_maps(inputs)[-1].mean(2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


ARCHITECTURES: Mapping[str, Architecture | Family] = {
    "convnet": ConvNet,
    "temporal": TemporalConvNet,
    "gru": Recurrent,
    "mlp": MLP,
    "linear": Linear,
    "ntk": InfiniteMLP,
}
"""The architectures of the audio modality by name."""
