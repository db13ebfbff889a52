"""Condensed graphs given as plain arrays, and graphs for PyTorch Geometric."""

from __future__ import annotations

import functools
import json
import runpy
import sys
import warnings

import attar
import numpy as np
import pytest
import torch
from attar.contracts import SetSpec
from attar.errors import UsageError
from attar.exports import as_exported
from attar.owned import LIST
from attar.plugins import AsGraph, DataInfo, ReadsArrays
from attar.registry import Registry
from attar.rng import derive
from attar_graph.condensed import graph_set
from attar_graph.export import EXPORTS
from attar_graph.structures import Apart, Given
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

MATRIX = np.array(
    [[0, 0.5, 0, 1], [0.5, 0, 0.25, 0], [0, 0.25, 0, 2], [1, 0, 2, 0]],
    dtype=np.float32,
)
EDGES = np.stack(MATRIX.nonzero())


def weights(found):
    """Return the adjacency of a set or an artifact."""
    nodes = found.decode().inputs
    return nodes.graph.adjacency.matmul(torch.eye(len(nodes.graph))).detach().numpy()


def arrays(**changes):
    """Return a small condensed ring, with some of its arrays changed; None leaves one out."""
    features = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    kept = {"features": features, "labels": np.array([0, 0, 1, 1]), "adjacency": MATRIX, **changes}
    return {name: value for name, value in kept.items() if value is not None}


def test_a_graph_is_given_by_its_adjacency(ring):
    artifact = attar.from_arrays(ring(), arrays())
    nodes = artifact.decode().inputs
    # As models take them: nothing is scaled again.
    assert np.array_equal(nodes.graph.features.numpy(), arrays()["features"])
    assert np.array_equal(weights(artifact), MATRIX)
    assert artifact.decode().labels.tolist() == [0, 0, 1, 1]
    assert isinstance(artifact.syn.structure, Given)
    assert artifact.manifest.method.model == "gcn"


def test_or_by_its_edges(ring):
    edges = arrays(adjacency=None, edges=EDGES, weights=MATRIX[EDGES[0], EDGES[1]])
    assert (
        attar.from_arrays(ring(), edges).manifest.sha256
        == attar.from_arrays(ring(), arrays()).manifest.sha256
    )
    plain = attar.from_arrays(ring(), arrays(adjacency=None, edges=EDGES))
    assert np.array_equal(weights(plain), MATRIX > 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"adjacency": None},
        {"adjacency": np.zeros((4, 4))},
        {"adjacency": np.eye(4)},
        {"adjacency": None, "edges": np.zeros((2, 0), int)},
    ],
)
def test_or_by_nodes_that_stand_alone(ring, changes):
    artifact = attar.from_arrays(ring(), arrays(**changes))
    assert isinstance(artifact.syn.structure, Apart)
    assert not weights(artifact).any()


def test_loops_are_left_out(ring):
    looped = arrays(adjacency=MATRIX + 3 * np.eye(4, dtype=np.float32))
    assert np.array_equal(weights(attar.from_arrays(ring(), looped)), MATRIX)
    edges = np.concatenate([EDGES, [[2], [2]]], axis=1)
    assert np.array_equal(weights(attar.from_arrays(ring(), arrays(adjacency=None, edges=edges))), MATRIX > 0)


def test_what_rounding_alone_makes_uneven_is_taken(ring):
    uneven = MATRIX.copy()
    uneven[0, 1] = np.nextafter(uneven[0, 1], np.float32(1))
    found = weights(attar.from_arrays(ring(), arrays(adjacency=uneven)))
    assert np.array_equal(found, found.T)
    assert np.allclose(found, MATRIX)


@functools.cache
def karate():
    return attar.task("graph", data="karate")


@settings(max_examples=10)
@given(hnp.arrays(np.float32, (4, 4), elements=st.floats(0, 100, width=32)))
def test_any_matrix_that_was_made_symmetric_is_taken(matrix):
    task = karate()
    even = (matrix + matrix.T) / 2
    features = np.zeros((4, *task.feature), np.float32)
    given = {"features": features, "labels": np.arange(4), "adjacency": even}
    found = graph_set(given, task, Registry())
    assert np.array_equal(weights(found), even * (1 - np.eye(4, dtype=np.float32)))


def weight(row, column, value):
    changed = MATRIX.copy()
    changed[row, column] = value
    return {"adjacency": changed}


