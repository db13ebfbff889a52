"""Synthetic graphs, their structures, and the methods that make them."""

from __future__ import annotations

import attar
import pytest
import torch
from attar.contracts import Clock, SetSpec
from attar.errors import UsageError
from attar.held_out import held_out_accuracy
from attar.registry import Registry
from attar.rng import derive
from attar_graph.structures import Bernoulli, BernoulliSettings, Pairwise, PairwiseSettings, packed
from hypothesis import given, settings
from hypothesis import strategies as st


def synthetic(task, structure="", **spec):
    init = task.gather(torch.arange(len(task.labels)))
    return task.synthesize(init, SetSpec(structure=structure, **spec), derive(0))


def weights(syn):
    nodes = syn.decode().inputs
    return nodes.graph.adjacency.matmul(torch.eye(len(nodes.graph)))


def test_pairs_are_scored_both_ways_round_as_the_equation_says():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        structure = Pairwise(3, PairwiseSettings(width=4, layers=3))
    values = torch.randn(5, 3, generator=derive(1))
    first = torch.cat([structure.one.weight, structure.other.weight], dim=1)
    pairs = torch.stack([torch.cat([a, b]) for a in values for b in values])
    hidden = structure.norms[0](pairs @ first.T + structure.one.bias).relu()
    hidden = structure.norms[1](structure.middle[0](hidden)).relu()
    scores = structure.last(hidden).view(5, 5)
    wanted = torch.sigmoid((scores + scores.T) / 2) * (1 - torch.eye(5))
    assert torch.allclose(structure(values).weights, wanted, atol=1e-5)


def test_bernoulli_edges_are_drawn_with_their_probability():
    structure = Bernoulli(40, BernoulliSettings(start=0.3, temperature=0.01))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = packed(structure(torch.zeros(40, 2)).weights)
    # Nearly all are 0 or 1; of 780, the share of ones has a standard deviation of 1.6 points.
    assert ((drawn < 0.01) | (drawn > 0.99)).float().mean() > 0.9
    assert abs(float((drawn > 0.5).float().mean()) - 0.3) < 0.07
    assert torch.allclose(structure.final(torch.zeros(40, 2)).above, torch.full((780,), 0.3))


@pytest.mark.parametrize("structure", ["", "none", "pairwise,width=4", "bernoulli"])
def test_what_is_stored_is_restored(ring, structure):
    syn = synthetic(ring(), structure).bake()
    again = Registry().get("modalities", "graph").restore(syn.description(), syn.stored())
    assert torch.allclose(weights(again), weights(syn), atol=1e-6)
    assert torch.equal(again.decode().inputs.graph.features, syn.decode().inputs.graph.features)
    found = weights(syn)
    assert torch.equal(found, found.T)
    assert not found.diagonal().any()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12))
def test_half_a_matrix_is_the_whole(n):
    matrix = torch.rand(n, n)
    matrix = (matrix + matrix.T) * (1 - torch.eye(n))
    assert len(packed(matrix)) == n * (n - 1) // 2


def test_what_a_selector_chose_keeps_its_edges(ring):
    task = ring()
    chosen = synthetic(task, learned=False)
    assert torch.equal(
        weights(chosen), task.gather(torch.arange(4)).inputs.graph.adjacency.matmul(torch.eye(4))
    )
    assert not weights(synthetic(task)).any()


def test_each_decoding_sees_the_features_as_they_are(ring):
    task = ring()
    syn = task.synthesize(task.gather(torch.arange(4)), SetSpec(), derive(0))
    before = syn.decode().inputs.graph.propagated(1).clone()
    with torch.no_grad():
        next(syn.parameters()).add_(1)
    assert torch.allclose(syn.decode().inputs.graph.propagated(1), before + 1)


def test_structure_and_features_take_turns(ring):
    syn = synthetic(ring(), "pairwise,edges=2,features=3")
    turns = [sorted(syn.active(Clock(step, 10))) for step in range(6)]
    assert turns == [["structure"]] * 2 + [["values"]] * 3 + [["structure"]]
    assert syn.active(Clock(0, 1)) == {"structure"}
    assert synthetic(ring(), "pairwise,features=0").active(Clock(0, 1)) == {"structure", "values"}


