"""Graphs in tables: CSV and Parquet alike, and one sentence for each way to be wrong."""

from __future__ import annotations

import csv
import sys

import attar
import pyarrow as pa
import pytest
import torch
from attar.errors import UsageError
from attar_graph.tables import read_tables
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

NODES = [
    {"id": "ann", "label": "red", "split": "train", "age": 1, "height": 0.5},
    {"id": "bob", "label": "blue", "split": "train", "age": 2, "height": 1.5},
    {"id": "07", "label": "red", "split": "validation", "age": 3, "height": 2.5},
    {"id": "7", "label": "blue", "split": "test", "age": 4, "height": 3.5},
    {"id": "eve", "label": "", "split": "", "age": 5, "height": 4.5},
]
EDGES = [{"source": "ann", "target": "bob"}, {"source": "07", "target": "7"}, {"source": "7", "target": "07"}]


def write_csv(path, rows, names=None):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names or rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path, rows, names=None):
    parquet.write_table(pa.Table.from_pylist(rows), path)


WRITERS = {"csv": write_csv, "parquet": write_parquet}


@pytest.fixture
def folder(tmp_path):
    def make(nodes=NODES, edges=EDGES, kind="csv", edge_kind=None):
        for old in tmp_path.glob("*.*"):
            old.unlink()
        WRITERS[kind](tmp_path / f"nodes.{kind}", nodes)
        WRITERS[edge_kind or kind](tmp_path / f"edges.{edge_kind or kind}", edges, ["source", "target"])
        return tmp_path

    return make


def without(rows, *names):
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.mark.parametrize(("kind", "edge_kind"), [("csv", "csv"), ("parquet", "parquet"), ("parquet", "csv")])
def test_both_kinds_of_tables_make_the_same_graph(folder, kind, edge_kind):
    found = read_tables(folder(kind=kind, edge_kind=edge_kind), "label")
    assert found.features.tolist() == [[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5], [5, 4.5]]
    assert found.edges.tolist() == [[0, 2, 3], [1, 3, 2]]
    assert (found.classes, found.labels.tolist()) == (("blue", "red"), [1, 0, 1, 0, -1])
    splits = {name: nodes.tolist() for name, nodes in found.splits.items()}
    assert splits == {"train": [0, 1], "validation": [2], "test": [3]}


def test_a_folder_becomes_a_task_called_after_it(folder):
    task = attar.task("graph", data=folder(), scaling="none")
    assert task.name == folder().name
    # Edges are taken in both directions, once each.
    assert task.train.graph.adjacency.edges()[0].tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]


def test_without_ids_rows_count_from_0(folder):
    nodes = without(NODES, "id", "split")
    found = read_tables(folder(nodes, [{"source": 0, "target": 4}, {"source": 3, "target": 3}]), "label")
    assert found.edges.tolist() == [[0, 3], [4, 3]]
    assert found.splits is None
    assert len(found.adjacency.edges()[1]) == 2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ids_labels_and_weights_may_be_numbers(folder, kind):
    nodes = [
        {"id": 30, "label": 10.0, "x": True if kind == "parquet" else 1},
        {"id": 10, "label": 9.0, "x": 0},
        {"id": 20, "label": None, "x": 0},
    ]
    nodes = [{**row, "x": bool(row["x"]) if kind == "parquet" else row["x"]} for row in nodes]
    found = read_tables(folder(nodes, [{"source": 30, "target": 20}], kind), "label")
    assert found.edges.tolist() == [[0], [2]]
    assert found.features.tolist() == [[1], [0], [0]]
    # 9.0 as CSV has it is 9 as Arrow writes it.
    assert [float(name) for name in found.classes] == [9, 10]
    assert found.labels.tolist() == [1, 0, -1]


def test_weights_are_read(folder, tmp_path):
    path = folder()
    write_csv(path / "edges.csv", [{"source": "ann", "target": "bob", "weight": "0.25"}])
    assert read_tables(path, "label").weights.tolist() == [0.25]
    write_csv(path / "edges.csv", [{"source": "ann", "target": "bob", "weight": ""}])
    with pytest.raises(UsageError, match=r"a weight of an edge of .* is not a number above 0"):
        read_tables(path, "label")


def test_a_graph_may_have_no_edges(folder):
    path = folder()
    (path / "edges.csv").write_text("source,target\n")
    assert read_tables(path, "label").edges.shape == (2, 0)


def test_the_column_of_classes_may_be_called_otherwise(folder):
    nodes = [{"topic" if name == "label" else name: value for name, value in row.items()} for row in NODES]
    assert attar.task("graph", data=folder(nodes), label_column="topic").classes == ("blue", "red")
    with pytest.raises(UsageError, match=r"unknown column of nodes\.csv 'label': .*data\.label_column=NAME"):
        read_tables(folder(nodes), "label")


def test_a_late_fraction_is_no_surprise(folder):
    # A reader that guesses types from the first rows takes such a column for whole numbers.
    nodes = [{"label": row % 2, "x": 1} for row in range(200_000)]
    nodes[-1]["x"] = 0.5
    found = read_tables(folder(nodes, [{"source": 0, "target": 199_999}]), "label")
    assert found.features[-1].tolist() == [0.5]


