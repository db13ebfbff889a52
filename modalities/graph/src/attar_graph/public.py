"""Public graphs as PyTorch Geometric keeps them."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from attar_graph.raw import RawGraph

__all__ = ["karate"]


def _datasets() -> Any:
    with warnings.catch_warnings():
        # Importing the library compiles what is not used here, in a way that PyTorch gives up.
        warnings.simplefilter("ignore")
        from torch_geometric import datasets
    return datasets


def karate() -> RawGraph:
    """Return Zachary's karate club: 34 members, their friendships, and four communities.

    References:
        Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", 1977; the
        communities are those that maximize modularity.
    """
    data = _datasets().KarateClub()[0]
    return RawGraph(
        name="karate",
        features=data.x.to(torch.float32),
        edges=data.edge_index,
        labels=data.y.to(torch.int64),
        classes=("1", "2", "3", "4"),
    )
