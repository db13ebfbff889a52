"""Losses of ridge regression on a synthetic set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.architectures import capability
from attar.batch import Batch
from attar.contracts import Context, Subject
from attar.devices import has_float64
from attar.errors import DivergenceError, InternalError
from attar.labels import centered
from attar.objectives.distribution import embed
from attar.objectives.drawn import DrawsByClass
from attar.precision import full_precision

__all__ = [
    "Error",
    "FeatureKernel",
    "Kernel",
    "ModelKernel",
    "RidgeRegression",
    "platt",
    "ridge_predict",
    "squared_error",
]

_TRIES = 5


def ridge_predict(k_ts: Tensor, k_ss: Tensor, y_s: Tensor, ridge: float) -> Tensor:
    """Return ``K_ts (K_ss + λ tr(K_ss)/n · I)⁻¹ y_s``, ``(m, classes)``.

    Solved by Cholesky's factors in float64, since the condition of the matrix reaches ``n / λ``;
    on the CPU where the device has no float64. Where rounding in the kernel makes the matrix
    indefinite, the ridge is raised tenfold, up to four times.

    Args:
        k_ts: Kernel between other samples and the set, ``(m, n)``.
        k_ss: Kernel of the set, ``(n, n)``.
        y_s: Targets of the set, ``(n, classes)``.
        ridge: λ, at least 0, in units of the mean of the kernel's diagonal.

    Raises:
        DivergenceError: If the kernel has no factors even so.

    References:
        Nguyen et al., "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021, equation 1.
    """
    home, dtype = k_ss.device, y_s.dtype
    place = home if has_float64(home) else torch.device("cpu")
    matrix, right = (each.to(place, torch.float64) for each in (k_ss, y_s))
    n = len(matrix)
    mean = matrix.diagonal().mean()
    eye = torch.eye(n, dtype=torch.float64, device=place)
    for attempt in range(_TRIES):
        factor, info = torch.linalg.cholesky_ex(matrix + ridge * 10**attempt * mean * eye)
        if int(info) == 0:
            weights = torch.cholesky_solve(right, factor)
            return (k_ts.to(place, torch.float64) @ weights).to(home, dtype)
    raise DivergenceError(
        f"the kernel of {n} synthetic samples is not positive definite; raise objective.ridge "
        f"(now: {ridge:g})"
    )


class Kernel(Protocol):
    """How similar samples are."""

    @property
    def needs(self) -> frozenset[str]:
        """Model methods that are called."""

    def prepare(self, model: nn.Module, batch: Batch) -> Tensor | Batch:
        """Return what of a batch is needed to compare it with others."""

    def compare(self, model: nn.Module, one: Tensor | Batch, other: Tensor | Batch) -> Tensor:
        """Return the similarities of two prepared batches, ``(n, m)``."""


@dataclass(frozen=True)
class FeatureKernel:
    """``K(a, b) = φ(a) φ(b)ᵀ / d`` with the embedding φ of the model.

    Attributes:
        chunk: Most rows that go through an uncoupled model at a time.
    """

    chunk: int = 512
    needs = frozenset({"embed"})

    def prepare(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the embeddings, ``(n, d)``."""
        return embed(model, batch, self.chunk)

    def compare(self, model: nn.Module, one: Tensor | Batch, other: Tensor | Batch) -> Tensor:
        """Return the scaled inner products."""
        if isinstance(one, Batch) or isinstance(other, Batch):
            raise InternalError("a feature kernel compares embeddings")
        return _products(one, other) / one.shape[1]


@dataclass(frozen=True)
class ModelKernel:
    """The kernel that a model without parameters computes itself, as an infinitely wide network."""

    needs = frozenset({"kernel"})

    def prepare(self, model: nn.Module, batch: Batch) -> Batch:
        """Return the batch."""
        return batch

    def compare(self, model: nn.Module, one: Tensor | Batch, other: Tensor | Batch) -> Tensor:
        """Return the model's kernel."""
        if isinstance(one, Tensor) or isinstance(other, Tensor):
            raise InternalError("a model's kernel compares batches")
        kernel: Callable[[Tensor, Tensor], Tensor] = full_precision(capability(model, "kernel"))
        return kernel(one.inputs, other.inputs)


@full_precision
def _products(one: Tensor, other: Tensor) -> Tensor:
    return one @ other.T


Error: TypeAlias = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
"""Called with predictions ``(m, classes)``, labels ``(m,)`` and what is learned; returns a scalar."""


def squared_error(predicted: Tensor, labels: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """Return ``mean ½ ‖ŷ − y‖²`` with centered one-hot labels `y`."""
    target = centered(labels, predicted.shape[1], predicted.dtype)
    return 0.5 * ((predicted - target) ** 2).sum(1).mean()


def platt(predicted: Tensor, labels: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """Return the cross-entropy of ``softmax(ŷ / τ)`` with the learned temperature ``τ = exp(log_tau)``.

    References:
        Loo et al., "Efficient Dataset Distillation using Random Feature Approximation",
        NeurIPS 2022, section 3.2.
    """
    return functional.cross_entropy(predicted * torch.exp(-learned["log_tau"]), labels)


@dataclass(frozen=True)
class RidgeRegression(DrawsByClass):
    """Error on real samples of ridge regression on the synthetic set.

    ``ŷ_t = K_ts (K_ss + λ tr(K_ss)/n · I)⁻¹ y_s``, where ``y_s`` are the set's targets if it has
    any, else its centered one-hot labels.

    Attributes:
        kernel: How similar samples are.
        error: Error of the predictions.
        per_class: Real samples of each class.
        ridge: λ.
        margin: Weight of a term that keeps the largest target of each synthetic sample ahead of
            the second: ``−mean min(y₍₁₎ − y₍₂₎, 1 / classes)``.

    References:
        Nguyen et al., ICLR 2021, equation 2; Zhou et al., "Dataset Distillation using Neural
        Feature Regression", NeurIPS 2022, equation 4, whose code has the margin.
    """

    kernel: Kernel
    error: Error = squared_error
    per_class: int = 100
    ridge: float = 1e-6
    margin: float = 0.0

    claims = frozenset({"order_free"})

    @property
    def needs(self) -> frozenset[str]:
        """What the kernel needs."""
        return self.kernel.needs

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> tuple[Tensor | Batch, Tensor]:
        """Return what the kernel needs of the real samples, and their labels."""
        real = self.given(real)
        with torch.no_grad():
            return self.kernel.prepare(subject.model, real), real.labels

    def compare(
        self,
        subject: Subject,
        stats: tuple[Tensor | Batch, Tensor],
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the error on the real samples."""
        seen, labels = stats
        model = subject.model
        own = self.kernel.prepare(model, syn)
        k_ss, k_ts = (self.kernel.compare(model, each, own) for each in (own, seen))
        targets = syn.targets
        if targets is None:
            targets = centered(syn.labels, len(ctx.task.classes), k_ss.dtype)
        loss = self.error(ridge_predict(k_ts, k_ss, targets, self.ridge), labels, learned)
        if self.margin and syn.targets is not None and targets.shape[1] > 1:
            first, second = targets.topk(2, dim=1).values.unbind(1)
            loss = loss - self.margin * (first - second).clamp(max=1 / targets.shape[1]).mean()
        return loss
