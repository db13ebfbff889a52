"""Bases and coefficients: each sample is a weighted sum of a few that all share."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from attar.errors import UsageError
from attar.settings import Settings

__all__ = ["BASES", "Bases", "BasesSettings", "base_count"]


class BasesSettings(Settings):
    """Settings of bases and coefficients.

    Attributes:
        decodes: Samples that each stored one decodes to.
        count: Number of bases; 0 takes as many as fit, with all coefficients, into the bytes of as
            many plain samples as are stored, but one at least.
    """

    decodes: int = Field(default=8, ge=1)
    count: int = Field(default=0, ge=0)


def base_count(stored: int, decodes: int, size: int) -> int:
    """Return how many bases take, with the coefficients of all samples, no more than plain samples.

    The largest K with ``K · size + stored · decodes · K ≤ stored · size``, at least 1.

    Args:
        stored: Plain samples.
        decodes: Samples that each of them decodes to.
        size: Values of one sample.
    """
    return max(1, stored * size // (size + stored * decodes))


class Bases(nn.Module):
    """Samples ``Σ_k c_ik B_k`` of bases that samples of all classes share.

    Args:
        bases: Float32 ``(k, *feature)``.
        coefficients: Float32 ``(m, k)``.
        decodes: Samples that each stored one decodes to; those of one follow one another.

    References:
        Deng and Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories for
        Neural Networks", NeurIPS 2022, equation 3: bases are its memories, and the coefficients of a
        class its rows of the addressing matrices.
    """

    def __init__(self, bases: Tensor, coefficients: Tensor, decodes: int) -> None:
        super().__init__()
        self.bases = nn.Parameter(bases.detach().clone())
        self.coefficients = nn.Parameter(coefficients.detach().clone())
        self.decodes = decodes

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return all samples, and the stored sample that each is of."""
        values = (self.coefficients @ self.bases.flatten(1)).view(-1, *self.bases.shape[1:])
        owner = torch.arange(len(values), device=values.device) // self.decodes
        return values, owner

    def keep(self, rows: Tensor) -> Bases:
        """Return some of the stored samples, with all bases."""
        own = self.coefficients.view(-1, self.decodes, len(self.bases))[rows]
        return Bases(self.bases, own.flatten(0, 1), self.decodes)

    def stored(self) -> dict[str, Tensor]:
        """Return bases and coefficients."""
        return {"bases": self.bases, "coefficients": self.coefficients}


class BasesPlugin:
    """Registers :class:`Bases`."""

    api = 1
    summary = "each sample is a weighted sum of bases that all classes share"
    Settings = BasesSettings

    def packs(self, settings: BasesSettings, feature: tuple[int, ...]) -> int:
        """Return how many samples a stored one starts at."""
        return settings.decodes

    def initialize(self, values: Tensor, settings: BasesSettings, gen: Generator) -> Bases:
        """Return the bases and coefficients that come closest to `values`, ``(n · decodes, *feature)``.

        They are the leading singular vectors, scaled so that bases have the spread of samples.

        Raises:
            UsageError: If more bases are asked for than samples are decoded.
        """
        rows = values.flatten(1)
        m, size = rows.shape
        stored = m // settings.decodes
        count = settings.count or min(base_count(stored, settings.decodes, size), m)
        if count > m:
            raise UsageError(
                f"{count} bases for {m} samples are more than there are samples; lower "
                f"parameterization.count or raise parameterization.decodes"
            )
        left, weights, right = torch.linalg.svd(rows.double(), full_matrices=False)
        rank = min(count, len(weights))
        spread = float(rows.double().pow(2).mean().sqrt()) or 1.0
        scale = spread * math.sqrt(size)
        bases, coefficients = rows.new_zeros(count, size), rows.new_zeros(m, count)
        bases[:rank] = (right[:rank] * scale).to(rows.dtype)
        coefficients[:, :rank] = (left[:, :rank] * weights[:rank] / scale).to(rows.dtype)
        if rank < count:
            # More bases than a sample has values: the others start at random, used by none.
            bases[rank:] = spread * torch.randn(count - rank, size, generator=gen)
        return Bases(bases.view(count, *values.shape[1:]), coefficients, settings.decodes)

    def restore(self, settings: BasesSettings, tensors: Mapping[str, Tensor]) -> Bases:
        """Rebuild the samples from bases and coefficients.

        Raises:
            UsageError: If there are not as many coefficients as bases.
        """
        bases, coefficients = (tensors[name].to(torch.float32) for name in ("bases", "coefficients"))
        fits = coefficients.ndim == 2 and coefficients.shape[1] == len(bases)
        if not fits or len(coefficients) % settings.decodes:
            raise UsageError(f"{len(bases)} bases do not fit the coefficients; the set is damaged")
        return Bases(bases, coefficients, settings.decodes)


BASES = BasesPlugin()
