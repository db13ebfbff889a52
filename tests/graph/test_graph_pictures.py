"""Pictures of graphs, and what is said of the graph that a set stands for."""

from __future__ import annotations

import io
from dataclasses import replace

import attar
import pytest
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.evolution import frame_paths
from attar.plugins import DataInfo, Demonstrates, Described
from attar.registry import Registry
from attar_graph.adjacency import Dense, Sparse
from attar_graph.facts import GraphFacts, degree_bins
from attar_graph.graph import Graph, Nodes
from attar_graph.modality import GRAPH
from attar_graph.render import graph_picture
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

FACTS = {
    "nodes": 34,
    "edges": 78,
    "weight": 78.0,
    "degrees": [0, 0, 1, 17, 11, 3, 2],
    "known": 10,
    "known_weight": 10.0,
    "alike": 6.0,
}


def graph(weights, labels, *, sparse=False):
    """Return all nodes of a graph with a symmetric matrix of weights."""
    n = len(labels)
    adjacency = Dense(weights)
    if sparse:
        rows, columns = weights.nonzero().T
        adjacency = Sparse.of(rows, columns, weights[rows, columns], n)
    return Batch(Nodes(Graph(torch.ones(n, 2), adjacency), torch.arange(n)), torch.as_tensor(labels))


def random_weights(n, share=0.5):
    gen = torch.Generator().manual_seed(0)
    weights = torch.rand(n, n, generator=gen) * (torch.rand(n, n, generator=gen) < share)
    return torch.triu(weights, 1) + torch.triu(weights, 1).T


def info(classes=("a", "b"), about=None):
    return DataInfo(classes=classes, axes=("feature",), preprocessing={}, about=about or {})


@pytest.fixture
def draw(monkeypatch):
    """Draws a graph and returns the figure with its size in pixels."""

    def call(batch, known):
        figures = []
        save = Figure.savefig
        with monkeypatch.context() as patched:
            patched.setattr(
                Figure, "savefig", lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k))
            )
            png = graph_picture(batch, known)
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
            return figures[0], picture.size

    return call


def texts(figure):
    """Return what can be read in a figure: not the ticks of axes that are not shown, or out of view."""
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            inside = [min(low, high) <= tick.get_loc() <= max(low, high) for tick in axis.get_major_ticks()]
            for tick, there in zip(axis.get_major_ticks(), inside, strict=True):
                if not (axes.axison and there):
                    hidden |= {tick.label1, tick.label2}
    found = (text for text in figure.findobj(Text) if text.get_visible() and text not in hidden)
    return [text for text in found if text.get_text().strip()]


def words(figure):
    return [text.get_text().strip() for text in texts(figure)]


# Facts.


def test_a_path_in_numbers():
    weights = torch.zeros(4, 4)
    for one, other, weight in ((0, 1, 1.0), (1, 2, 2.5), (0, 2, 0.25)):
        weights[one, other] = weights[other, one] = weight
    facts = GraphFacts.of(Dense(weights), torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))
    # Degrees 1.25, 3.5, 2.75 and 0.
    assert facts.degrees == (1, 0, 1, 2)
    assert (facts.nodes, facts.edges, facts.weight, facts.mean_degree) == (4, 3, 3.75, 1.875)
    assert (facts.known, facts.known_weight, facts.alike) == (3, 3.75, 1.0)
    assert facts.homophily == pytest.approx(1 / 3.75)


def test_edges_of_unknown_nodes_are_no_homophily():
    facts = GraphFacts.of(Dense(random_weights(5, 1.0)), torch.tensor([0]), torch.tensor([1]))
    assert (facts.known, facts.alike, facts.homophily) == (0, 0.0, None)


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_degree_lies_in_its_bin(degree):
    weights = torch.tensor([[0.0, degree], [degree, 0.0]])
    counts = GraphFacts.of(Dense(weights), torch.tensor([0]), torch.tensor([0])).degrees
    assert counts[-1] == 2
    exact = float(weights[0, 1])
    assert 2.0 ** (len(counts) - 3) <= exact if exact >= 1 else len(counts) == 2
    assert exact < 2.0 ** (len(counts) - 2)


