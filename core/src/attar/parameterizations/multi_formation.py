"""Multi-formation: each stored sample is a mosaic of several smaller ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from torch import Generator, Tensor, nn
from torch.nn import functional

from attar.errors import UsageError
from attar.settings import Settings, unknown

__all__ = ["MULTI_FORMATION", "MultiFormation", "MultiFormationSettings"]

_MODES: Mapping[int, str] = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _listed(value: Any) -> Any:
    """Return the parts of a text with commas, numbers as such; other values as they are."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    return [int(part) if part.lstrip("-").isdigit() else part for part in parts]


class MultiFormationSettings(Settings):
    """Settings of multi-formation.

    Attributes:
        factor: Pieces along each axis that is cut, at least 1.
        axes: Axes of a sample ``(channels, *positions)`` that are cut, by name or counted from 0,
            as in ``time`` or ``1,2``; by default all but the channels.

    References:
        Kim et al. cut images along both axes, and spectrograms along time alone.
    """

    factor: int = Field(default=2, ge=1)
    axes: Annotated[tuple[int | str, ...], BeforeValidator(_listed)] = ()

    def placed(self, axes: Sequence[str]) -> MultiFormationSettings:
        """Return the settings with places of axes, counted from 0, instead of names.

        Raises:
            UsageError: If a sample has no such axis.
        """
        odd = next((axis for axis in self.axes if isinstance(axis, str) and axis not in axes), None)
        if odd is not None:
            raise UsageError(unknown("axis in parameterization.axes", str(odd), axes))
        places = (axes.index(axis) if isinstance(axis, str) else axis for axis in self.axes)
        return self.model_copy(update={"axes": tuple(places)})


def _cuts(side: int, factor: int) -> list[tuple[int, int]]:
    """Return where each of `factor` pieces of an axis begins and ends, the first ones longest."""
    bounds = [-(-side * index // factor) for index in range(factor + 1)]
    return list(pairwise(bounds))


class MultiFormation(nn.Module):
    """Mosaics whose pieces are enlarged to whole samples.

    Args:
        values: Float32 mosaics ``(n, channels, *positions)``.
        factor: Pieces along each axis that is cut.
        axes: Axes of a sample that are cut.

    References:
        Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization",
        ICML 2022, section 4.1: the multi-formation function of bilinear upsampling.
    """

    def __init__(self, values: Tensor, factor: int, axes: Sequence[int]) -> None:
        super().__init__()
        self.values = nn.Parameter(values.detach().clone())
        self.factor, self.axes = factor, tuple(axes)

    @property
    def pieces(self) -> int:
        """Samples that a stored one decodes to."""
        return int(self.factor ** len(self.axes))

    def places(self) -> list[tuple[slice, ...]]:
        """Return where each piece lies in a mosaic ``(n, channels, *positions)``."""
        shape = self.values.shape[1:]
        found: list[tuple[slice, ...]] = [(slice(None), slice(None))]
        for axis in range(1, len(shape)):
            cuts = _cuts(shape[axis], self.factor) if axis in self.axes else [(0, shape[axis])]
            found = [(*place, slice(*cut)) for place in found for cut in cuts]
        return found

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return all pieces, enlarged, and the mosaic that each is of; a mosaic's pieces stay together."""
        positions = self.values.shape[2:]
        grown = [
            functional.interpolate(
                self.values[place], size=positions, mode=_MODES[len(positions)], align_corners=False
            )
            for place in self.places()
        ]
        values = torch.stack(grown, dim=1).flatten(0, 1)
        owner = torch.arange(len(self.values), device=values.device).repeat_interleave(self.pieces)
        return values, owner

    def keep(self, rows: Tensor) -> MultiFormation:
        """Return some of the mosaics."""
        return MultiFormation(self.values[rows], self.factor, self.axes)

    def stored(self) -> dict[str, Tensor]:
        """Return the mosaics."""
        return {"values": self.values}


def _axes(settings: MultiFormationSettings, feature: Sequence[int]) -> tuple[int, ...]:
    """Return the axes to cut.

    Raises:
        UsageError: If the samples have no positions, or not enough of them.
    """
    if not 2 <= len(feature) <= 4:
        raise UsageError(
            f"multi-formation cuts positions, and samples of shape {tuple(feature)} have none; "
            f"choose objective.parameterization=plain"
        )
    axes = settings.axes or tuple(range(1, len(feature)))
    odd = [axis for axis in axes if isinstance(axis, str) or not 1 <= axis < len(feature)]
    if odd:
        raise UsageError(
            f"axis {odd[0]} of samples of shape {tuple(feature)} cannot be cut; choose from 1 to "
            f"{len(feature) - 1} in parameterization.axes"
        )
    places = tuple(axis for axis in axes if isinstance(axis, int))
    short = min(feature[axis] for axis in places)
    if settings.factor > short:
        raise UsageError(
            f"an axis of {short} positions cannot be cut into {settings.factor}; "
            f"lower parameterization.factor"
        )
    return places


class MultiFormationPlugin:
    """Registers :class:`MultiFormation`."""

    api = 1
    summary = "each stored sample is a mosaic of factor × factor smaller ones"
    Settings = MultiFormationSettings

    def packs(self, settings: MultiFormationSettings, feature: Sequence[int]) -> int:
        """Return how many samples a stored one starts at."""
        return int(settings.factor ** len(_axes(settings, feature)))

    def initialize(self, values: Tensor, settings: MultiFormationSettings, gen: Generator) -> MultiFormation:
        """Return mosaics of `values`, ``(n · packs, channels, *positions)``, each reduced by averaging.

        Raises:
            UsageError: If the samples cannot be cut so.
        """
        feature = values.shape[1:]
        axes = _axes(settings, feature)
        pieces = settings.factor ** len(axes)
        made = MultiFormation(values[::pieces], settings.factor, axes)
        with torch.no_grad():
            for index, place in enumerate(made.places()):
                size = made.values[place].shape[2:]
                reduced = functional.interpolate(values[index::pieces], size=size, mode="area")
                made.values[place] = reduced
        return made

    def restore(self, settings: MultiFormationSettings, tensors: Mapping[str, Tensor]) -> MultiFormation:
        """Rebuild the mosaics from their stored values."""
        values = tensors["values"].to(torch.float32)
        return MultiFormation(values, settings.factor, _axes(settings, values.shape[1:]))


MULTI_FORMATION = MultiFormationPlugin()
