"""Scores, tables and plots of comparisons."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from attar.artifact import Environment
from attar.comparison import Comparison, EqualBytesRow, Ranking, Row
from attar.comparison.folder import by_bytes, by_cpu, write_results
from attar.comparison.ranking import ranking, unit_score
from attar.comparison.sheets import equal_count, equal_size, latex, markdown, notes, rows_csv
from attar.owned import LIST, claim
from attar.plots import comparison_plot
from attar.protocols import CPU_1
from attar.reports import Score, Seconds
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

PERCENT = st.floats(0, 100)


def score(mean):
    return Score(mean=mean, std=1.0, n=6)


def made(method="dm", ipc=1, mean=80.0, **changes):
    values = {
        "method": method,
        "kind": "distilled",
        "ipc": ipc,
        "accuracy": score(mean),
        "between_sets": 0.5,
        "n_sets": 3,
        "n_networks": 2,
        "samples": 10 * ipc,
        "bytes": 1000 * ipc,
        "label_bytes": 10,
        "bytes_on_disk": 1100,
        "seconds": Seconds(cpu=12.5, wall=7.0),
        "peak_bytes": 2**20,
        "ranking": Ranking(ior=5.0, hlr=10.0, lrs=0.4, ars=0.5),
    }
    return Row(**{**values, **changes})


def result(*rows, **changes):
    values = {
        "data": "digits_50%",
        "modality": "tensor",
        "classes": 10,
        "training_samples": 100,
        "architecture": "mlp",
        "protocol": CPU_1,
        "seeds": (0, 1, 2),
        "tune_seeds": (),
        "rows": rows,
        "environment": Environment.current(),
    }
    return Comparison(**{**values, **changes})


FULL = result(
    Row(method="whole", kind="baseline", ipc=None, accuracy=score(99), n_sets=1, n_networks=2, bytes=9000),
    made(),
    made("frepo", mean=90.0, labels="regression", settings={"lr": 0.1}, trials=2),
    Row(method="random", kind="baseline", ipc=1, accuracy=score(60), n_sets=5, n_networks=1, bytes=640),
    Row(method="idc", kind="distilled", ipc=1, problem="it cuts positions; choose plain"),
    made(ipc=10, mean=95.0),
    Row(method="idc", kind="distilled", ipc=10, problem="it cuts positions; choose plain"),
    equal_bytes=(
        EqualBytesRow(
            method="dm",
            ipc=1,
            labels="hard",
            bytes=1000,
            accuracy=score(80),
            random_samples=10,
            random_bytes=960,
            random=score(70),
        ),
    ),
)


# The scores.


def test_the_scores_end_at_zero_and_one():
    assert unit_score(-1) == pytest.approx(0)
    assert unit_score(1) == pytest.approx(1)
    best = ranking(own=100, random=0, hard=100, whole=0, bare=100, random_bare=0)
    assert (best.lrs, best.ars) == (1, 1)
    worst = ranking(own=0, random=100, hard=0, whole=100, bare=0, random_bare=100)
    assert (worst.lrs, worst.ars) == (0, 0)


def test_the_scores_follow_their_formulas():
    found = ranking(own=80, random=60, hard=70, whole=95, bare=75, random_bare=50)
    assert (found.ior, found.hlr) == (20, 25)
    alpha, beta = 0.5 * 0.20 - 0.5 * 0.25, 0.5 * 0.20 + 0.5 * 0.25
    for value, mine in ((alpha, found.lrs), (beta, found.ars)):
        assert mine == pytest.approx((math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1)), abs=1e-4)


@given(own=PERCENT, random=PERCENT, whole=PERCENT)
def test_a_better_set_never_ranks_lower(own, random, whole):
    low, high = (
        ranking(own=each, random=random, hard=each, whole=whole, bare=each, random_bare=random)
        for each in (own, 100.0)
    )
    assert 0 <= low.lrs <= high.lrs <= 1
    assert 0 <= low.ars <= high.ars <= 1


@pytest.mark.parametrize(
    ("lacking", "unknown"),
    [
        ("random", {"ior", "lrs", "ars"}),
        ("hard", {"hlr", "lrs"}),
        ("whole", {"hlr", "lrs"}),
        ("bare", {"ars"}),
        ("random_bare", {"ars"}),
    ],
)
def test_a_score_that_lacks_something_is_unknown(lacking, unknown):
    known = {"random": 60.0, "hard": 70.0, "whole": 95.0, "bare": 75.0, "random_bare": 50.0, lacking: None}
    found = ranking(own=80, **known).model_dump()
    assert {name for name, value in found.items() if value is None} == unknown


# The tables.


def test_a_table_has_only_columns_with_something_in_them():
    assert "ARS" in equal_count(FULL).columns
    bare = equal_count(result(made(ranking=Ranking())))
    assert not {"IOR", "ARS", "validation, %", "settings"} & set(bare.columns)
    assert bare.rows[0][:3] == ("dm", "1", "hard")


def test_learned_labels_and_problems_are_told():
    said = "\n".join(notes(FULL))
    assert "idc, 1 and 10 per class: it cuts positions; choose plain" in said
    assert "labels are learned" in said
    assert "settings are chosen on validation data" in said
    cells = {row[0]: row for row in equal_count(FULL).rows}
    assert "regression *" in cells["frepo"]
    assert "–" in cells["idc"]


def test_equal_bytes_are_a_table_of_their_own():
    sheet = equal_size(FULL)
    assert sheet.rows == (("dm", "1", "hard", "1,000", "80.0 ± 1.0", "10", "960", "70.0 ± 1.0", "+10.0"),)
    assert len(equal_count(FULL).rows) == len(FULL.rows)


@pytest.mark.parametrize(
    ("name", "tex", "md"),
    [
        ("a_b", r"a\_b", r"a\_b"),
        ("50%", r"50\%", "50%"),
        ("a|b", r"a\textbar{}b", r"a\|b"),
        ("x\\y", r"x\textbackslash{}y", r"x\\y"),
        ("{&$#}", r"\{\&\$\#\}", "{&$#}"),
        ("<b>", r"\textless{}b\textgreater{}", r"\<b\>"),
        ("~^", r"\textasciitilde{}\textasciicircum{}", "~^"),
        ("two\nlines", "two lines", "two lines"),
    ],
)
def test_names_cannot_break_a_table(name, tex, md):
    sheet = equal_count(result(made(name)))
    assert f"\n{tex} & 1 &" in latex([sheet], [])
    assert f"\n| {md} | 1 |" in markdown([sheet], [])


def test_tables_are_even():
    text = markdown([equal_count(FULL), equal_size(FULL)], notes(FULL))
    for table in text.split("## ")[1:]:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
    tex = latex([equal_count(FULL), equal_size(FULL)], notes(FULL))
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") == 2
    assert "$\\pm$" in tex
    assert "±" not in "".join(line for line in tex.splitlines() if not line.startswith("%"))


def test_csv_has_plain_numbers_and_a_line_per_row():
    lines = list(csv.DictReader(io.StringIO(rows_csv(FULL))))
    assert len(lines) == len(FULL.rows)
    dm = lines[1]
    assert (dm["method"], dm["accuracy"], dm["accuracy_std"], dm["bytes"]) == ("dm", "80.0", "1.0", "1000")
    assert (dm["equal_bytes_random"], dm["equal_bytes_random_bytes"]) == ("70.0", "960")
    assert lines[5]["equal_bytes_random"] == ""
    assert lines[4]["problem"] == "it cuts positions; choose plain"


# The plots and the files.


def test_lines_are_methods_and_look_alike_in_both_plots():
    bytes_, cpu = by_bytes(FULL), by_cpu(FULL)
    assert {line.name for line in cpu} == {"dm", "frepo (learned labels)"}
    styles = {line.name: line.style for line in bytes_}
    assert all(styles[line.name] == line.style for line in cpu)
    [random] = [line for line in bytes_ if line.name == "random"]
    assert [where for where, _ in random.points] == [640, 960]
    [dm] = [line for line in cpu if line.name == "dm"]
    assert dm.notes == ("1", "10")


def test_points_of_one_size_are_not_numbered():
    assert [line.notes for line in by_cpu(result(made(), made("dsa")))] == [(), ()]


def test_a_plot_is_a_picture_and_the_same_each_time():
    picture = comparison_plot(by_bytes(FULL), "bytes", "digits_50% $x$", score(99))
    image = Image.open(io.BytesIO(picture))
    assert (image.format, min(image.size) > 300) == ("PNG", True)
    assert picture == comparison_plot(by_bytes(FULL), "bytes", "digits_50% $x$", score(99))


def test_every_form_is_written(tmp_path):
    claim(tmp_path, "comparison")
    write_results(tmp_path, FULL)
    names = {path.name for path in tmp_path.iterdir()} - {LIST}
    plots = {"accuracy-bytes.png", "accuracy-cpu.png"}
    assert names == {"comparison.json", "table.md", "table.tex", "table.csv", *plots}
    assert Comparison.model_validate(json.loads((tmp_path / "comparison.json").read_text())) == FULL
    # A table without figures has no plots, also none of an earlier one.
    write_results(tmp_path, result(FULL.rows[4]))
    assert not plots & {path.name for path in tmp_path.iterdir()}