def test_bins_are_named_by_where_they_begin():
    assert degree_bins(6) == ["none", "<1", "1", "2", "4", "8"]
    assert degree_bins(1) == ["none"]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_both_forms_of_an_adjacency_say_the_same(n):
    one, other = (graph(random_weights(n), [0] * n, sparse=sparse).inputs.graph for sparse in (False, True))
    index, labels = torch.arange(n), torch.arange(n) % 2
    assert GraphFacts.of(one.adjacency, index, labels) == GraphFacts.of(other.adjacency, index, labels)


# What a task says of its graph.


def test_the_ring_is_described(ring):
    about = ring().about
    # Nodes 0, 1, 4 and 5 are for training: the edges 0-1, 4-5 and 0-4 join them.
    assert about == {
        "nodes": 8,
        "edges": 10,
        "weight": 10.0,
        "degrees": [0, 0, 0, 8],
        "known": 3,
        "known_weight": 3.0,
        "alike": 2.0,
    }
    assert isinstance(ring(), Described)


def test_labels_of_the_test_are_never_told(ring):
    task = ring()
    other = replace(task, test=replace(task.test, labels=1 - task.test.labels))
    held = replace(task, validation=replace(task.validation, labels=1 - task.validation.labels))
    assert task.about == other.about == held.about


def test_inductively_only_what_is_trained_on_is_described(ring):
    about = ring({"inductive": True}).about
    assert (about["nodes"], about["edges"]) == (4, 3)


def test_an_artifact_keeps_what_its_task_says(tmp_path):
    task = attar.task("graph", data="karate")
    made = attar.distill(task, method="random", ipc=1)
    loaded = attar.load(made.save(tmp_path / "set"))
    assert loaded.info.about == loaded.manifest.data.about == task.about == FACTS
    assert GRAPH.render(loaded.decode(), loaded.info) == made.preview


def test_what_is_said_of_the_original_is_checked():
    batch = graph(random_weights(3), [0, 1, 1])
    with pytest.raises(UsageError, match=r"about\.nodes"):
        graph_picture(batch, info(about={**FACTS, "nodes": -1}))
    with pytest.raises(UsageError, match=r"about\.colour"):
        graph_picture(batch, info(about={**FACTS, "colour": "red"}))


# Pictures.


def test_a_set_stands_beside_its_original(draw):
    figure, size = draw(graph(random_weights(6, 1.0), [0, 0, 0, 1, 1, 1]), info(("theory", "rules"), FACTS))
    assert size == (880, 770)
    said = words(figure)
    for word in ("theory", "rules", "6 nodes, 15 edges", "weight of the edge", "34", "78", "4.59", "60 %"):
        assert word in said
    assert any("10 edges between training nodes" in word for word in said)
    assert [text for text in said if text in ("this set", "original")] == ["this set", "original"] * 2


def test_without_knowing_the_original_the_set_stands_alone(draw):
    figure, _ = draw(graph(random_weights(6), [0, 0, 0, 1, 1, 1]), info())
    assert "original" not in words(figure)
    assert not any("training nodes" in word for word in words(figure))


def test_a_set_without_edges_says_so(draw):
    figure, _ = draw(graph(torch.zeros(3, 3), [0, 1, 1]), info(about=FACTS))
    said = words(figure)
    assert "no edges:\neach node stands alone" in said
    assert "3 nodes, 0 edges" in said
    assert "weight of the edge" not in said
    assert not any("adjacency" in word for word in said)


def test_one_edge_is_one(draw):
    figure, _ = draw(graph(random_weights(2, 1.0), [0, 1]), info())
    assert "2 nodes, 1 edge" in words(figure)


def test_an_original_without_labeled_edges_has_no_homophily(draw):
    about = {**FACTS, "known": 0, "known_weight": 0.0, "alike": 0.0}
    figure, _ = draw(graph(random_weights(6), [0, 1] * 3), info(about=about))
    assert any("no edge joins two training nodes" in word for word in words(figure))


@pytest.mark.parametrize(("n", "classes"), [(4, 4), (140, 7), (60, 30)])
def test_no_texts_overlap(draw, n, classes):
    names = tuple(f"a class with a long name {number}" for number in range(classes))
    batch = graph(random_weights(n), torch.arange(n) % classes)
    figure, (width, height) = draw(batch, info(names, FACTS))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]
    for place, (name, box) in enumerate(boxes):
        assert box.x0 >= 0, name
        assert box.x1 <= width, name
        assert box.y0 >= 0, name
        assert box.y1 <= height, name
        for other, theirs in boxes[place + 1 :]:
            assert not box.overlaps(theirs), (name, other)


