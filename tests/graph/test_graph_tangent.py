"""The tangent kernel of graph networks against finite ones, and graph condensation by it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from attar.errors import UsageError
from attar_graph import tangent
from attar_graph.adjacency import Dense
from attar_graph.graph import Graph, Nodes
from attar_graph.raw import undirected
from attar_graph.tangent import StructureNTK
from torch import nn


def graph_of(n, seed, dense=False):
    gen = torch.Generator().manual_seed(seed)
    adjacency = undirected(torch.randint(n, (2, 2 * n), generator=gen), None, n)
    features = torch.randn(n, 4, generator=gen)
    if dense:
        return Graph(features, Dense(adjacency.matmul(torch.eye(n))))
    return Graph(features, adjacency)


def everyone(graph):
    return Nodes(graph, torch.arange(len(graph)))


def finite(one, other, hops, layers, width, seed):
    """The tangent kernel of a finite network, from its own gradients."""
    gen = torch.Generator().manual_seed(seed)
    sides = [one.features.shape[1], *[width] * (hops * layers), 1]
    weights = [
        torch.randn(inward, outward, generator=gen, dtype=torch.float64).requires_grad_()
        for inward, outward in pairwise(sides)
    ]

    def answers(graph):
        smooth = graph.adjacency.normalized("symmetric", loops=True).matmul(torch.eye(len(graph))).double()
        values, left = graph.features.double(), iter(weights)
        for _ in range(hops):
            values = smooth @ values
            for _ in range(layers):
                weight = next(left)
                values = torch.relu(values @ weight * math.sqrt(2 / len(weight)))
        last = next(left)
        return (values @ last * math.sqrt(2 / len(last)))[:, 0]

    def gradients(graph):
        return torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(answer, weights, retain_graph=True)])
                for answer in answers(graph)
            ]
        )

    return gradients(one) @ gradients(other).T


@pytest.mark.parametrize(("hops", "layers"), [(1, 1), (2, 1), (2, 2)])
def test_it_is_the_limit_of_finite_networks(hops, layers):
    one, other = graph_of(4, 0), graph_of(3, 1, dense=True)
    infinite = StructureNTK((4,), 2, hops=hops, layers=layers).kernel(everyone(one), everyone(other)).double()
    errors = []
    for width in (4, 256):
        mean = torch.stack([finite(one, other, hops, layers, width, seed) for seed in range(60)]).mean(0)
        errors.append(float((mean - infinite).norm() / infinite.norm()))
    assert errors[1] < 0.08
    assert errors[1] < errors[0]


def test_within_a_graph_it_is_symmetric_positive_and_agrees_with_its_copy():
    graph = graph_of(6, 2)
    model = StructureNTK((4,), 2)
    own = model.kernel(everyone(graph), everyone(graph))
    assert torch.allclose(own, own.T, atol=1e-5)
    assert float(torch.linalg.eigvalsh(own.double()).min()) > -1e-4
    copied = Graph(graph.features.clone(), graph.adjacency)
    # A cosine of 1 is taken a little below, where its slope is finite.
    assert torch.allclose(model.kernel(everyone(graph), everyone(copied)), own, rtol=2e-2)


def test_nodes_that_are_not_meant_are_heard_but_not_compared():
    graph, other = graph_of(6, 3), graph_of(5, 4)
    model = StructureNTK((4,), 2)
    whole = model.kernel(everyone(graph), everyone(other))
    few = model.kernel(Nodes(graph, torch.tensor([4, 1])), Nodes(other, torch.tensor([2])))
    assert torch.allclose(few, whole[[4, 1]][:, [2]])


def test_its_gradient_is_finite_and_reaches_features_and_edges():
    features = nn.Parameter(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    weights = torch.rand(3, 3, generator=torch.Generator().manual_seed(1))
    weights = nn.Parameter(((weights + weights.T) / 2).fill_diagonal_(0))
    learned = Graph(features, Dense(weights))
    kernel = StructureNTK((4,), 2, threshold=0).kernel(everyone(learned), everyone(learned))
    kernel.sum().backward()
    for each in (features, weights):
        assert bool(torch.isfinite(each.grad).all())
        assert bool(each.grad.any())


def test_too_large_a_graph_is_refused(monkeypatch):
    monkeypatch.setattr(tangent, "_MOST_NODES", 5)
    graph = everyone(graph_of(6, 0))
    with pytest.raises(UsageError, match=r"memory for 6 of them \(at most 5\); choose another method"):
        StructureNTK((4,), 2).kernel(graph, graph)
