"""What tasks, sets, reports and comparisons show of themselves: a line, or an escaped table."""

from __future__ import annotations

import re
from dataclasses import replace

import attar
import pytest
from attar.protocols import protocol

BRIEF = protocol("cpu-1", {"epochs": 1, "networks": 1})
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def shown():
    """A task whose names are hostile, and what is made of it."""
    iris = attar.task("tensor", data="iris")
    task = replace(iris, name=HOSTILE.replace("/", ""), classes=(HOSTILE, "b & c", "d"))
    artifact = attar.distill(task, method="random", ipc=1, model="linear")
    quick = {"protocol": BRIEF, "baselines": ("random",), "workers": 1}
    report = attar.evaluate(artifact, task, model="linear", **quick)
    board = attar.compare(task, methods=["dm"], ipc=1, seeds=1, steps=1, model="linear", **quick)
    return {"task": task, "artifact": artifact, "report": report, "comparison": board}


@pytest.mark.parametrize("name", ["task", "artifact", "report", "comparison"])
def test_the_text_is_one_line(shown, name):
    text = repr(shown[name])
    assert "\n" not in text
    assert len(text) < 250
    assert str(shown[name]) == text


@pytest.mark.parametrize("name", ["task", "artifact", "report", "comparison"])
def test_names_in_a_notebook_are_escaped(shown, name):
    page = shown[name]._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<table>") == page.count("</table>") == 1


def test_a_task_says_its_size_shape_and_classes():
    text = repr(attar.task("tensor", data="iris"))
    assert text == (
        "<TensorTask 'iris' (tensor): 3 classes, samples (4,), 108 train, 12 validation, 30 test>"
    )


def test_a_report_says_its_accuracies(shown):
    assert re.search(
        r"random on .* with linear: [0-9.]+ ± [0-9.]+ % \(n = 1\); random [0-9.]+ ±", repr(shown["report"])
    )
    page = shown["report"]._repr_html_()
    assert str(shown["report"].baselines["random"]) in page


def test_a_comparison_says_the_best_of_each_size(shown):
    board = shown["comparison"]
    best = max((row for row in board.rows if row.ipc == 1), key=lambda row: row.accuracy.mean)
    assert f" {best.accuracy} % with 1 per class>" in repr(board)
