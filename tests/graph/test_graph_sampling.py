"""Neighbor sampling by ours and by pyg-lib, training on samples, and propagation in blocks and files."""

from __future__ import annotations

import gc
import subprocess
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from attar.errors import UsageError
from attar.rng import derive
from attar.settings import parse
from attar_graph import propagation
from attar_graph.adjacency import Dense, Sparse
from attar_graph.graph import Graph
from attar_graph.modality import GraphOptions
from attar_graph.raw import undirected
from attar_graph.sampling import neighborhood, sample
from hypothesis import given, settings
from hypothesis import strategies as st

WITH_PYG_LIB = find_spec("pyg_lib") is not None


def pyg_sampler():
    with warnings.catch_warnings():
        # Importing the library compiles what is not used here, in a way that PyTorch gives up.
        warnings.simplefilter("ignore")
        from attar_graph import pyg_sampler
    return pyg_sampler


def fast(*args):
    return pyg_sampler().sample_fast(*args)


needs_pyg_lib = pytest.mark.skipif(not WITH_PYG_LIB, reason="pyg-lib is not installed")
both = pytest.mark.parametrize("draw", [sample, pytest.param(fast, marks=needs_pyg_lib)])


def random_graph(n, edges, seed=0):
    gen = torch.Generator().manual_seed(seed)
    ends = torch.randint(n, (2, edges), generator=gen)
    return undirected(ends, torch.rand(edges, generator=gen) + 0.5, n)


def star(leaves):
    """Return a hub, node 0, with its leaves."""
    ends = torch.stack([torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)])
    return undirected(ends, None, leaves + 1)


def hops_of(found):
    """Return the hop that reaches each node of a sample first."""
    return torch.arange(len(found.reached)).repeat_interleave(torch.tensor(found.reached))


def check_contract(adjacency, seeds, fanout, found):
    assert torch.equal(found.nodes[: len(seeds)], seeds)
    assert len(found.nodes.unique()) == len(found.nodes)
    assert sum(found.reached) == len(found.nodes)
    assert sum(found.heard) == len(found.edges) == len(found.rows) == len(found.columns)
    # Every edge is the graph's, and none is drawn twice.
    assert torch.equal(adjacency.rows[found.edges], found.nodes[found.rows])
    assert torch.equal(adjacency.columns[found.edges], found.nodes[found.columns])
    assert len(found.edges.unique()) == len(found.edges)
    degrees = adjacency.starts.diff()[found.nodes].tolist()
    heard = torch.bincount(found.rows, minlength=len(found.nodes)).tolist()
    for degree, count, hop in zip(degrees, heard, hops_of(found).tolist(), strict=True):
        most = fanout[hop] if hop < len(fanout) else 0
        assert count == (degree if most < 0 else min(most, degree))
    # Whoever is there was asked about or is heard.
    assert set(range(len(seeds), len(found.nodes))) <= set(found.columns.tolist())


@both
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(1, 12),
    st.lists(st.sampled_from([-1, 1, 2, 3, 50]), max_size=3),
)
def test_samples_keep_the_contract(draw, seed, count, fanout):
    adjacency = random_graph(30, 80, seed)
    seeds = torch.randperm(30, generator=derive(seed))[:count]
    check_contract(adjacency, seeds, fanout, draw(adjacency, seeds, fanout, derive(seed, "sample")))


