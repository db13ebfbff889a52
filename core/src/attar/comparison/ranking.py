"""DD-Ranking's figures."""

from __future__ import annotations

import math

from attar.comparison.results import Ranking

__all__ = ["ranking", "unit_score"]


def unit_score(value: float) -> float:
    """Return ``(e^x − e^−1) / (e − e^−1)``: −1 becomes 0, and 1 becomes 1."""
    low = math.exp(-1)
    return (math.exp(value) - low) / (math.e - low)


def ranking(
    *,
    own: float,
    random: float | None,
    hard: float | None,
    whole: float | None,
    bare: float | None = None,
    random_bare: float | None = None,
    weight: float = 0.5,
) -> Ranking:
    """Return the figures of :class:`attar.comparison.Ranking`.

    Args:
        own: Accuracy of the set with its own labels, in percent, as all of these.
        random: Of random real samples with labels of the same kind, or None.
        hard: Of the set with hard labels, or None.
        whole: Of the whole data, or None.
        bare: Of the set with the other use of augmentation, or None.
        random_bare: Of random real samples likewise, or None.
        weight: Weight of IOR in α, and of either use of augmentation in β.
    """
    ior = None if random is None else own - random
    hlr = None if hard is None or whole is None else whole - hard
    lrs = ars = None
    if ior is not None and hlr is not None:
        lrs = unit_score((weight * ior - (1 - weight) * hlr) / 100)
    if ior is not None and bare is not None and random_bare is not None:
        ars = unit_score((weight * ior + (1 - weight) * (bare - random_bare)) / 100)
    return Ranking(
        ior=None if ior is None else round(ior, 4),
        hlr=None if hlr is None else round(hlr, 4),
        lrs=None if lrs is None else round(lrs, 4),
        ars=None if ars is None else round(ars, 4),
    )
