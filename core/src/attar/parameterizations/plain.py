"""The plain parameterization: one stored sample is one sample."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from attar.settings import Settings as NoSettings

__all__ = ["PLAIN", "Plain"]


class Plain(nn.Module):
    """Samples stored as they are.

    Args:
        values: Float32 ``(n, *feature)``.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values.detach().clone())

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the values and their own indices."""
        return self.values, torch.arange(len(self.values), device=self.values.device)

    def keep(self, rows: Tensor) -> Plain:
        """Return some of the samples."""
        return type(self)(self.values[rows])

    def stored(self) -> dict[str, Tensor]:
        """Return the values."""
        return {"values": self.values}


class PlainPlugin:
    """Registers :class:`Plain`."""

    api = 1
    summary = "one stored sample is one sample"
    Settings = NoSettings
    claims = frozenset({"lossless"})

    def packs(self, settings: NoSettings, feature: tuple[int, ...]) -> int:
        """Return 1: a stored sample starts at one."""
        return 1

    def initialize(self, values: Tensor, settings: NoSettings, gen: Generator) -> Plain:
        """Return the parameterization that starts at `values`, ``(n, *feature)``."""
        return Plain(values)

    def restore(self, settings: NoSettings, tensors: Mapping[str, Tensor]) -> Plain:
        """Rebuild the parameterization from its stored values."""
        return Plain(tensors["values"].to(torch.float32))


PLAIN = PlainPlugin()