def test_neighboring_classes_differ_in_color_and_marker(draw):
    batch = graph(random_weights(40), torch.arange(40))
    figure, _ = draw(batch, info(tuple(map(str, range(40)))))
    drawn = figure.axes[0].collections[1:]
    looks = {(each.get_facecolor().tobytes(), each.get_paths()[0].vertices.tobytes()) for each in drawn}
    assert len(drawn) == len(looks) == 40


@pytest.mark.parametrize("sparse", [False, True])
def test_of_very_many_nodes_some_of_each_class_are_drawn(draw, sparse):
    n = 900
    batch = graph(random_weights(n, 0.02), torch.arange(n) % 3, sparse=sparse)
    figure, _ = draw(batch, info(("a", "b", "c")))
    assert any(word.startswith("300 of 900 nodes, ") for word in words(figure))
    nodes = [len(each.get_offsets()) for each in figure.axes[0].collections[1:]]
    assert nodes == [100, 100, 100]


def test_of_very_many_edges_the_strongest_are_drawn(draw):
    figure, _ = draw(graph(random_weights(100, 1.0), [0, 1] * 50), info())
    assert "100 nodes, 4,950 edges (the strongest 4,000 drawn)" in words(figure)


def test_an_edge_looks_as_heavy_as_it_is(draw):
    weights = torch.zeros(3, 3)
    for one, other, weight in ((0, 1, 0.1), (1, 2, 1.0)):
        weights[one, other] = weights[other, one] = weight
    figure, _ = draw(graph(weights, [0, 1, 1]), info())
    thin, thick = figure.axes[0].collections[0].get_linewidths()
    faint, strong = figure.axes[0].collections[0].get_colors()[:, 3]
    assert thick > 3 * thin
    assert strong > 3 * faint


@pytest.mark.parametrize("name", ["$x_1$", "$", "a_b^c", "\\frac", "x" * 300, "猫", "", "two\nlines"])
def test_class_names_are_shown_and_not_read(draw, name):
    assert draw(graph(random_weights(3), [0, 1, 1]), info((name, "b")))[1] == (880, 770)


def test_a_node_alone_is_drawn(draw):
    assert draw(graph(torch.zeros(1, 1), [1]), info())[1] == (880, 770)


def test_nodes_without_edges_of_a_graph_with_some(draw):
    weights = torch.zeros(301, 301)
    weights[0, 1] = weights[1, 0] = 1.0
    batch = graph(weights, [0, 1, *[1] * 299])
    assert "300 of 301 nodes, 1 edge" in words(draw(batch, info())[0])


def test_pictures_are_the_same_each_time():
    batch = graph(random_weights(6), [0, 1] * 3)
    assert graph_picture(batch, info(about=FACTS)) == graph_picture(batch, info(about=FACTS))


def test_frames_are_of_one_size_and_show_the_original(tmp_path, monkeypatch):
    seen = []
    drawn = type(GRAPH).render
    monkeypatch.setattr(
        type(GRAPH), "render", lambda self, batch, info: (seen.append(info), drawn(self, batch, info))[1]
    )
    task = attar.task("graph", data="karate")
    attar.distill(task, method="gcond-x", ipc=1, steps=2, frames=2, out=tmp_path / "run")
    sizes = set()
    for path in frame_paths(tmp_path / "run"):
        with Image.open(path) as picture:
            sizes.add(picture.size)
    assert sizes == {(880, 770)}
    assert [each.about for each in seen] == [FACTS] * len(seen)


# Sets in notebooks, on cards, and the demonstration.


def test_a_set_of_a_graph_shows_itself(tmp_path):
    made = attar.distill(attar.task("graph", data="karate"), method="random", ipc=1)
    html = made._repr_html_()
    assert "karate (graph, 4 classes)" in html
    assert "data:image/png;base64," in html
    card = (made.save(tmp_path / "set") / "README.md").read_text("utf-8")
    used = card.split("```python\n")[1].split("```")[0].replace("this-folder", str(tmp_path / "set"))
    names = {}
    exec(used, names)
    assert len(names["labels"]) == 4


def test_the_demonstration_is_built_in():
    assert isinstance(Registry().get("modalities", "graph"), Demonstrates)
    for quick in (False, True):
        spec = GRAPH.demo(quick)
        assert spec.data in GRAPH.datasets()
    assert GRAPH.demo(True).seeds < GRAPH.demo(False).seeds
