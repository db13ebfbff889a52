"""Networks on graphs against the equations they come from, on dense and sparse graphs alike."""

from __future__ import annotations

import pytest
import torch
from attar.architectures import build
from attar.rng import derive
from attar_graph.adjacency import Dense
from attar_graph.graph import Graph, Nodes
from attar_graph.models import ARCHITECTURES
from attar_graph.raw import undirected
from torch.nn import functional

# One of infinite width has no logits.
FINITE = [name for name in ARCHITECTURES if name != "sntk"]
EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 4, 2]])


@pytest.fixture
def graphs():
    gen = torch.Generator().manual_seed(1)
    adjacency = undirected(EDGES, torch.rand(5, generator=gen) + 0.5, 6)
    features = torch.randn(6, 4, generator=gen)
    return Graph(features, adjacency), Graph(features, Dense(adjacency.matmul(torch.eye(6))))


def made(text):
    return build(text, ARCHITECTURES, (4,), 3, derive(0)).eval()


def everyone(graph):
    return Nodes(graph, torch.arange(len(graph)))


@pytest.mark.parametrize("name", FINITE)
def test_dense_and_sparse_graphs_are_answered_alike(graphs, name):
    model = made(name)
    one, other = (model(everyone(graph)) for graph in graphs)
    assert one.shape == (6, 3)
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", FINITE)
def test_asking_about_fewer_nodes_changes_no_answer(graphs, name):
    model, few = made(name), torch.tensor([4, 0])
    for function in (model, model.embed, lambda nodes: model.feature_maps(nodes)[-1]):
        whole = function(everyone(graphs[0]))
        assert torch.allclose(function(Nodes(graphs[0], few)), whole[few], atol=1e-6)


@pytest.mark.parametrize("name", FINITE)
def test_nobody_depends_on_how_nodes_are_numbered(graphs, name):
    model, order = made(name), torch.tensor([3, 1, 5, 0, 4, 2])
    graph = graphs[0]
    moved = Graph(graph.features[order], graph.adjacency.induced(order))
    assert torch.allclose(model(everyone(moved)), model(everyone(graph))[order], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FINITE if name != "mlp"])
def test_neighbors_are_heard(graphs, name):
    model, graph = made(name), graphs[0]
    changed = Graph(graph.features.clone(), graph.adjacency)
    changed.features[1] += 1.0
    difference = (model(everyone(changed)) - model(everyone(graph))).abs().sum(1)
    assert difference[0] > 1e-4
    # Node 5 has no edges.
    assert difference[5] == 0


def test_the_mlp_hears_nobody(graphs):
    model = made("mlp")
    apart = Graph(graphs[0].features, Dense(torch.zeros(6, 6)))
    assert torch.equal(model(everyone(apart)), model(everyone(graphs[0])))


def smooth(graph):
    return graph.adjacency.normalized("symmetric", loops=True).matmul(torch.eye(len(graph)))


def test_gcn_is_its_equation(graphs):
    graph, model = graphs[1], made("gcn,width=5")
    first, last = model.layers
    hidden = functional.relu(smooth(graph) @ graph.features @ first.weight.T + first.bias)
    wanted = smooth(graph) @ hidden @ last.weight.T + last.bias
    assert torch.allclose(model(everyone(graph)), wanted, atol=1e-5)
    assert torch.allclose(model.embed(everyone(graph)), hidden, atol=1e-5)


def test_sgc_is_its_equation(graphs):
    graph, model = graphs[0], made("sgc,hops=3")
    values = smooth(graph) @ smooth(graph) @ smooth(graph) @ graph.features
    assert torch.allclose(model(everyone(graph)), model.head(values), atol=1e-5)


def test_sage_adds_the_weighted_mean_of_neighbors(graphs):
    graph, model = graphs[1], made("sage,layers=1")
    weights = graph.adjacency.weights
    mean = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    own, heard = model.layers[0]
    wanted = own(graph.features) + mean @ graph.features @ heard.weight.T
    assert torch.allclose(model(everyone(graph)), wanted, atol=1e-5)


def test_gin_adds_the_sum_of_neighbors(graphs):
    graph, model = graphs[1], made("gin,layers=1")
    layer = model.layers[0]
    with torch.no_grad():
        layer.epsilon.fill_(0.3)
    summed = 1.3 * graph.features + graph.adjacency.weights @ graph.features
    assert torch.allclose(model(everyone(graph)), layer[1](functional.relu(layer[0](summed))), atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_chebnet_sums_polynomials_of_the_laplacian(graphs, order):
    graph, model = graphs[1], made(f"cheb,layers=1,order={order}")
    scaled = -graph.adjacency.normalized("symmetric", loops=False).weights
    terms = [torch.eye(6), scaled]
    while len(terms) < order:
        terms.append(2 * scaled @ terms[-1] - terms[-2])
    weights = model.layers[0]
    wanted = sum(term @ graph.features @ each.weight.T for term, each in zip(terms, weights, strict=False))
    assert torch.allclose(model(everyone(graph)), wanted + weights[0].bias, atol=1e-5)


def test_appnp_is_its_recurrence(graphs):
    graph, model = graphs[1], made("appnp,hops=3,alpha=0.2,width=5")
    own = model.head(functional.relu(model.first(graph.features)))
    wanted = own
    for _ in range(3):
        wanted = 0.8 * smooth(graph) @ wanted + 0.2 * own
    assert torch.allclose(model(everyone(graph)), wanted, atol=1e-5)


def test_gat_weighs_neighbors_by_a_softmax(graphs):
    graph, model = graphs[1], made("gat,heads=1,width=2")
    head = model.first
    lifted = graph.features @ head.lift.weight.T
    heard = (lifted @ head.listener[0])[:, None] + (lifted @ head.speaker[0])[None, :]
    linked = (graph.adjacency.weights > 0) | torch.eye(6, dtype=torch.bool)
    scores = functional.leaky_relu(heard, 0.2).masked_fill(~linked, -torch.inf)
    wanted = functional.elu(scores.softmax(1) @ lifted)
    assert torch.allclose(model.embed(everyone(graph)), wanted, atol=1e-5)


def test_weak_edges_are_heard_by_who_asks_for_them(graphs):
    weak = Graph(graphs[1].features, Dense(graphs[1].adjacency.weights * 0.01))
    apart = Graph(graphs[1].features, Dense(torch.zeros(6, 6)))
    model, open_model = made("gcn"), made("gcn,threshold=0")
    assert torch.allclose(model(everyone(weak)), model(everyone(apart)))
    assert not torch.allclose(open_model(everyone(weak)), open_model(everyone(apart)))