def listed(edges, **more):
    return {"adjacency": None, "edges": np.array(edges), **more}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"feats": np.zeros(3)}, "unknown array 'feats': did you mean 'features'"),
        (
            {"features": None},
            "there is no array 'features'; a set needs features and labels, and may have adj",
        ),
        ({"features": np.zeros((4, 2))}, r"'features' has shape \(4, 2\); give \(n, 3\) as in 'ring'"),
        ({"features": np.full((4, 3), np.nan)}, "'features' is not finite"),
        ({"labels": np.array([0, 1, 2, 1])}, "row 2 of the array 'labels' has the label 2"),
        ({"labels": np.array([0, 1])}, r"'labels' has shape \(2,\); give \(4,\)"),
        ({"targets": np.zeros((4, 3))}, r"'targets' has shape \(4, 3\); give \(4, 2\)"),
        ({"adjacency": np.zeros((3, 3))}, r"'adjacency' has shape \(3, 3\); give \(4, 4\)"),
        (
            weight(0, 1, 0.75),
            r"'adjacency' is directed: 0 to 1 weighs 0\.75, back 0\.5; make it symmetric, as by",
        ),
        ({"adjacency": -MATRIX}, "'adjacency' holds the weight -2, but networks divide by sums of weights"),
        (weight(0, 1, np.inf), "'adjacency' is not finite"),
        (weight(0, 1, np.nan), "'adjacency' is not finite"),
        ({"edges": EDGES}, "both 'adjacency' and 'edges'; give one of them"),
        ({"weights": np.ones(8)}, "'weights' without 'edges'"),
        (listed([[0, 1]]), r"'edges' has shape \(1, 2\); give \(2, E\)"),
        (
            listed([[0, 4], [4, 0]]),
            "'edges' runs from 0 to 4; give whole numbers from 0 to 3, the numbers of",
        ),
        (listed([[0, -1], [-1, 0]]), "'edges' runs from -1 to 0"),
        (listed([[0.0], [1.0]]), "'edges' holds float64; give whole numbers"),
        (listed([[0, 2], [1, 3]]), "from 0 to 1 stands in 'edges' in one direction alone; give both, as by"),
        (listed([[0, 1, 0], [1, 0, 1]]), "from 0 to 1 stands twice in 'edges'; give each direction once"),
        (listed([[0, 1], [1, 0]], weights=np.ones(1)), r"'weights' has shape \(1,\); give \(2,\)"),
        (
            listed([[0, 1], [1, 0]], weights=np.array([1, 2])),
            "'weights' is directed: 0 to 1 weighs 1, back 2",
        ),
        (listed([[0, 1], [1, 0]], weights=np.array([-1, -1])), "'weights' holds the weight -1"),
        (listed([[0, 1], [1, 0]], weights=np.array([1, np.inf])), "'weights' is not finite"),
    ],
)
def test_arrays_that_make_no_graph_are_refused(ring, changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        attar.from_arrays(ring(), arrays(**changes))


def condensed(task, structure="", **spec):
    return task.synthesize(task.gather(torch.arange(4)), SetSpec(structure=structure, **spec), derive(0))


def info_of(task):
    return DataInfo(classes=task.classes, axes=task.axes, preprocessing=task.preprocessing)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_export_is_read_back(ring, dtype, tmp_path):
    artifact = attar.from_arrays(ring(), arrays(adjacency=MATRIX / 3))
    attar.export(artifact, tmp_path / "out", "npz", dtype=dtype)
    read = attar.from_arrays(ring(), tmp_path / "out" / "data.npz")
    expected = as_exported(artifact, "npz", dtype=dtype)
    assert torch.equal(read.decode().inputs.graph.features, expected.decode().inputs.graph.features)
    assert torch.equal(read.decode().labels, expected.decode().labels)
    assert np.array_equal(weights(read), weights(expected))
    if dtype == "float32":
        assert read.manifest.sha256 == artifact.manifest.sha256


@pytest.mark.parametrize("structure", ["none", "pairwise,width=4", "bernoulli"])
def test_what_was_learned_is_read_back(ring, structure, tmp_path):
    task = ring()
    batch = condensed(task, structure, label_kind="probability").bake().decode()
    EXPORTS["npz"].write(batch, info_of(task), "float32", tmp_path)
    read = attar.from_arrays(task, tmp_path / "data.npz").decode()
    assert torch.equal(read.inputs.graph.features, batch.inputs.graph.features)
    assert torch.allclose(read.targets, batch.targets, atol=1e-6)
    eye = torch.eye(4)
    found, wanted = (each.inputs.graph.adjacency.matmul(eye) for each in (read, batch))
    assert torch.equal(found, wanted)


def test_a_given_graph_is_evaluated_and_stored(ring, tmp_path):
    task = karate()
    made = attar.distill(task, method="random", ipc=2)
    attar.export(made, tmp_path / "out", "npz")
    artifact = attar.from_arrays(task, tmp_path / "out" / "data.npz")
    loaded = attar.load(artifact.save(tmp_path / "set"))
    quick = attar.protocol("", {"epochs": 2, "networks": 1}, task.protocols)
    reports = [
        attar.evaluate(each, task, protocol=quick, baselines=(), workers=1, model="gcn")
        for each in (made, loaded)
    ]
    # The same nodes and edges: the same networks.
    assert reports[0].accuracy == reports[1].accuracy
    assert [report.method for report in reports] == ["random", "given"]


def load(folder, path=None):
    """Run the loader that stands in an exported folder."""
    with warnings.catch_warnings():
        # The first import of PyTorch Geometric in a process.
        warnings.simplefilter("ignore")
        loader = runpy.run_path(str(folder / "load.py"))["load"]
    return loader() if path is None else loader(path)


def same(one, other):
    assert set(one.keys()) == set(other.keys())
    for name, value in one.to_dict().items():
        assert torch.equal(value, other[name]), name
        assert value.dtype == other[name].dtype, name


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pytorch_geometric_reads_what_is_exported(ring, dtype, tmp_path):
    artifact = attar.from_arrays(ring(), arrays())
    record = attar.export(artifact, tmp_path / "out", "pyg", dtype=dtype)
    data = load(tmp_path / "out")
    same(data, artifact.to_pyg(dtype))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        LIST,
        "README.md",
        "graph.safetensors",
        "load.py",
        "preprocessing.json",
    }
    assert (record.format, record.dtype, record.files) == ("pyg", dtype, 4)
    assert str(data.x.dtype) == str(data.edge_weight.dtype) == f"torch.{dtype}"
    assert (data.num_nodes, data.num_edges, data.y.tolist()) == (4, 8, [0, 0, 1, 1])
    assert not data.has_self_loops()
    assert data.is_undirected()
    dense = torch.zeros(4, 4)
    dense[data.edge_index[0], data.edge_index[1]] = data.edge_weight.float()
    assert np.array_equal(dense.numpy(), MATRIX)
    data.validate()


