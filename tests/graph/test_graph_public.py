"""Public graphs: their raw files, where these are looked for, and how they are fetched."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sys
import zipfile
from types import SimpleNamespace

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar_graph import public
from attar_graph.modality import GRAPH
from attar_graph.public import PUBLIC, public_graph

ENDS = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
STARTS = np.arange(7)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".json":
        path.write_text(json.dumps(content))
    elif path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            np.savetxt(file, content, delimiter=",", fmt="%d" if content.dtype.kind == "i" else "%.3f")
    else:
        path.write_bytes(content)


def benchmark(file, **changes):
    arrays = {
        "adj_data": np.ones(6, dtype=np.float32),
        "adj_indices": ENDS[1].astype(np.int32),
        "adj_indptr": STARTS.astype(np.int32),
        "adj_shape": np.array([6, 6]),
        "attr_data": np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0], dtype=np.float32),
        "attr_indices": np.array([0, 1, 2, 0, 1, 2], dtype=np.int32),
        "attr_indptr": STARTS.astype(np.int32),
        "attr_shape": np.array([6, 3]),
        "labels": LABELS,
        # The real files have names as pickled objects.
        "class_names": np.array(["a", "b"], dtype=object),
    }
    return {f"raw/{file}.npz": {**arrays, **changes}}


def flickr(**changes):
    files = {
        "raw/adj_full.npz": {
            "data": np.ones(6),
            "indices": ENDS[1].astype(np.int32),
            "indptr": STARTS.astype(np.int32),
            "shape": np.array([6, 6]),
            "format": np.array(b"csr"),
        },
        "raw/feats.npy": np.arange(12.0).reshape(6, 2),
        "raw/class_map.json": {str(node): int(LABELS[node]) for node in range(6)},
        "raw/role.json": {"tr": [0, 1], "va": [2, 3], "te": [4, 5]},
    }
    return {**files, **changes}


def reddit(**changes):
    data = {
        "feature": np.arange(12.0).reshape(6, 2),
        "label": LABELS,
        "node_ids": np.arange(6),
        "node_types": np.array([1, 1, 2, 2, 3, 3]),
    }
    graph = {"row": ENDS[0], "col": ENDS[1], "data": np.ones(6), "shape": np.array([6, 6])}
    return {"raw/reddit_data.npz": data, "raw/reddit_graph.npz": graph, **changes}


def arxiv(**changes):
    files = {
        "raw/edge.csv.gz": ENDS.T,
        "raw/node-feat.csv.gz": np.arange(12.0).reshape(6, 2),
        "raw/node-label.csv.gz": LABELS[:, None],
        "split/time/train.csv.gz": np.array([[0], [1]]),
        "split/time/valid.csv.gz": np.array([[2], [3]]),
        "split/time/test.csv.gz": np.array([[4], [5]]),
    }
    return {**files, **changes}


def pubmed():
    parts = {
        "y": torch.eye(3).numpy(),
        "x": torch.arange(6.0).view(3, 2).numpy(),
        "allx": torch.arange(6.0).view(3, 2).numpy(),
        "ally": torch.eye(3).numpy(),
        "tx": torch.tensor([[50.0, 5.0], [30.0, 3.0]]).numpy(),
        "ty": torch.eye(3)[:2].numpy(),
        "graph": {0: [1], 1: [0, 2], 2: [1], 3: [4], 4: [3]},
    }
    files = {f"raw/ind.pubmed.{part}": pickle.dumps(value, protocol=3) for part, value in parts.items()}
    return {**files, "raw/ind.pubmed.test.index": b"4\n3\n"}


FILES = {
    "pubmed": pubmed(),
    "amazon-computers": benchmark("amazon_electronics_computers"),
    "amazon-photo": benchmark("amazon_electronics_photo"),
    "coauthor-cs": benchmark("ms_academic_cs"),
    "coauthor-physics": benchmark("ms_academic_phy"),
    "flickr": flickr(),
    "reddit": reddit(),
    "ogbn-arxiv": arxiv(),
}


@pytest.fixture
def keep(tmp_path):
    """Writes files as they are kept, and returns the root."""

    def write(place, files):
        for name, content in files.items():
            save(tmp_path / place / name, content)
        return tmp_path

    return write


@pytest.mark.parametrize("name", FILES)
def test_raw_files_are_read(keep, name):
    found = public_graph(name, keep(PUBLIC[name].places[0], FILES[name]), False)
    if name == "pubmed":
        return
    assert found.name == name
    assert found.edges.tolist() == ENDS.tolist()
    assert (found.classes, found.labels.tolist()) == (("0", "1"), LABELS.tolist())
    if name.startswith(("amazon", "coauthor")):
        assert found.features.tolist() == torch.eye(3).repeat(2, 1).tolist()
        assert found.splits is None
    else:
        assert found.features.tolist() == np.arange(12.0).reshape(6, 2).tolist()
        splits = {split: nodes.tolist() for split, nodes in found.splits.items()}
        assert splits == {"train": [0, 1], "validation": [2, 3], "test": [4, 5]}


@pytest.mark.parametrize("name", FILES)
def test_files_are_looked_for_in_every_usual_place(keep, name):
    for place in PUBLIC[name].places[1:]:
        root = keep(f"{place}-root/{place}", FILES[name]) / f"{place}-root"
        assert public_graph(name, root, False).name == name


def test_layouts_are_those_of_pytorch_geometric():
    assert PUBLIC["amazon-computers"].places[:2] == ("Amazon/Computers", "Amazon/computers")
    assert PUBLIC["coauthor-cs"].places[0] == "Coauthor/CS"
    assert PUBLIC["cora"].places == ("Planetoid/Cora", "Cora")


def test_a_public_graph_becomes_a_task_with_a_drawn_split(keep):
    root = keep("Amazon/Photo", FILES["amazon-photo"])
    task = attar.task("graph", data="amazon-photo", root=root, train=1, validation=1, test=1)
    assert [task.size(split) for split in ("train", "validation", "test")] == [2, 1, 1]
    assert set(GRAPH.datasets()) == {*PUBLIC, "karate", "papers"}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_where_it_was_looked_for(keep, name):
    with pytest.raises(UsageError, match=r"is missing, looked for in .*fetch it with --download"):
        public_graph(name, keep("nothing", {}), False)
    first, *others = FILES[name] if name != "pubmed" else PUBLIC[name].files
    root = keep(PUBLIC[name].places[0], {file: FILES[name][file] for file in others})
    with pytest.raises(UsageError, match=f"^'{first}' of {name} is missing, looked for in "):
        public_graph(name, root, False)


def broken_benchmark(**changes):
    return "amazon-photo", benchmark("amazon_electronics_photo", **changes)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        broken_benchmark(labels=np.array([0, 1], dtype=object)),
        broken_benchmark(labels=LABELS.astype(float)),
        broken_benchmark(adj_indices=np.array([1, 2, 3, 4, 5, 6])),
        broken_benchmark(adj_indptr=STARTS[::-1]),
        broken_benchmark(adj_indptr=STARTS[:-1]),
        broken_benchmark(adj_indptr=STARTS.astype(float)),
        broken_benchmark(attr_data=np.ones(3)),
        broken_benchmark(attr_shape=np.array([6])),
        broken_benchmark(attr_shape=np.array([6, 2**60])),
        broken_benchmark(adj_shape=np.array([-6, 6])),
        ("flickr", flickr(**{"raw/feats.npy": np.zeros(6)})),
        ("flickr", flickr(**{"raw/feats.npy": np.array([[None]], dtype=object)})),
        ("flickr", flickr(**{"raw/class_map.json": {"9": 1}})),
        ("flickr", flickr(**{"raw/class_map.json": {"-1": 1}})),
        ("flickr", flickr(**{"raw/class_map.json": {"1": [0, 1]}})),
        ("flickr", flickr(**{"raw/class_map.json": []})),
        ("flickr", flickr(**{"raw/role.json": {"tr": [0]}})),
        ("flickr", flickr(**{"raw/role.json": {"tr": [0.5], "va": [], "te": []}})),
        ("reddit", reddit(**{"raw/reddit_graph.npz": {"row": ENDS[0], "col": ENDS[1][:3]}})),
        ("reddit", reddit(**{"raw/reddit_graph.npz": {"row": ENDS[0]}})),
        ("ogbn-arxiv", arxiv(**{"raw/edge.csv.gz": ENDS.T + 0.5})),
        ("ogbn-arxiv", arxiv(**{"raw/node-label.csv.gz": np.zeros((0, 1), dtype=int)})),
    ],
)
def test_damaged_files_are_one_sentence(keep, name, files):
    with pytest.raises(UsageError, match="is damaged or not what it should be; delete it, and fetch it"):
        public_graph(name, keep(PUBLIC[name].places[0], files), False)


@pytest.mark.parametrize("name", [name for name in FILES if name != "pubmed"])
def test_short_files_are_one_sentence(keep, name):
    root = keep(PUBLIC[name].places[0], FILES[name])
    for file in PUBLIC[name].files:
        path = root / PUBLIC[name].places[0] / file
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UsageError, match=f"^{path.name} is damaged or not what it should be"):
            public_graph(name, root, False)
        path.write_bytes(whole)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("it ran",))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        broken_benchmark(labels=np.array([Evil()], dtype=object)),
        ("flickr", flickr(**{"raw/feats.npy": np.array([Evil()], dtype=object)})),
        ("reddit", reddit(**{"raw/reddit_graph.npz": {"row": np.array([Evil()], dtype=object)}})),
    ],
)
def test_arrays_that_would_run_code_are_refused_and_do_not_run(keep, monkeypatch, tmp_path, name, files):
    root = keep(PUBLIC[name].places[0], files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is damaged or not what it should be"):
        public_graph(name, root, False)
    assert not (tmp_path / "it ran").exists()


# Downloads. Nothing here reaches the network: what would is replaced.

KINDS = {
    "pubmed": "Planetoid",
    "amazon-computers": "Amazon",
    "amazon-photo": "Amazon",
    "coauthor-cs": "Coauthor",
    "coauthor-physics": "Coauthor",
    "flickr": "Flickr",
    "reddit": "Reddit",
}


@pytest.fixture
def serve(monkeypatch):
    """Lets PyTorch Geometric's classes 'download' files, or fail to."""

    def replace(name, files, error=None):
        from pathlib import Path

        def download(self):
            if error is not None:
                raise error
            for file, content in files.items():
                save(Path(self.raw_dir) / Path(file).name, content)

        monkeypatch.setattr(getattr(public._datasets(), KINDS[name]), "download", download)

    return replace