@pytest.mark.parametrize(
    ("structure", "sentence"),
    [
        ("pairwize", "unknown structure 'pairwize': did you mean 'pairwise'"),
        ("pairwise,width=0", r"objective\.structure=pairwise\.width = '0' does not fit"),
        ("none,width=3", "unknown setting"),
    ],
)
def test_a_structure_that_is_not_understood_is_refused(ring, structure, sentence):
    with pytest.raises(UsageError, match=sentence):
        synthetic(ring(), structure)


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("gcond", "sgc,width=8"),
        ("gcond-x", "sgc,width=8"),
        ("doscond", "sgc,width=8"),
        ("doscond-x", "sgc,width=8"),
        ("gcdm", "gcn,width=8,dropout=0"),
        ("gc-sntk", "sntk"),
        ("frepo-gnn", "gcn,width=8,dropout=0"),
        ("dm", ""),
        ("frepo", ""),
    ],
)
def test_every_kind_of_method_condenses_a_graph_and_resumes(method, model, tmp_path):
    task = attar.task("graph", data="karate")
    asked = {"method": method, "ipc": 2, "steps": 6, "seed": 3, "model": model}
    whole = attar.distill(task, **asked, out=tmp_path / "whole")
    again = attar.distill(task, **asked)
    assert whole.manifest.sha256 == again.manifest.sha256
    report = attar.evaluate(
        attar.load(tmp_path / "whole"), task, baselines=("random",), workers=1, cache=tmp_path / "cache"
    )
    assert 0 <= report.accuracy.mean <= 100
    assert (tmp_path / "whole" / "artifact" / "preview.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sfgc", {"count": 2, "epochs": 4, "every": 2, "span": 1, "latest": 1, "inner": 3}),
        ("mtt", {"count": 2, "epochs": 4, "latest": 1, "inner": 3}),
        ("tesla", {"count": 2, "epochs": 4, "latest": 1, "inner": 3}),
        ("dd", {"inner": 3}),
        ("rat-bptt", {"inner": 4, "window": 2}),
        ("m3d", {}),
        ("datadam", {}),
        ("cafe", {"inner": 2}),
        ("ncfm", {"samples": 8, "outer": 2, "reuse": 1}),
    ],
)
def test_methods_of_trajectories_unrolling_and_distributions_condense_a_graph(method, given):
    task = attar.task("graph", data="karate")
    asked = {
        "method": method,
        "ipc": 2,
        "steps": 3,
        "model": "gcn,width=8,dropout=0",
        "init": "real",
        **given,
    }
    one, other = attar.distill(task, **asked), attar.distill(task, **asked)
    assert one.manifest.sha256 == other.manifest.sha256
    start = attar.distill(task, **{**asked, "steps": 1, "lr": 1e-9})
    moved = one.decode().inputs.graph.features - start.decode().inputs.graph.features
    assert moved.abs().max() > 1e-4


def test_a_structure_that_is_learned_is_judged_as_it_is_stored():
    """The judge sees the baked set: its edges are those of the artifact."""
    data = attar.task("graph", data="karate")
    settings = {"method": "gcond", "ipc": 2, "steps": 4, "model": "sgc,width=8", "seed": 1}
    made = attar.distill(data, validate_every=4, **settings)
    meant = made.manifest.method.model
    stored = held_out_accuracy(data, made.syn, meant, 1, "validate", torch.device("cpu"))
    assert made.manifest.method.validated == ((4, round(stored, 4)),)
    assert made.manifest.sha256 == attar.distill(data, **settings).manifest.sha256


def test_a_method_of_normalization_statistics_does_not_fit_graphs():
    task = attar.task("graph", data="karate")
    with pytest.raises(UsageError, match="BatchNorm"):
        attar.distill(task, method="sre2l", ipc=1, model="gcn,width=8")


@pytest.mark.parametrize("asked", [{"method": "means"}, {"method": "gcdm-x", "init": "means", "steps": 1}])
def test_nodes_cannot_be_averaged(ring, asked):
    with pytest.raises(UsageError, match="'means' averages samples, and those of 'ring' are more"):
        attar.distill(ring(), ipc=1, **asked)
