"""A small generated graph for demonstrations: papers that cite each other, mostly within their field."""

from __future__ import annotations

import torch
from attar.rng import derive

from attar_graph.raw import RawGraph

__all__ = ["papers"]

_FIELDS = ("biology", "chemistry", "economics", "physics", "sociology")
_EACH, _WORDS, _OWN = 200, 100, 12
_CITED, _WITHIN = 3, 0.8
_USUAL, _TYPICAL = 0.04, 0.12


def papers() -> RawGraph:
    """Return 1,000 papers of five fields as counts of words, each citing three others.

    Four of five citations stay within a field, and each field uses twelve words three times as often
    as others do: neither words nor citations alone tell it. The same draws each time.
    """
    gen = derive(0, "papers")
    n = _EACH * len(_FIELDS)
    labels = torch.arange(len(_FIELDS)).repeat_interleave(_EACH)
    chance = torch.full((len(_FIELDS), _WORDS), _USUAL)
    for field in range(len(_FIELDS)):
        chance[field, field * _OWN : (field + 1) * _OWN] = _TYPICAL
    features = (torch.rand(n, _WORDS, generator=gen) < chance[labels]).to(torch.float32)
    # A paper without any word would say nothing.
    features[:, -1] = torch.where(features.sum(1) == 0, 1.0, features[:, -1])
    citing = torch.arange(n).repeat_interleave(_CITED)
    within = torch.rand(len(citing), generator=gen) < _WITHIN
    anyone = torch.randint(n, (len(citing),), generator=gen)
    colleague = labels[citing] * _EACH + torch.randint(_EACH, (len(citing),), generator=gen)
    cited = torch.where(within, colleague, anyone)
    apart = citing != cited
    return RawGraph(
        name="papers",
        features=features,
        edges=torch.stack([citing[apart], cited[apart]]),
        labels=labels,
        classes=_FIELDS,
    )
