"""Sliced Wasserstein distance between the embeddings of real and synthetic samples, for Attar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.objectives import DMSettings, DrawsByClass, Fresh, embed
from attar.optim import OptimSpec
from attar.precision import full_precision
from pydantic import Field
from torch import Tensor

__all__ = ["WASSERSTEIN", "SlicedWasserstein", "WassersteinSettings", "transport"]


def transport(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean squared 2-Wasserstein distance between the columns of two matrices.

    On a line the best transport matches quantiles: ``∫ (F⁻¹(u) − G⁻¹(u))² du``, where the quantiles of
    `n` numbers are steps of height ``1 / n``.

    Args:
        one: Numbers ``(n, directions)``.
        other: Numbers ``(m, directions)``.
    """
    n, m = len(one), len(other)
    ends = torch.cat([torch.arange(1, n + 1).double() / n, torch.arange(1, m + 1).double() / m]).sort().values
    widths = ends.diff(prepend=ends.new_zeros(1))
    # The quantile of each piece is that at its middle; pieces of no width count nothing.
    middles = (ends - widths / 2).clamp(max=1 - 1e-12)
    rows, others = (middles * n).long().to(one.device), (middles * m).long().to(one.device)
    apart = (one.sort(0).values[rows] - other.sort(0).values[others]) ** 2
    return (widths.to(apart)[:, None] * apart).sum(0).mean()


@full_precision
def _along(seen: Tensor, ways: Tensor) -> Tensor:
    return seen @ ways


@dataclass(frozen=True)
class SlicedWasserstein(DrawsByClass):
    """``Σ_c mean_θ W₂²(⟨θ, ψ(T_c)⟩, ⟨θ, ψ(S_c)⟩) · d`` over random directions θ of the unit sphere.

    Attributes:
        per_class: Real samples of each class.
        directions: Number of directions.

    References:
        Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 2015, equation 10.
    """

    per_class: int = 256
    directions: int = 128

    needs = frozenset({"embed"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the directions ``(d, directions)``, and what the real data of each class are along them."""
        real = self.given(real)
        with torch.no_grad():
            seen = embed(subject.model, real, 512)
            draws = torch.randn(seen.shape[1], self.directions, generator=ctx.gen("slices", subject.version))
            # By √d longer than unit vectors: a difference of means counts as it does for DM.
            ways = (draws / draws.norm(dim=0) * seen.shape[1] ** 0.5).to(seen)
            return ways, {
                each: _along(seen[real.labels == each], ways) for each in real.labels.unique().tolist()
            }

    def compare(
        self,
        subject: Subject,
        stats: tuple[Tensor, Mapping[int, Tensor]],
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the distance, summed over the classes that the synthetic batch holds."""
        ways, wanted = stats
        seen = _along(embed(subject.model, syn, 512), ways)
        present = syn.labels.unique().tolist()
        return torch.stack([transport(wanted[label], seen[syn.labels == label]) for label in present]).sum()


class WassersteinSettings(DMSettings):
    """Settings: those of DM, and how many directions are looked along.

    Attributes:
        directions: Random directions per model.
    """

    directions: int = Field(default=128, ge=1)


class WassersteinMethod:
    """Registers the method."""

    api = 1
    summary = "sliced Wasserstein distance of embeddings by fresh random models"
    reference = "Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, JMIV 2015"
    Settings = WassersteinSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)

    def build(self, settings: WassersteinSettings) -> Objective:
        """Return the loss × fresh models."""
        loss = SlicedWasserstein(per_class=settings.per_class, directions=settings.directions)
        return Objective(loss, Fresh(model=settings.model, reuse=settings.reuse), siamese=settings.augment)

    def optimizers(self, settings: WassersteinSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return {"values": OptimSpec(lr=settings.lr, momentum=settings.momentum, final=settings.final)}


WASSERSTEIN = WassersteinMethod()
