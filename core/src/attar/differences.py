"""Differences in accuracy with their intervals: what is left when chance is set aside."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from attar.rng import derive
from attar.settings import Record

__all__ = ["Difference", "differences", "packed", "resampled", "unpacked"]

_RESAMPLES = 2000
_AT_ONCE = 100


class Difference(Record):
    """How much more accurate one is than another, in percentage points.

    Attributes:
        mean: Difference of the mean accuracies.
        low: Lower end of the interval that holds it with 95 % confidence.
        high: Upper end.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


def packed(right: Tensor) -> str:
    """Return which samples were answered rightly, bool ``(n,)``, as a short text."""
    bits = np.packbits(right.numpy())
    return f"{len(right)}:{base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()}"


def unpacked(text: str) -> Tensor:
    """Return what :func:`packed` was given."""
    n, _, coded = text.partition(":")
    bits = np.frombuffer(zlib.decompress(base64.b64decode(coded)), dtype=np.uint8)
    return torch.from_numpy(np.unpackbits(bits, count=int(n)).astype(np.bool_))


def resampled(groups: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return the mean accuracy of each group under many resamples of samples and of runs.

    All groups are tested on the same resamples of the test data, which pairs them; the runs of
    each are drawn for itself.

    Args:
        groups: For each name, how often the runs answer rightly, 0 to 1, ``(runs, samples)``.
        seed: Seed of the resamples.

    Returns:
        For each name, accuracies in percent, float64 ``(resamples,)``.

    References:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 8.
    """
    if not groups:
        return {}
    rows = torch.cat([group.to(torch.float32) for group in groups.values()])
    samples = rows.shape[1]
    gen = derive(seed, "bootstrap", "samples")
    pieces = []
    for start in range(0, _RESAMPLES, _AT_ONCE):
        n = min(_AT_ONCE, _RESAMPLES - start)
        drawn = torch.randint(samples, (n, samples), generator=gen)
        counts = torch.zeros(n, samples).scatter_add_(1, drawn, torch.ones(n, samples))
        pieces.append(counts @ rows.T)
    means = torch.cat(pieces).to(torch.float64) * (100.0 / samples)
    found: dict[str, Tensor] = {}
    first = 0
    for name, group in groups.items():
        own = means[:, first : first + len(group)]
        chosen = torch.randint(len(group), own.shape, generator=derive(seed, "bootstrap", "runs", name))
        found[name] = own.gather(1, chosen).mean(1)
        first += len(group)
    return found


def differences(
    groups: Mapping[str, Tensor], ours: Sequence[str], others: Sequence[str], seed: int = 0
) -> dict[str, dict[str, Difference]]:
    """Return how much more accurate some groups are than others, by the paired bootstrap.

    Args:
        groups: As for :func:`resampled`.
        ours: Names of those that are compared.
        others: Names of those that they are compared with.
        seed: Seed of the resamples.

    Returns:
        For each of `ours`, its difference from each of `others` but itself.
    """
    means = resampled(groups, seed)

    def one(name: str, other: str) -> Difference:
        apart = means[name] - means[other]
        low, high = torch.quantile(apart, torch.tensor([0.025, 0.975], dtype=apart.dtype)).tolist()
        mean = 100.0 * float(groups[name].double().mean() - groups[other].double().mean())
        return Difference(mean=round(mean, 4), low=round(low, 4), high=round(high, 4))

    return {name: {other: one(name, other) for other in others if other != name} for name in ours}
