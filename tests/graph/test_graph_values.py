"""Adjacencies and graphs against plain matrices."""

from __future__ import annotations

import pickle

import pytest
import torch
from attar_graph.adjacency import Dense, Sparse
from attar_graph.graph import Graph, Nodes
from attar_graph.raw import undirected
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn


def random_edges(seed, n, e):
    gen = torch.Generator().manual_seed(seed)
    return torch.randint(n, (2, e), generator=gen), torch.rand(e, generator=gen) + 0.1


def matrix(adjacency):
    return adjacency.matmul(torch.eye(adjacency.n))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(0, 30))
def test_edges_become_a_symmetric_matrix_without_loops(seed, n, e):
    edges, weights = random_edges(seed, n, e)
    wanted = torch.zeros(n, n)
    for (one, other), weight in zip(edges.T.tolist(), weights.tolist(), strict=True):
        if one != other:
            largest = max(wanted[one, other].item(), weight)
            wanted[one, other] = wanted[other, one] = largest
    assert torch.allclose(matrix(undirected(edges, weights, n)), wanted)
    assert torch.equal(matrix(undirected(edges, None, n)), (wanted > 0).float())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["symmetric", "row"]), st.booleans())
def test_both_kinds_are_normalized_as_the_equation_says(seed, how, loops):
    sparse = undirected(*random_edges(seed, 7, 9), 7)
    whole = matrix(sparse) + (torch.eye(7) if loops else 0)
    degrees = whole.sum(1)
    left = torch.diag(torch.where(degrees > 0, 1 / degrees, 0.0)) if how == "row" else None
    half = torch.diag(torch.where(degrees > 0, degrees.pow(-0.5), 0.0))
    wanted = left @ whole if left is not None else half @ whole @ half
    for each in (sparse, Dense(matrix(sparse))):
        assert torch.allclose(matrix(each.normalized(how, loops)), wanted, atol=1e-6)


def test_a_sparse_product_is_differentiable_twice():
    edges, _ = random_edges(3, 6, 9)
    adjacency = Sparse.of(edges[0], edges[1], torch.rand(9, dtype=torch.float64), 6)
    values = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adjacency.matmul, values)
    assert torch.autograd.gradgradcheck(adjacency.matmul, values)


def test_what_is_mostly_zero_is_multiplied_alike():
    features = torch.zeros(20, 30)
    features[torch.arange(20), torch.arange(20)] = torch.rand(20)
    graph = Graph(features, undirected(*random_edges(1, 20, 30), 20))
    layer = nn.Linear(30, 4)
    product = graph.product(layer)
    assert graph.known["sparse"] is not None
    assert torch.allclose(product, features @ layer.weight.T, atol=1e-6)
    target = torch.randn(20, 4)
    found = torch.autograd.grad((product * target).sum(), layer.weight)[0]
    assert torch.allclose(found, target.T @ features, atol=1e-5)


def test_propagation_is_a_power_of_the_smoothed_matrix():
    graph = Graph(torch.randn(6, 3), undirected(*random_edges(5, 6, 8), 6))
    smooth = matrix(graph.adjacency.normalized("symmetric", True))
    assert torch.allclose(graph.propagated(3), smooth @ smooth @ smooth @ graph.features, atol=1e-6)
    assert graph.propagated(3) is graph.propagated(3)


def test_learned_features_are_propagated_with_gradient_and_without():
    graph = Graph(torch.randn(3, 2, requires_grad=True), Dense(torch.zeros(3, 3)))
    with torch.no_grad():
        assert not graph.propagated(1).requires_grad
    assert graph.propagated(1).requires_grad
    assert graph.propagated(1) is graph.propagated(1)


def test_what_is_known_of_a_graph_stays_behind_when_it_is_sent():
    graph = Graph(torch.rand(5, 3), undirected(*random_edges(2, 5, 6), 5))
    wanted = graph.propagated(2)
    sent = pickle.loads(pickle.dumps(graph))
    assert sent.known == {} == sent.adjacency.known
    assert torch.equal(sent.propagated(2), wanted)


def test_taking_nodes_keeps_their_graph():
    graph = Graph(torch.randn(5, 2), undirected(*random_edges(0, 5, 6), 5))
    nodes = Nodes(graph, torch.tensor([4, 1, 3]))
    assert nodes.take(torch.tensor([2, 0])).index.tolist() == [3, 4]
    assert nodes.take(torch.tensor([0])).graph is graph


def test_nodes_of_one_graph_stay_in_it_side_by_side():
    nodes = Nodes(Graph(torch.randn(5, 2), undirected(*random_edges(0, 5, 6), 5)), torch.tensor([4, 1]))
    joined = nodes.cat([nodes.take(torch.tensor([1]))])
    assert joined.graph is nodes.graph
    assert joined.index.tolist() == [4, 1, 1]


@pytest.mark.parametrize("dense", [True, False])
def test_graphs_side_by_side_have_no_edges_between_them(dense):
    parts = []
    for seed in (0, 1):
        adjacency = undirected(*random_edges(seed, 4, 5), 4)
        graph = Graph(torch.randn(4, 2), Dense(matrix(adjacency)) if dense else adjacency)
        parts.append(Nodes(graph, torch.tensor([seed, 2])))
    both = parts[0].cat(parts[1:])
    assert both.index.tolist() == [0, 2, 5, 6]
    wanted = torch.block_diag(*(matrix(part.graph.adjacency) for part in parts))
    assert torch.allclose(matrix(both.graph.adjacency), wanted)


@pytest.mark.parametrize("dense", [True, False])
def test_a_part_of_a_graph_has_the_edges_within(dense):
    adjacency = undirected(*random_edges(2, 6, 12), 6)
    own = Dense(matrix(adjacency)) if dense else adjacency
    nodes = torch.tensor([5, 0, 3])
    assert torch.equal(matrix(own.induced(nodes)), matrix(adjacency)[nodes][:, nodes])


@pytest.mark.parametrize("dense", [True, False])
def test_weak_edges_are_left_out(dense):
    adjacency = undirected(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0.04, 0.5]), 3)
    own = Dense(matrix(adjacency)) if dense else adjacency
    assert matrix(own.strong(0.05))[0, 1] == 0
    assert matrix(own.strong(0.05))[1, 2] == 0.5
    assert own.strong(0.01) is own
