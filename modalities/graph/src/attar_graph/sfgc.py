"""Graph condensation along the training of graph networks: SFGC."""

from __future__ import annotations

from attar.objectives.mtt import MTTSettings, TrajectoryMethod
from pydantic import Field

__all__ = ["SFGC", "SFGCSettings"]


class SFGCSettings(MTTSettings):
    """Settings of SFGC: those of MTT on nodes that nothing joins.

    An epoch of an expert is one step on the whole graph. Published, for Cora, are 200 experts of 2,500
    epochs with a snapshot every ten, stretches of 1,500 epochs from the first 30 on, and 500 inner
    steps. Momentum takes experts as far in a tenth of the epochs. Stretches are as short as the inner
    steps reach: features of single nodes are longer vectors than means over neighbors, so that a
    network on them bears less than a tenth of the experts' step size, momentum included, and no
    stretch is followed at a larger one.

    Attributes:
        span: Snapshots of an expert from start to goal.
    """

    model: str = "gcn,width=64,dropout=0,threshold=0"
    structure: str = "none"
    init: str = "k-center"
    steps: int = Field(default=200, ge=1)
    lr: float = Field(default=0.01, gt=0)
    count: int = Field(default=5, ge=1)
    epochs: int = Field(default=300, ge=1)
    every: int = Field(default=10, ge=1)
    lr_expert: float = Field(default=0.4, gt=0)
    momentum_expert: float = Field(default=0.9, ge=0, lt=1)
    span: int = Field(default=2, ge=1)
    latest: int = Field(default=25, ge=0)
    inner: int = Field(default=60, ge=1)
    rate: float = Field(default=0.3, gt=0)
    augment: bool = False


SFGC = TrajectoryMethod(
    summary="graph condensation without structure, along the training of graph networks",
    reference="Zheng et al., Structure-free Graph Condensation: From Large-scale Graphs to Condensed "
    "Graph-free Data, NeurIPS 2023",
    Settings=SFGCSettings,
    conformance_settings={
        "structure": "",
        "init": "real",
        "model": "mlp",
        "count": 2,
        "epochs": 4,
        "every": 1,
        "span": 2,
        "latest": 2,
        "inner": 3,
    },
)