def change(row, **values):
    return [{**each, **values} if place == row else each for place, each in enumerate(NODES)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("nodes", "edges", "sentence"),
    [
        (NODES, [{"source": "ann", "target": "zoe"}], "has the target 'zoe', which is not an id of nodes"),
        (NODES, [{"source": "", "target": "bob"}], "row 0 of edges.* has the source '', which is not an id"),
        (
            without(NODES, "id"),
            [{"source": "5", "target": "0"}],
            "has the source '5', which is not a number of a row, counted from 0, of nodes",
        ),
        (NODES, [{"source": "ann", "kind": "x"}], "edges.* has no column 'target'; name its columns"),
        (NODES, [{**EDGES[0], "type": "1"}], "edges.* has the column 'type', but edges have source, target"),
        (change(1, id="ann"), EDGES, "nodes.* has the id 'ann' in 2 rows; give each node one row"),
        (change(2, id=""), EDGES, "row 2 of nodes.* has no id; give each node one, or leave the column out"),
        (change(3, split="tset"), EDGES, "unknown split in row 3 of nodes.* 'tset': did you mean 'test'"),
        (change(3, split="val"), EDGES, "unknown split in row 3 of nodes.* 'val': .*, or leave it empty"),
        (
            change(1, height=float("nan")),
            EDGES,
            "the features of node 1 of .* are not finite; fill or remove",
        ),
        (change(1, height=None), EDGES, "the features of node 1 of .* are not finite; fill or remove"),
        (change(4, split="test"), EDGES, "a test node of .* has no label; leave it out of the splits"),
        (
            without(NODES, "age", "height"),
            EDGES,
            r"features of shape \(5, 0\); give at least one node and one",
        ),
        ([{**row, "label": "red"} for row in NODES], EDGES, "has 1 class; a classifier needs at least two"),
        ([{"": 0, **row} for row in NODES], EDGES, "nodes.* has a column without a name; name it, or write"),
        (
            [{**row, "name": "x" if place else "5"} for place, row in enumerate(NODES)],
            EDGES,
            "column 'name' of nodes.* holds '(x|5)' in row (0|1), which is no number; leave the column out",
        ),
    ],
)
def test_tables_that_make_no_graph_are_refused(folder, kind, nodes, edges, sentence):
    path = folder(nodes, EDGES, kind)
    WRITERS[kind](path / f"edges.{kind}", edges)
    with pytest.raises(UsageError, match=sentence):
        read_tables(path, "label")


def test_a_table_of_no_nodes_is_refused(folder):
    path = folder()
    (path / "nodes.csv").write_text("id,label,x\n")
    with pytest.raises(UsageError, match=r"nodes\.csv of .* has no rows; give at least one node of each"):
        read_tables(path, "label")


def test_two_tables_for_one_thing_are_refused(folder):
    path = folder()
    write_parquet(path / "nodes.parquet", NODES)
    with pytest.raises(UsageError, match=r"has both nodes\.csv and nodes\.parquet; keep one of them"):
        read_tables(path, "label")


@pytest.mark.parametrize("stem", ["nodes", "edges"])
def test_a_missing_table_is_named(folder, stem):
    path = folder()
    (path / f"{stem}.csv").unlink()
    with pytest.raises(UsageError, match=rf"has no {stem}\.csv and no {stem}\.parquet; put the table"):
        read_tables(path, "label")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"id,label,x\n1,a\n",
        b"id,label,x\n\xff\xfe,a,1\n",
        b"id,label,x\n1,a,1,5\n",
        b"id,label,x,x\n1,a,1,5\n",
        b"id,label,x\n1,a,0x1p\n",
    ],
)
def test_a_damaged_csv_file_is_one_sentence(folder, content):
    path = folder()
    (path / "nodes.csv").write_bytes(content)
    with pytest.raises(UsageError, match=r"nodes\.csv") as caught:
        read_tables(path, "label")
    assert "\n" not in str(caught.value)


def test_a_damaged_parquet_file_is_one_sentence(folder):
    path = folder(kind="parquet")
    (path / "nodes.parquet").write_bytes((path / "nodes.parquet").read_bytes()[:-20])
    with pytest.raises(UsageError, match=r"nodes\.parquet' cannot be read as Parquet; restore it"):
        read_tables(path, "label")


def test_columns_of_lists_are_refused(folder):
    nodes = [{**row, "vector": [1.0, 2.0]} for row in NODES]
    with pytest.raises(UsageError, match=r"column 'vector' of nodes\.parquet holds .* which is no number"):
        read_tables(folder(nodes, kind="parquet"), "label")
    nodes = [{**row, "id": [place]} for place, row in enumerate(NODES)]
    with pytest.raises(UsageError, match=r"column 'id' of nodes\.parquet holds list<.*>; give text or"):
        read_tables(folder(nodes, kind="parquet"), "label")


def test_without_pyarrow_it_is_said_what_to_install(folder, monkeypatch):
    path = folder()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'attar-graph\[tables\]'"):
        read_tables(path, "label")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)


@given(st.lists(TEXT, min_size=3, max_size=6, unique=True), st.data())
def test_any_text_is_an_id(tmp_path_factory, ids, data):
    folder = tmp_path_factory.mktemp("ids")
    links = data.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), min_size=1, max_size=5))
    edges = [{"source": one, "target": other} for one, other in links]
    wanted = [[ids.index(end) for end in ends] for ends in zip(*links, strict=True)]
    nodes = [{"id": name, "label": place % 2, "x": 1.0} for place, name in enumerate(ids)]
    for kind, write in WRITERS.items():
        write(folder / f"nodes.{kind}", nodes)
        write(folder / f"edges.{kind}", edges)
        found = read_tables(folder, "label")
        assert found.edges.tolist() == wanted
        assert torch.equal(found.labels, torch.arange(len(ids)) % 2)
        (folder / f"nodes.{kind}").unlink()
        (folder / f"edges.{kind}").unlink()
