"""Maximum mean discrepancy of embeddings: M3D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.objectives.distribution import embed
from attar.objectives.dm import DMSettings, dm_optimizers, dm_source
from attar.objectives.drawn import DrawsByClass
from attar.optim import OptimSpec
from attar.precision import full_precision

__all__ = ["M3D", "GaussianMMD", "M3DSettings", "squared_distances"]

_TINY = 1e-12


@full_precision
def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return ``‖one_i − other_j‖²`` for rows ``(n, d)`` and ``(m, d)``, ``(n, m)``.

    Rows should lie about the origin: far from it, rounding exceeds their distances.
    """
    apart = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return apart.clamp(min=0)


@dataclass(frozen=True)
class GaussianMMD(DrawsByClass):
    """Squared maximum mean discrepancy of the embeddings of each class, in a mixture of Gaussian kernels.

    ``Σ_c [ mean k(t, t') + mean k(s, s') − 2 mean k(t, s) ]`` over the embeddings `t` of the real and
    `s` of the synthetic samples of class c, with ``k(a, b) = mean_w exp(−‖a − b‖² / (w σ²))``, where
    σ² is the mean squared distance of all pairs of the class, real and synthetic. It is zero only
    where the distributions agree, not merely their means.

    Attributes:
        per_class: Real samples of each class.
        widths: The factors w of the kernels.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Zhang et al., "M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy", AAAI 2024,
        equation 5, on the estimate of Gretton et al., "A Kernel Two-Sample Test", JMLR 2012,
        equation 5.
    """

    per_class: int = 256
    widths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    chunk: int = 512

    needs = frozenset({"embed"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    def observe(
        self, subject: Subject, real: Batch | None, ctx: Context
    ) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        """Return, by class, the embeddings of the real data and their squared distances."""
        real = self.given(real)
        with torch.no_grad():
            embeddings = embed(subject.model, real, self.chunk)
            found = {}
            for label in sorted(set(real.labels.tolist())):
                rows = embeddings[real.labels == label]
                mean = rows.mean(0)
                found[label] = mean, rows - mean, squared_distances(rows - mean, rows - mean)
            return found

    def compare(
        self,
        subject: Subject,
        stats: Mapping[int, tuple[Tensor, Tensor, Tensor]],
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed discrepancy over the classes that the synthetic batch holds."""
        embeddings = embed(subject.model, syn, self.chunk)
        total = torch.zeros((), dtype=embeddings.dtype, device=embeddings.device)
        for label in sorted(set(syn.labels.tolist())):
            mean, real, among_real = stats[label]
            own = embeddings[syn.labels == label] - mean
            total = total + self._discrepancy(
                among_real, squared_distances(own, own), squared_distances(real, own)
            )
        return total

    def _discrepancy(self, among_real: Tensor, among_own: Tensor, between: Tensor) -> Tensor:
        parts = (among_real, among_own, between, between)
        pairs = sum(part.numel() for part in parts)
        # A constant: the discrepancy is to fall, not the scale that it is measured on to rise.
        spread = (torch.stack([part.detach().sum() for part in parts]).sum() / pairs).clamp(min=_TINY)

        def similar(part: Tensor) -> Tensor:
            return torch.stack([(-part / (width * spread)).exp().mean() for width in self.widths]).mean()

        return similar(among_real) + similar(among_own) - 2 * similar(between)


class M3DSettings(DMSettings):
    """Settings of M3D: those of DM. The published figures store samples as mosaics."""


class M3DMethod:
    """Registers M3D."""

    api = 1
    summary = "M3D: maximum mean discrepancy of embeddings in Gaussian kernels"
    reference = "Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, AAAI 2024"
    Settings = M3DSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True

    def build(self, settings: M3DSettings) -> Objective:
        """Return maximum mean discrepancy × fresh models."""
        return Objective(
            loss=GaussianMMD(per_class=settings.per_class),
            source=dm_source(settings),
            siamese=settings.augment,
        )

    def optimizers(self, settings: M3DSettings) -> Mapping[str, OptimSpec]:
        """Return SGD with momentum for the values."""
        return dm_optimizers(settings)


M3D = M3DMethod()