def listing(folder):
    return sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", KINDS)
def test_downloads_leave_raw_files_alone_in_their_places(tmp_path, serve, name):
    serve(name, FILES[name])
    root = tmp_path / "new"
    found = public_graph(name, root, True)
    place = PUBLIC[name].places[0]
    assert listing(root) == sorted(f"{place}/{file}" for file in PUBLIC[name].files)
    assert torch.equal(public_graph(name, root, False).features, found.features)


def test_nothing_is_downloaded_that_is_there(keep, serve):
    serve("flickr", {}, OSError("no network"))
    assert public_graph("flickr", keep("Flickr", FILES["flickr"]), True).name == "flickr"


def test_what_is_missing_is_added_where_the_rest_is(keep, serve):
    serve("flickr", FILES["flickr"])
    root = keep("flickr", {"raw/role.json": FILES["flickr"]["raw/role.json"]})
    public_graph("flickr", root, True)
    assert listing(root) == sorted(f"flickr/{file}" for file in FILES["flickr"])


@pytest.mark.parametrize("error", [OSError("unreachable"), RuntimeError("two\nlines"), KeyError("x")])
def test_a_failed_download_is_one_sentence_and_leaves_nothing(tmp_path, serve, error):
    serve("reddit", {}, error)
    with pytest.raises(UsageError, match=r"reddit cannot be downloaded \(.*\); check the network") as caught:
        public_graph("reddit", tmp_path, True)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == []


