from __future__ import annotations

import pytest
import torch
from attar.registry import Registry
from attar_graph.modality import GraphOptions, make_task
from attar_graph.raw import RawGraph

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 0, 2], [1, 2, 3, 4, 5, 6, 7, 0, 4, 6]])


@pytest.fixture
def raw():
    """A ring of eight nodes with two chords, in two classes."""

    def make(**changes):
        gen = torch.Generator().manual_seed(0)
        labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        given = {
            "name": "ring",
            "features": torch.randn(8, 3, generator=gen) + labels[:, None],
            "edges": EDGES,
            "labels": labels,
            "classes": ("a", "b"),
            "splits": {
                "train": torch.tensor([0, 1, 4, 5]),
                "validation": torch.tensor([2, 6]),
                "test": torch.tensor([3, 7]),
            },
        }
        return RawGraph(**{**given, **changes})

    return make


@pytest.fixture
def ring(raw):
    def make(options=None, **changes):
        return make_task(raw(**changes), GraphOptions(**(options or {})), Registry())

    return make
