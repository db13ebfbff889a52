"""Graphs given in Python and as arrays in a file: what is understood, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.plugins import GivenData, LoadRequest
from attar_graph.given import given_graph, graph_of_arrays
from attar_graph.modality import GraphOptions
from attar_graph.raw import node_classes
from attar_graph.sources import graph_at, read_graph
from hypothesis import given
from hypothesis import strategies as st

EDGES = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
MASK = torch.tensor([True, True, False, False, False, False])


def arrays(**changes):
    """A ring of six nodes in two classes, as a mapping."""
    plain = {
        "features": np.arange(12.0).reshape(6, 2),
        "edges": EDGES,
        "labels": np.array([0, 1, 0, 1, 0, 1]),
        "train": np.array([0, 1]),
        "validation": np.array([2, 3]),
        "test": np.array([4, 5]),
    }
    return {**plain, **changes}


def data(**changes):
    """The same ring as an object with the attributes of PyTorch Geometric."""
    values = {
        "x": torch.arange(12.0).view(6, 2),
        "edge_index": torch.from_numpy(EDGES),
        "y": torch.tensor([0, 1, 0, 1, 0, 1]),
        "train_mask": MASK,
        "val_mask": MASK.roll(2),
        "test_mask": MASK.roll(4),
        **changes,
    }
    return SimpleNamespace(**{name: value for name, value in values.items() if value is not None})


def read(train, **changes):
    return given_graph(GivenData(train=train, **changes), "mine")


def same(one, other):
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.edges, other.edges)
    assert torch.equal(one.labels, other.labels)
    assert one.classes == other.classes
    assert {name: nodes.tolist() for name, nodes in one.splits.items()} == {
        name: nodes.tolist() for name, nodes in other.splits.items()
    }


def test_data_and_a_mapping_of_arrays_make_the_same_graph():
    found = read(data())
    same(found, read(arrays()))
    same(found, read(arrays(train=MASK.numpy(), test=[4, 5], edges=EDGES.tolist())))
    assert found.splits["validation"].tolist() == [2, 3]


def test_data_of_pytorch_geometric_become_a_task():
    with warnings.catch_warnings():
        # Importing the library compiles what is not used here, in a way that PyTorch gives up.
        warnings.simplefilter("ignore")
        from torch_geometric.data import Data
    task = attar.task("graph", data=Data(**vars(data())), classes=["a", "b"], name="mine")
    assert (task.name, task.classes) == ("mine", ("a", "b"))
    assert [part.index.tolist() for part in (task.train, task.validation, task.test)] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    with pytest.raises(UsageError, match="'given' has no y; give x, edge_index, y"):
        attar.task("graph", data=Data(x=torch.ones(3, 1), edge_index=torch.zeros(2, 0)))


def test_a_graph_without_masks_has_its_split_drawn():
    assert read(data(train_mask=None, val_mask=None, test_mask=None)).splits is None


def test_what_is_changed_later_does_not_change_the_graph():
    mine = data()
    found = read(mine)
    mine.x.zero_()
    assert found.features.sum() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"x": torch.arange(12.0).view(6, 2).to_sparse()},
        {"x": torch.arange(12).view(6, 2)},
        {"x": torch.arange(12.0).view(6, 2).bfloat16()},
        {"y": torch.tensor([[0], [1], [0], [1], [0], [1]])},
        {"train_mask": MASK[:, None], "test_mask": MASK.roll(4).to(torch.uint8)},
    ],
)
def test_other_forms_of_the_same_data_are_understood(changes):
    same(read(data(**changes)), read(data()))


def test_labels_with_gaps_are_numbered_in_order_and_called_by_their_numbers():
    found = read(data(y=torch.tensor([10, 2, 10, 7, 2, 7])))
    assert found.classes == ("2", "7", "10")
    assert found.labels.tolist() == [2, 0, 2, 1, 0, 1]


def test_names_of_classes_number_labels_or_follow_their_order():
    assert read(data(), classes=("a", "b", "c")).labels.tolist() == [0, 1, 0, 1, 0, 1]
    found = read(data(y=torch.tensor([3, 9, 3, 9, 3, 9])), classes=("a", "b"))
    assert (found.classes, found.labels.tolist()) == (("a", "b"), [0, 1, 0, 1, 0, 1])
    assert read(arrays(classes=np.array(["x", "y"]))).classes == ("x", "y")


def test_unknown_labels_stay_unknown():
    found = read(arrays(labels=np.array([5, 8, 5, 8, -1, -1]), test=np.array([], dtype=int)))
    assert found.labels.tolist() == [0, 1, 0, 1, -1, -1]
    assert read(arrays(labels=["b", "a", "b", "a", "b", "a"])).labels.tolist() == [1, 0, 1, 0, 1, 0]
    text = read(arrays(labels=["b", "a", "b", "a", "", ""], test=[]))
    assert (text.classes, text.labels.tolist()) == (("a", "b"), [1, 0, 1, 0, -1, -1])


def test_weights_are_kept_and_the_larger_of_both_directions_counts():
    edges = torch.tensor([[0, 1, 1], [1, 0, 2]])
    found = read(data(edge_index=edges, edge_weight=torch.tensor([1.0, 3.0, 2.0])))
    where, weights = found.adjacency.edges()
    assert where.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert weights.tolist() == [3.0, 3.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_mask": torch.ones(6, 10).bool()}, r"the train_mask of 'mine' has 10 splits; choose one"),
        ({"train_mask": torch.arange(3)}, "train_mask of 'mine' is int64; give a mask of booleans"),
        ({"test_mask": torch.ones(4).bool()}, "the test_mask of 'mine' has 4 entries for 6 nodes"),
        ({"test_mask": MASK}, "a node of 'mine' stands twice in the splits, once of them in test"),
        (
            {"y": torch.eye(6).long()},
            r"'mine' has several labels per sample, of shape \(6, 6\); give one label",
        ),
        ({"y": torch.rand(6) / 2 + 0.1}, "'mine' has the label 0.*; labels must be whole numbers or names"),
        ({"y": torch.zeros(6).long()}, "'mine' has 1 class; a classifier needs at least two"),
        ({"y": torch.tensor([0, 1, 0, 1, -2, -1])}, "'mine' has the label -2; number the classes from 0"),
        ({"y": None}, "'mine' has no y; give x, edge_index, y"),
        ({"y": torch.tensor([0, 1])}, "'mine' has 6 nodes with 2 labels"),
        ({"edge_index": torch.rand(2, 3)}, "the edge_index of 'mine' holds float32; give whole numbers"),
        ({"edge_index": torch.tensor([[0], [6]])}, "edge 0 of 'mine' joins nodes 0 and 6, but nodes"),
        ({"x": torch.ones(6, 2) * 1j}, "the x of 'mine' holds complex64; give real numbers"),
        ({"x": torch.full((6, 2), float("nan"))}, "the features of node 0 of 'mine' are not finite"),
        (
            {"x": torch.zeros(0, 2), "train_mask": None, "val_mask": None, "test_mask": None},
            "'mine' has features of shape .*; give at least one node and one feature",
        ),
    ],
)
def test_data_that_make_no_graph_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        read(data(**changes))


@pytest.mark.parametrize(
    ("train", "changes", "sentence"),
    [
        (data(), {"test": data()}, "the test nodes belong to the graph; mark them with test_mask"),
        (torch.ones(3), {}, r"'mine' is Tensor; give a torch_geometric\.data\.Data with x, edge_index and y"),
        ({"features": [[1.0]]}, {}, "'mine' has no edges; give features, edges, labels"),
        (arrays(lables=[1]), {}, "unknown array of 'mine' 'lables': did you mean 'labels'"),
        (
            data(y=torch.tensor([0, 5] * 3)),
            {"classes": ("a", "b", "c")},
            "run from 0 to 5, but there are 3 classes; name",
        ),
        (data(), {"classes": ("a", "a")}, "'mine' has two classes called 'a'"),
        (arrays(labels=["a", "b"] * 3), {"classes": ("a", "c")}, "has the label 'b', which is none of its"),
        (
            arrays(train=[0, 1, 1]),
            {},
            "stands twice in train, whose 3 entries were read as numbers of nodes; a mask",
        ),
        (arrays(features="text"), {}, "the features of 'mine' is no array of numbers"),
    ],
)
def test_what_is_no_graph_is_refused(train, changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        read(train, **changes)


@given(st.lists(st.integers(-1, 30), min_size=2, max_size=20))
def test_numbering_labels_loses_nothing(labels):
    if len(set(labels) - {-1}) < 2:
        return
    classes, numbers = node_classes(torch.tensor(labels), "some")
    back = [-1 if number < 0 else int(classes[number]) for number in numbers.tolist()]
    assert back == labels
    assert list(map(int, classes)) == sorted(map(int, classes))
    texts = ["" if label < 0 else str(label) for label in labels]
    named, again = node_classes(texts, "some")
    assert named == classes
    assert torch.equal(again, numbers)


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "bool"])
def test_masks_of_zeros_and_ones_are_masks(kind):
    masks = {"train": MASK, "validation": MASK.roll(2), "test": MASK.roll(4)}
    same(read(arrays()), read(arrays(**{name: mask.numpy().astype(kind) for name, mask in masks.items()})))
    same(
        read(arrays()),
        read(data(**{f"{name}_mask": masks[key].numpy().astype(kind) for name, key in SHORT.items()})),
    )


SHORT = {"train": "train", "val": "validation", "test": "test"}


def test_weights_may_be_a_column():
    weights = np.arange(1.0, 7.0)
    assert torch.equal(read(arrays(weights=weights[:, None])).weights, read(arrays(weights=weights)).weights)
    with pytest.raises(
        UsageError, match=r"6 edges and 6 weights of shape \(6, 2\); give one weight for each"
    ):
        read(arrays(weights=np.ones((6, 2))))


def test_labels_of_pandas_are_labels():
    words = np.array(["x", "y"] * 3, dtype=object)
    assert read(arrays(labels=words)).classes == ("x", "y")
    assert read(arrays(labels=words.tolist())).classes == ("x", "y")


# Files of arrays.


def test_a_file_of_arrays_is_the_mapping_that_it_holds(tmp_path):
    np.savez(tmp_path / "ring.npz", **arrays(weights=np.ones(6), targets=np.eye(6)))
    found = graph_at(tmp_path / "ring.npz", "label")
    same(found, read(arrays()))
    assert found.name == "ring"
    assert found.weights.tolist() == [1.0] * 6


def test_a_set_that_was_exported_is_data_too(tmp_path):
    np.savez_compressed(
        tmp_path / "data.npz",
        features=np.random.rand(6, 2).astype(np.float16),
        edges=np.concatenate([EDGES, EDGES[::-1]], axis=1),
        weights=np.full(12, 0.25, dtype=np.float16),
        labels=np.array([0, 0, 0, 1, 1, 1]),
        classes=np.array(["a", "b"]),
    )
    task = attar.task("graph", data=tmp_path / "data.npz", train=1, validation=1, test=1)
    assert task.classes == ("a", "b")
    assert task.train.graph.adjacency.edges()[1].tolist() == [0.25] * 12


def test_pickled_arrays_are_refused_and_stay_as_they_are(tmp_path):
    np.savez(tmp_path / "ring.npz", **arrays(classes=np.array(["a", None], dtype=object)))
    with pytest.raises(UsageError, match=r"ring\.npz is no NumPy archive of plain arrays"):
        graph_at(tmp_path / "ring.npz", "label")


def test_a_short_file_of_arrays_is_refused(tmp_path):
    path = tmp_path / "ring.npz"
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UsageError, match=r"ring\.npz is no NumPy archive of plain arrays"):
        graph_at(path, "label")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "graph.gml").write_text("graph []")
    with pytest.raises(UsageError, match=r"graph\.gml' is a file; give a folder with nodes\.csv"):
        graph_at(tmp_path / "graph.gml", "label")


def test_data_that_are_nowhere_are_refused_with_what_is_known(tmp_path):
    request = LoadRequest(data="coar", root=Path(tmp_path), download=False, options=GraphOptions())
    with pytest.raises(UsageError, match=r"did you mean 'cora'\?.*or give the path of a folder"):
        read_graph(request)


def test_a_mapping_needs_no_name_for_what_it_calls_its_arrays():
    assert graph_of_arrays(arrays(weights=None), "mine").weights is None