def test_a_download_that_is_something_else_is_not_kept(tmp_path, serve):
    page = {**FILES["flickr"], "raw/feats.npy": None}
    serve("flickr", {name: content for name, content in page.items() if content is not None})
    with pytest.raises(UsageError, match=r"flickr cannot be used, so nothing is kept: .*feats\.npy"):
        public_graph("flickr", tmp_path, True)
    assert listing(tmp_path) == []


def test_a_planetoid_file_that_would_run_code_is_not_kept(tmp_path, serve, monkeypatch):
    evil = pickle.dumps(Evil())
    monkeypatch.chdir(tmp_path)
    serve("pubmed", {**FILES["pubmed"], "raw/ind.pubmed.graph": evil})
    with pytest.raises(UsageError, match=r"so nothing is kept: ind\.pubmed\.graph is damaged or no file of"):
        public_graph("pubmed", tmp_path, True)
    assert list(tmp_path.iterdir()) == []


def test_ogb_downloads_and_we_read(tmp_path, monkeypatch, capsys):
    def download_url(url, folder):
        print("Downloading")
        packed = tmp_path / "made"
        for name, content in FILES["ogbn-arxiv"].items():
            save(packed / "arxiv" / name, content)
        with zipfile.ZipFile(f"{folder}/arxiv.zip", "w") as archive:
            for file in listing(packed):
                archive.write(packed / file, file)
        return f"{folder}/arxiv.zip"

    def extract_zip(path, folder):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)

    stand_in = SimpleNamespace(download_url=download_url, extract_zip=extract_zip)
    monkeypatch.setitem(sys.modules, "ogb", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "ogb.utils", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "ogb.utils.url", stand_in)
    root = tmp_path / "root"
    assert public_graph("ogbn-arxiv", root, True).labels.tolist() == LABELS.tolist()
    assert listing(root) == sorted(f"ogbn_arxiv/{file}" for file in FILES["ogbn-arxiv"])
    # Standard output belongs to results.
    assert capsys.readouterr().out == ""


def test_without_ogb_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ogb", None)
    with pytest.raises(UsageError, match=r"needs ogb: pip install 'attar-graph\[ogb\]'"):
        public_graph("ogbn-arxiv", tmp_path, True)
    assert listing(tmp_path) == []


def test_the_generated_papers_are_always_the_same_and_told_by_words_and_citations_together():
    from attar_graph.papers import papers

    one, other = papers(), papers()
    assert one.features.equal(other.features)
    assert one.edges.equal(other.edges)
    assert torch.bincount(one.labels).tolist() == [200] * 5
    within = (one.labels[one.edges[0]] == one.labels[one.edges[1]]).float().mean()
    assert 0.8 < within < 0.88
