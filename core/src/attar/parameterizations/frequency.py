"""Frequencies: each sample is stored as its coefficients at the frequencies that matter most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from attar.errors import UsageError
from attar.settings import Settings

__all__ = ["FREQUENCY", "Frequency", "FrequencySettings", "cosine_matrix"]

_LONGEST = 4096
"""Positions of an axis, whose transform is a matrix of as many rows and columns."""


class FrequencySettings(Settings):
    """Settings of frequencies.

    Attributes:
        decodes: Samples that each stored one decodes to, each of which keeps that part of its
            coefficients; 1 keeps all, and adds what says which they are.
    """

    decodes: int = Field(default=4, ge=1)


def cosine_matrix(side: int) -> Tensor:
    """Return the orthonormal discrete cosine transform of type II, float64 ``(frequencies, positions)``."""
    position = torch.arange(side, dtype=torch.float64) + 0.5
    frequency = torch.arange(side, dtype=torch.float64)[:, None]
    matrix = torch.cos(math.pi / side * frequency * position) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix


def _place_type(size: int) -> torch.dtype:
    """Return the smallest type that tells `size` places apart."""
    return torch.uint8 if size <= 2**8 else torch.int16 if size <= 2**15 else torch.int32


def _transformed(feature: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that have positions: all but the channels, or the only one."""
    return tuple(range(1, len(feature))) or (0,)


def _along(values: Tensor, axis: int, matrix: Tensor) -> Tensor:
    return (values.movedim(axis, -1) @ matrix.T.to(values)).movedim(-1, axis)


class Frequency(nn.Module):
    """Samples as inverse cosine transforms of some of their coefficients, the others zero.

    Args:
        coefficients: Float32 ``(m, k)``.
        kept: Which entries of a flattened sample of coefficients they are, int64 ``(k,)``.
        feature: Shape of one sample.
        decodes: Samples that each stored one decodes to; those of one follow one another.

    References:
        Shin et al., "Frequency Domain-based Dataset Distillation", NeurIPS 2023, equations 5 to 7.
    """

    kept: Tensor

    def __init__(self, coefficients: Tensor, kept: Tensor, feature: Sequence[int], decodes: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(coefficients.detach().clone())
        self.register_buffer("kept", kept.to(torch.int64))
        self.feature, self.decodes = tuple(feature), decodes
        self._axes = _transformed(self.feature)
        for axis in self._axes:
            self.register_buffer(f"matrix{axis}", cosine_matrix(self.feature[axis]).float(), persistent=False)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return all samples, and the stored sample that each is of."""
        m = len(self.coefficients)
        flat = self.coefficients.new_zeros(m, math.prod(self.feature))
        values = flat.index_copy(1, self.kept, self.coefficients).view(m, *self.feature)
        for axis in self._axes:
            values = _along(values, axis + 1, self.get_buffer(f"matrix{axis}").T)
        owner = torch.arange(m, device=values.device) // self.decodes
        return values, owner

    def keep(self, rows: Tensor) -> Frequency:
        """Return some of the stored samples, at the same frequencies."""
        own = self.coefficients.view(-1, self.decodes, len(self.kept))[rows]
        return Frequency(own.flatten(0, 1), self.kept, self.feature, self.decodes)

    def stored(self) -> dict[str, Tensor]:
        """Return the coefficients, which of them they are, and the shape of a sample."""
        return {
            "coefficients": self.coefficients,
            "kept": self.kept.to(_place_type(math.prod(self.feature))),
            "feature": torch.tensor(self.feature, dtype=torch.int32),
        }


class FrequencyPlugin:
    """Registers :class:`Frequency`."""

    api = 1
    summary = "each sample is stored as its cosine coefficients at the frequencies that vary most"
    Settings = FrequencySettings

    def packs(self, settings: FrequencySettings, feature: tuple[int, ...]) -> int:
        """Return how many samples a stored one starts at.

        Raises:
            UsageError: If a sample has fewer values than it is to be divided into, or too long an axis.
        """
        longest = max(feature[axis] for axis in _transformed(feature))
        if longest > _LONGEST:
            raise UsageError(
                f"an axis of {longest} positions is too long for frequencies (most: {_LONGEST}); choose "
                f"objective.parameterization=bases"
            )
        if settings.decodes > math.prod(feature):
            raise UsageError(
                f"samples of shape {tuple(feature)} have fewer values than {settings.decodes}; lower "
                f"parameterization.decodes"
            )
        return settings.decodes

    def initialize(self, values: Tensor, settings: FrequencySettings, gen: Generator) -> Frequency:
        """Return the coefficients of `values`, ``(n · decodes, *feature)``, at those that vary most.

        The energy kept, ``Σ_i c_ij²`` of coefficient j over the samples that it starts at, ranks
        them; a sample keeps as many as make its share of a plain one, less what says which they are.
        """
        feature = tuple(values.shape[1:])
        size = math.prod(feature)
        transformed = values.double()
        for axis in _transformed(feature):
            transformed = _along(transformed, axis + 1, cosine_matrix(feature[axis]))
        rows = transformed.flatten(1)
        keep = self._kept(len(rows), settings.decodes, size, len(feature))
        kept = rows.pow(2).sum(0).argsort(descending=True, stable=True)[:keep].sort().values
        return Frequency(rows[:, kept].to(values.dtype), kept, feature, settings.decodes)

    @staticmethod
    def _kept(m: int, decodes: int, size: int, axes: int) -> int:
        """Return how many coefficients of a sample make all, with their places, as small as plain ones."""
        if decodes == 1:
            return size
        # In values of two bytes, which are the smallest that are stored: the shape takes two for each
        # axis, a place as many as its type.
        place = _place_type(size).itemsize / 2
        return max(1, int((m // decodes * size - 2 * axes) / (m + place)))

    def restore(self, settings: FrequencySettings, tensors: Mapping[str, Tensor]) -> Frequency:
        """Rebuild the samples from their coefficients.

        Raises:
            UsageError: If places, coefficients and shape do not fit together.
        """
        feature = tuple(tensors["feature"].flatten().tolist())
        kept, coefficients = tensors["kept"].to(torch.int64), tensors["coefficients"].to(torch.float32)
        places, size, decodes = kept.flatten().tolist(), math.prod(feature), settings.decodes
        fits = (
            bool(feature)
            and min(feature) >= 1
            and max(feature[axis] for axis in _transformed(feature)) <= _LONGEST
            and len(set(places)) == len(places) > 0
            and 0 <= min(places) <= max(places) < size
            and coefficients.ndim == 2
            and coefficients.shape[1] == len(places)
            and len(coefficients) % decodes == 0
            # Stored shares of samples bound the samples that are allocated for them.
            and decodes <= size <= 2 * len(places) * decodes + 8 * len(feature)
        )
        if not fits:
            raise UsageError(
                f"the places of the coefficients do not fit samples of shape {feature}; the set is damaged"
            )
        return Frequency(coefficients, kept, feature, decodes)


FREQUENCY = FrequencyPlugin()