@both
def test_the_generator_decides(draw):
    adjacency, seeds = random_graph(200, 2000), torch.tensor([7, 3, 100])
    one, again, other = (draw(adjacency, seeds, (3, 3), derive(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.nodes, again.nodes)
    assert torch.equal(one.edges, again.edges)
    assert not torch.equal(one.edges, other.edges)


@both
@pytest.mark.parametrize(("leaves", "most"), [(10, 3), (5, 4)])
def test_every_set_of_neighbors_is_as_likely(draw, leaves, most):
    adjacency, gen, trials = star(leaves), derive(0, "likely"), 2000
    counts, pairs = torch.zeros(leaves + 1), torch.zeros(leaves + 1, leaves + 1)
    for _ in range(trials):
        drawn = draw(adjacency, torch.tensor([0]), (most,), gen).nodes[1:]
        counts[drawn] += 1
        pairs[drawn[:, None], drawn[None, :]] += 1
    share = most / leaves
    # Five standard deviations.
    assert (counts[1:] / trials - share).abs().max() < 5 * (share * (1 - share) / trials) ** 0.5
    share *= (most - 1) / (leaves - 1)
    above = pairs[1:, 1:][torch.triu(torch.ones(leaves, leaves), 1) > 0] / trials
    assert (above - share).abs().max() < 5 * (share * (1 - share) / trials) ** 0.5


@both
def test_nobody_is_heard_where_there_are_no_edges(draw):
    none = torch.zeros(0, dtype=torch.int64)
    found = draw(Sparse.of(none, none, torch.zeros(0), 4), torch.tensor([2, 1]), (3, -1), derive(0))
    assert found.nodes.tolist() == [2, 1]
    assert len(found.edges) == 0


@both
def test_a_seed_that_stands_twice_is_refused(draw):
    with pytest.raises(UsageError, match="a node stands twice among those to sample from; give each once"):
        draw(star(3), torch.tensor([1, 2, 1]), (2,), derive(0))


def documented(rowptr, col, seed, num_neighbors, *, return_edge_id):
    """Do what pyg-lib's ``neighbor_sample`` documents, slowly, drawing from the global generator."""
    assert return_edge_id
    nodes, rows, columns, edges = seed.tolist(), [], [], []
    reached, heard, begin = [len(nodes)], [], 0
    for most in num_neighbors:
        end, before = len(nodes), len(edges)
        for place in range(begin, end):
            own = torch.arange(rowptr[nodes[place]], rowptr[nodes[place] + 1])
            for edge in own[torch.randperm(len(own))][: None if most < 0 else most].tolist():
                if int(col[edge]) not in nodes:
                    nodes.append(int(col[edge]))
                rows.append(place)
                columns.append(nodes.index(int(col[edge])))
                edges.append(edge)
        reached.append(len(nodes) - end)
        heard.append(len(edges) - before)
        begin = end
    found = [torch.tensor(each, dtype=torch.int64) for each in (rows, columns, nodes, edges)]
    return *found, reached, heard


def test_what_pyg_lib_documents_is_taken_as_it_is_meant(monkeypatch):
    stand_in = types.ModuleType("pyg_lib.sampler")
    stand_in.neighbor_sample = documented
    module = pyg_sampler()
    monkeypatch.setitem(sys.modules, "pyg_lib", types.ModuleType("pyg_lib"))
    monkeypatch.setitem(sys.modules, "pyg_lib.sampler", stand_in)
    monkeypatch.setattr(module, "WITH_PYG_LIB", True)
    adjacency, seeds = random_graph(30, 80), torch.tensor([5, 0, 17])
    before = torch.get_rng_state()
    found = fast(adjacency, seeds, (2, 3), derive(0))
    check_contract(adjacency, seeds, (2, 3), found)
    assert torch.equal(found.edges, fast(adjacency, seeds, (2, 3), derive(0)).edges)
    assert not torch.equal(found.edges, fast(adjacency, seeds, (2, 3), derive(1)).edges)
    assert torch.equal(torch.get_rng_state(), before)
    sampler = module.NeighborSampler(adjacency, (2, 3), derive(0))
    output = sampler.sample_from_nodes(module.NodeSamplerInput(None, seeds))
    assert torch.equal(output.edge, found.edges)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    sample(star(9), torch.tensor([0]), (2, 2), derive(0))
    assert torch.equal(torch.get_rng_state(), before)


def loader(adjacency, fanout, **more):
    sampler = pyg_sampler().NeighborSampler(adjacency, fanout, derive(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.data import Data
        from torch_geometric.loader import NodeLoader
    where, weights = adjacency.edges()
    data = Data(
        x=torch.arange(adjacency.n).float()[:, None], edge_index=where.flip(0), edge_attr=weights[:, None]
    )
    return NodeLoader(data, sampler, **more)


def test_the_sampler_feeds_the_loader_of_pyg():
    adjacency = random_graph(40, 120)
    dense, seen = adjacency.matmul(torch.eye(40)), []
    for batch in loader(adjacency, (4, 2), batch_size=16, input_nodes=torch.arange(1, 40)):
        assert torch.equal(batch.n_id[: batch.batch_size], batch.input_id + 1)
        assert torch.equal(batch.x[:, 0], batch.n_id.float())
        assert sum(batch.num_sampled_nodes) == len(batch.n_id)
        heard, hearing = batch.n_id[batch.edge_index]
        assert torch.allclose(dense[hearing, heard], batch.edge_attr[:, 0])
        assert torch.bincount(batch.edge_index[1]).max() <= 4
        seen.append(batch.n_id[: batch.batch_size])
    assert torch.equal(torch.cat(seen), torch.arange(1, 40))


def test_the_sampler_takes_neither_times_nor_links():
    module = pyg_sampler()
    sampler = module.NeighborSampler(star(3), (2,), derive(0))
    with pytest.raises(UsageError, match="leave out input_time and types"):
        sampler.sample_from_nodes(module.NodeSamplerInput(None, torch.tensor([0]), time=torch.tensor([1])))
    with pytest.raises(UsageError, match="use it with NodeLoader"):
        sampler.sample_from_edges(None)


def test_sampling_needs_no_pyg_until_its_loader_is_used():
    code = "import sys, attar_graph.modality; raise SystemExit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_neighborhood_is_an_undirected_part_of_the_graph_with_its_weights():
    adjacency = random_graph(30, 90)
    graph = Graph(torch.randn(30, 2, generator=derive(0)), adjacency)
    nodes = neighborhood(graph, torch.tensor([4, 9]), (3, 3), derive(1))
    found = sample(adjacency, torch.tensor([4, 9]), (3, 3), derive(1))
    assert nodes.index.tolist() == [0, 1]
    assert torch.equal(nodes.graph.features, graph.features[found.nodes])
    part = nodes.graph.adjacency.matmul(torch.eye(len(found.nodes)))
    assert torch.equal(part, part.T)
    wanted = torch.zeros_like(part)
    wanted[found.rows, found.columns] = adjacency.weights[found.edges]
    assert torch.allclose(part, torch.maximum(wanted, wanted.T))


def test_means_over_all_neighbors_are_those_of_the_whole_graph(ring):
    task = ring({"neighbors": (-1, -1)})
    batch = task.draw(2, derive(0), [0, 1])
    assert batch.inputs.graph is not task.train.graph
    model = task.build("sage", derive(0)).eval()
    # As in the whole graph, since the same generator draws the same nodes.
    whole = ring().draw(2, derive(0), [0, 1])
    assert torch.equal(batch.labels, whole.labels)
    assert torch.allclose(model(batch.inputs), model(whole.inputs), atol=1e-5)


def test_a_dense_graph_is_sampled_too():
    adjacency = random_graph(20, 60)
    dense = Dense(adjacency.matmul(torch.eye(20)))
    features, seeds = torch.randn(20, 2, generator=derive(0)), torch.tensor([1, 2])
    one, other = (
        neighborhood(Graph(features, each), seeds, (2, 2), derive(3)) for each in (adjacency, dense)
    )
    assert torch.equal(one.graph.features, other.graph.features)
    assert torch.equal(one.graph.adjacency.edges()[0], other.graph.adjacency.edges()[0])


def test_training_nodes_are_drawn_in_samples(ring):
    task = ring({"neighbors": [1]})
    one, again, other = (task.draw(1, derive(seed), [0, 1]) for seed in (0, 0, 3))
    assert len(one.inputs.graph) <= 4
    assert one.labels.tolist() == [0, 1]
    assert torch.equal(one.inputs.graph.features, again.inputs.graph.features)
    assert not torch.equal(one.inputs.graph.features, other.inputs.graph.features)
    assert len(task.draw(3, derive(0))) == 3


def test_a_pass_in_samples_comes_in_batches(ring):
    task = ring({"neighbors": [2, 2]})
    batches = list(task.epoch("train", 3, derive(0)))
    assert [len(batch) for batch in batches] == [3, 1]
    shown = torch.cat([batch.inputs.graph.features[batch.inputs.index] for batch in batches])
    wanted = task.train.graph.features[task.train.index]
    assert torch.equal(shown.sort(0).values, wanted.sort(0).values)
    # In order nothing is drawn, and nobody samples where figures are taken.
    for split in ("train", "validation", "test"):
        (batch,) = task.epoch(split, 1)
        assert batch.inputs.graph is task._part(split).graph
    (batch,) = task.epoch("validation", 1, derive(0))
    assert batch.inputs.graph is task.validation.graph


def test_sampling_belongs_to_what_training_sees(ring):
    prints = [ring({"neighbors": value}).fingerprint for value in ((), (2,), (2, 2))]
    assert len(set(prints)) == 3
    assert ring({"memory": 0}).fingerprint == prints[0]
    assert ring({"neighbors": (2,)}).options["neighbors"] == [2]
    assert ring({"neighbors": (2,)}).subset(torch.tensor([0, 2])).neighbors == (2,)


def test_neighbors_are_read_from_text():
    assert parse(GraphOptions, {"neighbors": "10, 5"}, "data.options").neighbors == (10, 5)
    assert parse(GraphOptions, {"neighbors": ""}, "data.options").neighbors == ()
    with pytest.raises(UsageError, match=r"neighbors.*at least 1, or -1 for all"):
        parse(GraphOptions, {"neighbors": "10,0"}, "data.options")


@pytest.fixture
def graph():
    return Graph(torch.randn(50, 7, generator=derive(5)), random_graph(50, 200))


@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("memory", [0, 1])
def test_blocks_of_features_are_propagated_alike(graph, hops, width, memory, monkeypatch, tmp_path):
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path))
    whole = graph.propagated(hops)
    monkeypatch.setattr(propagation, "_AT_ONCE", width * 50 * 4)
    apart = Graph(graph.features, graph.adjacency, memory=memory)
    assert torch.allclose(apart.propagated(hops), whole, atol=1e-6)
    assert apart.propagated(hops) is apart.propagated(hops)


def test_what_asks_for_gradient_is_propagated_whole(graph, monkeypatch):
    monkeypatch.setattr(propagation, "_AT_ONCE", 1)
    learned = Graph(graph.features.clone().requires_grad_(), graph.adjacency, memory=1)
    learned.propagated(2).sum().backward()
    assert learned.features.grad is not None


def mapped(folder):
    return str(folder) in Path("/proc/self/maps").read_text("utf-8")


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="mappings are listed on Linux alone")
def test_a_large_result_lies_in_a_file_that_goes_with_it(graph, monkeypatch, tmp_path):
    folder = tmp_path / "new"
    monkeypatch.setenv("ATTAR_CACHE", str(folder))
    large = Graph(graph.features, graph.adjacency, memory=graph.features.nbytes - 1)
    small = Graph(graph.features, graph.adjacency, memory=graph.features.nbytes)
    assert torch.equal(small.propagated(2), graph.propagated(2))
    assert not folder.exists()
    assert torch.equal(large.propagated(2), small.propagated(2))
    assert mapped(folder)
    # What was taken from it stays when the graph has gone.
    taken = large.propagated(2)[torch.tensor([3, 1])]
    del large
    gc.collect()
    assert not mapped(folder)
    assert list(folder.iterdir()) == []
    assert torch.equal(taken, small.propagated(2)[torch.tensor([3, 1])])


def test_a_disk_that_refuses_the_file_is_named(graph, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"cannot write .*file"):
        Graph(graph.features, graph.adjacency, memory=1).propagated(1)


def test_parts_of_a_graph_are_kept_as_it_is(ring):
    task = ring({"memory": 12, "inductive": True, "neighbors": (1,)})
    parts = task.partition([torch.tensor([0, 2]), torch.tensor([1, 3])], derive(0))
    drawn = task.draw(1, derive(0), [0, 1]).inputs.graph
    graphs = [task.train.graph, task.validation.graph, task.test.graph, parts[0].train.graph, drawn]
    assert [each.memory for each in graphs] == [12] * 5
    assert parts[0].neighbors == (1,)
