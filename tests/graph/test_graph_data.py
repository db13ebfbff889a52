"""Graphs as they are given: what is refused, how they are split and scaled, Planetoid's files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.rng import derive
from attar_graph.planetoid import read_planetoid
from attar_graph.preprocess import fit_scaler

NAN = torch.full((8, 3), float("nan"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": torch.zeros(0, 3), "labels": torch.zeros(0)}, "give at least one node and one feature"),
        ({"features": NAN}, "the features of node 0 of 'ring' are not finite"),
        ({"labels": torch.zeros(3)}, "'ring' has 8 nodes with 3 labels"),
        ({"edges": torch.tensor([[0], [8]])}, "edge 0 of 'ring' joins nodes 0 and 8, but nodes are numbered"),
        ({"edges": torch.tensor([[0, 1, 2]])}, r"have shape \(1, 3\); give \(2, edges\)"),
        ({"weights": torch.ones(3)}, "'ring' has 10 edges and 3 weights"),
        ({"weights": torch.tensor([-1.0] + [1.0] * 9)}, "is not a number above 0; leave such edges out"),
        ({"splits": {"train": torch.tensor([0, 9])}}, "the train nodes of 'ring' are numbered from 0 to 7"),
        (
            {"splits": {"train": torch.tensor([0, 4]), "test": torch.tensor([4, 5])}},
            "a node of 'ring' stands twice in the splits, once of them in test",
        ),
        (
            {"labels": torch.tensor([0, 0, 0, 0, 1, 1, 1, -1])},
            "a test node of 'ring' has no label; leave it out of the splits",
        ),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused(raw, changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        raw(**changes)


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        ({"train": [0, 1], "test": [5]}, "class 'b' of 'ring' has no training node"),
        ({"train": [0, 4], "test": []}, "'ring' has no test nodes"),
        ({"train": [], "test": [5]}, "'ring' has no train nodes"),
    ],
)
def test_a_split_without_what_it_takes_is_refused(ring, splits, sentence):
    made = {name: torch.tensor(nodes, dtype=torch.int64) for name, nodes in splits.items()}
    with pytest.raises(UsageError, match=sentence):
        ring(splits=made)


def test_a_split_that_is_not_there_is_not_taken(ring):
    with pytest.raises(UsageError, match=r"has no split of its own; draw one with data\.split=drawn"):
        ring({"split": "given"}, splits=None)


def test_a_drawn_split_shares_no_node_and_leaves_some_to_test_on(ring):
    task = ring({"split": "drawn", "train": 2, "validation": 2})
    parts = [set(part.index.tolist()) for part in (task.train, task.validation, task.test)]
    assert [len(part) for part in parts] == [4, 2, 2]
    assert len(set().union(*parts)) == 8
    assert task.counts.tolist() == [2, 2]
    other = ring({"split": "drawn", "train": 2, "validation": 2, "split_seed": 1})
    assert set(other.train.index.tolist()) != parts[0]


def test_loops_and_edges_given_twice_change_nothing(ring):
    edges = ring().train.graph.adjacency.edges()[0]
    more = torch.cat([edges, edges.flip(0), torch.tensor([[3, 3], [3, 3]])], dim=1)
    assert torch.equal(ring(edges=more).train.graph.adjacency.edges()[0], edges)


def test_isolated_nodes_are_answered_for(ring):
    task = ring(edges=torch.zeros(2, 0, dtype=torch.int64))
    model = task.build("gcn", derive(0)).eval()
    assert torch.isfinite(model(next(task.epoch("test", 10)).inputs)).all()


def test_inductively_other_splits_are_not_there_yet(ring):
    task = ring({"inductive": True})
    assert len(task.train.graph) == 4
    assert len(task.validation.graph) == 6
    assert len(task.test.graph) == 8
    # Of the training nodes 0, 1, 4, 5: two edges of the ring and one chord.
    assert task.train.graph.adjacency.edges()[0].shape[1] == 2 * 3


def test_clients_share_neither_nodes_nor_edges(ring):
    task = ring()
    parts = task.partition([torch.tensor([0, 2]), torch.tensor([1, 3])], derive(0))
    assert sum(len(part.train.graph) for part in parts) == 8
    assert [part.labels.tolist() for part in parts] == [[0, 1], [0, 1]]
    for part, rows in zip(parts, ([0, 2], [1, 3]), strict=True):
        own = part.train.graph.features[part.train.index]
        assert torch.equal(own, task.train.graph.features[task.train.index[rows]])
        assert part.test is task.test


@pytest.mark.parametrize("scaling", ["rows", "standard", "none"])
def test_features_are_scaled_as_asked(scaling):
    features = torch.tensor([[1.0, 3.0], [3.0, 1.0], [0.0, 0.0], [5.0, 5.0]])
    found = fit_scaler(features, torch.tensor([0, 1]), scaling).encode(features)
    wanted = {
        "rows": [[0.25, 0.75], [0.75, 0.25], [0.0, 0.0], [0.5, 0.5]],
        "standard": [[-1.0, 1.0], [1.0, -1.0], [-2.0, -2.0], [3.0, 3.0]],
        "none": features.tolist(),
    }[scaling]
    assert torch.allclose(found, torch.tensor(wanted))


# Planetoid.


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("it ran",))


def planetoid(folder, **changes):
    """Write files as Planetoid has them, of six nodes, with plain arrays instead of sparse ones."""
    parts = {
        "y": torch.eye(3).numpy(),
        "allx": torch.arange(6.0).view(3, 2).numpy(),
        "ally": torch.eye(3).numpy(),
        "tx": torch.tensor([[50.0, 5.0], [30.0, 3.0]]).numpy(),
        "ty": torch.eye(3)[:2].numpy(),
        "graph": {0: [1], 1: [0, 2], 2: [1], 3: [5], 5: [3, 3, 5]},
        **changes,
    }
    for name, content in parts.items():
        (folder / f"ind.pubmed.{name}").write_bytes(pickle.dumps(content, protocol=3))
    (folder / "ind.pubmed.test.index").write_text("5\n3\n")


def test_files_of_planetoid_are_read_with_test_nodes_in_their_places(tmp_path):
    planetoid(tmp_path)
    found = read_planetoid(tmp_path, "pubmed")
    wanted = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [30.0, 3.0], [0.0, 0.0], [50.0, 5.0]]
    assert found.features.tolist() == wanted
    assert found.labels.tolist() == [0, 1, 2, 1, -1, 0]
    assert found.adjacency.edges()[0].tolist() == [[0, 1, 1, 2, 3, 5], [1, 0, 2, 1, 5, 3]]
    assert found.splits["test"].tolist() == [3, 5]


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    planetoid(tmp_path, allx=Evil())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"ind\.pubmed\.allx is damaged or no file of Planetoid"):
        read_planetoid(tmp_path, "pubmed")
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("graph", {0: [99]}),
        ("graph", {0: [-1]}),
        ("graph", {0: ["a"]}),
        ("graph", [1, 2]),
        ("ally", "text"),
        ("ally", torch.eye(3, 5).numpy()),
        ("tx", torch.ones(5, 2).numpy()),
        ("tx", torch.ones(2, 7).numpy()),
        ("allx", torch.ones(3).numpy()),
        ("test.index", None),
    ],
)
def test_damaged_files_of_planetoid_are_refused(tmp_path, part, content):
    planetoid(tmp_path, **({} if content is None else {part: content}))
    if content is None:
        (tmp_path / "ind.pubmed.test.index").write_text("5\n-3\n")
    with pytest.raises(UsageError, match="is damaged or no file of Planetoid"):
        read_planetoid(tmp_path, "pubmed")


def test_a_missing_file_of_planetoid_is_named(tmp_path):
    planetoid(tmp_path)
    (tmp_path / "ind.pubmed.ty").unlink()
    with pytest.raises(UsageError, match=r"ind\.pubmed\.ty' is missing; put the raw files"):
        read_planetoid(tmp_path, "pubmed")


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "sizes"),
    [("cora", 2708, 5278, (140, 500, 1000)), ("citeseer", 3327, 4552, (120, 500, 1000))],
)
def test_the_public_graphs_are_what_their_papers_say(name, nodes, edges, sizes):
    if "ATTAR_TEST_DATA" not in os.environ:
        pytest.skip("ATTAR_TEST_DATA names no folder of real data")
    task = attar.task("graph", data=name, root=Path(os.environ["ATTAR_TEST_DATA"]))
    graph = task.train.graph
    assert len(graph) == nodes
    assert graph.adjacency.edges()[0].shape[1] == 2 * edges
    assert tuple(task.size(split) for split in ("train", "validation", "test")) == sizes
    sums = graph.features.sum(1)
    assert torch.allclose(sums[sums > 0], torch.ones(int((sums > 0).sum())))