def test_the_loader_is_short_and_holds_no_pickle(ring, tmp_path):
    EXPORTS["pyg"].write(condensed(ring()).decode(), info_of(ring()), "float32", tmp_path)
    lines = (tmp_path / "load.py").read_text("utf-8").splitlines()
    code = [line for line in lines if line and not line.strip().startswith('"""')]
    assert len(code) == 5
    assert "pickle" not in "\n".join(lines)
    (tmp_path / "graph.safetensors").rename(tmp_path / "other.safetensors")
    assert load(tmp_path, tmp_path / "other.safetensors").num_nodes == 4


def test_learned_targets_and_missing_edges_are_exported(ring, tmp_path):
    task = ring()
    batch = condensed(task, label_kind="probability").decode()
    EXPORTS["pyg"].write(batch, info_of(task), "float32", tmp_path)
    data = load(tmp_path)
    assert torch.equal(data.targets, batch.targets.detach())
    assert data.edge_index.shape == (2, 0)
    assert data.edge_weight.shape == (0,)
    same(data, EXPORTS["pyg"].graph(batch, info_of(task), "float32"))


def test_the_folder_says_how_it_is_read(ring, tmp_path):
    attar.export(attar.from_arrays(ring(), arrays()), tmp_path / "out", "pyg")
    page = (tmp_path / "out" / "README.md").read_text("utf-8")
    for word in ("4 samples", "PyTorch Geometric", "`pyg`", "load.py", "scaled already", "0. `a`"):
        assert word in page
    how = json.loads((tmp_path / "out" / "preprocessing.json").read_text("utf-8"))
    assert (how["format"], how["dtype"], how["classes"]) == ("pyg", "float32", ["a", "b"])


@pytest.mark.parametrize("name", list(EXPORTS))
def test_what_float16_cannot_hold_is_refused(ring, name, tmp_path):
    artifact = attar.from_arrays(ring(), arrays(features=np.full((4, 3), 1e5)))
    with pytest.raises(UsageError, match=r"values up to 1e\+05 do not fit into float16"):
        attar.export(artifact, tmp_path / "out", name, dtype="float16")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said(ring, monkeypatch, tmp_path):
    artifact = attar.from_arrays(ring(), arrays())
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(UsageError, match="needs PyTorch Geometric: pip install torch-geometric"):
        artifact.to_pyg()
    # Files need it when they are read alone.
    assert attar.export(artifact, tmp_path / "out", "pyg").files == 4


def test_other_sets_are_no_graphs():
    artifact = attar.distill(attar.task("tensor", data="iris"), method="random", ipc=1)
    with pytest.raises(UsageError, match="a set of modality 'tensor' is no graph for PyTorch Geometric"):
        artifact.to_pyg()


def test_graphs_offer_both_seams(ring):
    assert isinstance(Registry().get("modalities", "graph"), ReadsArrays)
    assert isinstance(EXPORTS["pyg"], AsGraph)
    assert not isinstance(EXPORTS["npz"], AsGraph)
    with pytest.raises(UsageError, match="no table for Hugging Face"):
        attar.from_arrays(ring(), arrays()).to_hf()
