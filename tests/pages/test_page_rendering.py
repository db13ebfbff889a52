"""Pages: one file, everything escaped, and what figures mean in words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from attar.differences import Difference
from attar.errors import InternalError
from attar.pages import Code, Facts, Part, Picture, Section, Table, Told, recipe_keys, render_page
from attar.pages.evaluations import accuracy_section, headline, verdict
from attar.pages.rendering import data_address
from attar.plots import new_figure, png_of, scores_plot, svg_of
from attar.protocols import CPU_1
from attar.reports import BaselineDetail, EqualBytes, Report, Score, Seconds

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Outline(HTMLParser):
    """The tags of a page, its headings and where its links lead."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.levels, self.targets, self.ids, self.sources = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.levels.append(int(tag[1]))
        if tag == "a":
            self.targets.append(given["href"])
        self.ids += [given["id"]] if "id" in given else []
        self.sources += [given["src"]] if "src" in given else []


def part(title="a set", *blocks):
    return Part(title, "a kind", "a lede", (Section("first", blocks), Section("second", ())))


def every_block(text):
    plot = svg_of(new_figure(2, 2))
    return (
        Told(text, warning=True),
        Facts({text: text}, large=True),
        Table(text, (text, text), ((text, text),), made=(text,), folded=True),
        Picture(plot, text, text),
        Code(text, text, folded=True),
    )


def test_no_text_becomes_markup():
    page = render_page([part(EVIL, *every_block(EVIL))], EVIL)
    outline = Outline(page)
    assert "script" not in outline.tags
    assert "onerror" not in re.sub(r"&[^;]+;[^<]*", "", page)
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10


@pytest.mark.parametrize("count", [1, 2])
def test_a_page_is_one_file_whose_links_lead_into_it(count):
    page = render_page([part(f"set {n}", *every_block("x")) for n in range(count)], "title")
    outline = Outline(page)
    assert {"link", "script", "iframe", "form"}.isdisjoint(outline.tags)
    assert all(source.startswith("data:") for source in outline.sources)
    assert all(target.startswith("#") and target[1:] in outline.ids for target in outline.targets)
    assert len(set(outline.ids)) == len(outline.ids)
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("count", [1, 3])
def test_headings_go_down_one_by_one(count):
    levels = Outline(render_page([part()] * count, "title")).levels
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_page_is_written_each_time():
    parts = [part("set", *every_block("x"))]
    assert render_page(parts, "title") == render_page(parts, "title")


def test_only_pictures_and_sounds_stand_in_a_page():
    with pytest.raises(InternalError, match="neither PNG, SVG nor WAV"):
        data_address(b"<html>")
    assert data_address(png_of(new_figure(1, 1))).startswith("data:image/png;base64,")


def test_a_vector_plot_turns_with_its_page_and_names_what_it_draws():
    scores = {"a $x$ <b>": score(50), "c": score(40)}
    plot = scores_plot(scores, "c", svg_of)
    root = ElementTree.fromstring(plot)
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a $x$ <b>", "c", "50.0 ± 1.0", "40.0 ± 1.0"} <= set(texts)
    assert b"#000000" not in plot
    assert b"prefers-color-scheme: dark" in plot
    assert plot == scores_plot(scores, "c", svg_of)


def score(mean, std=1.0, n=3):
    return Score(mean=mean, std=std, n=n)


def report(**changes):
    values = {
        "method": "dm",
        "accuracy": score(90),
        "n_sets": 3,
        "n_networks": 3,
        "baselines": {"whole": score(99), "random": score(70), "herding": score(80)},
        "details": {
            name: BaselineDetail(samples=n) for name, n in (("whole", 500), ("random", 10), ("herding", 10))
        },
        "against": {
            "random": Difference(mean=20, low=15, high=25),
            "herding": Difference(mean=10, low=5, high=15),
        },
        "bytes": 100,
        "bytes_on_disk": 200,
        "seconds": Seconds(cpu=30, wall=1),
        "protocol": CPU_1,
        "data": "digits",
        "architecture": "convnet",
        "samples": 10,
    }
    return Report(**{**values, **changes})


def words(found):
    return " ".join(each.text for each in found)


@pytest.mark.parametrize(
    ("low", "high", "said", "warned"),
    [
        (5, 15, "It is better than as many real samples: +10.0 points beside herding", False),
        (-15, -5, "As many real samples are better", True),
        (-1, 2, "It cannot be told from as many real samples", True),
    ],
)
def test_the_verdict_is_that_of_the_interval_to_the_best_real_samples(low, high, said, warned):
    close = Difference(mean=(low + high) / 2, low=low, high=high)
    found = verdict(report(against={"random": Difference(mean=20, low=15, high=25), "herding": close}))
    assert found[0].text.startswith(said)
    assert found[0].warning is warned
    assert f"{low:+.1f} to {high:+.1f} with 95 % confidence" in found[0].text


def test_the_verdict_says_what_is_not_known():
    assert "was not evaluated beside as many real" in words(
        verdict(report(baselines={"whole": score(99)}, against={}))
    )
    assert "Its labels are learned" in words(verdict(report(against={})))
    assert "Only one set was made" in words(verdict(report(n_sets=1)))
    assert "on other data than the set was made of" in words(verdict(report(data_changed=True)))
    assert "Only" not in words(verdict(report()))


def test_the_headline_counts_the_making_of_one_set():
    values = {
        name: value.replace("\N{NO-BREAK SPACE}", " ") for name, value in headline(report()).values.items()
    }
    assert values["CPU seconds to make"] == "10"
    assert values["as many real samples (herding)"] == "80.0 ± 1.0 %"
    assert values["all real samples"] == "99.0 ± 1.0 %"


def test_equal_bytes_stand_in_a_table_of_their_own():
    equal = EqualBytes(samples=40, bytes=99, accuracy=score(85))
    blocks = accuracy_section(report(equal_bytes=equal)).blocks
    count, size = (each for each in blocks if isinstance(each, Table) and "Equal" in each.caption)
    assert [row[0] for row in count.rows] == ["dm (this set)", "whole", "random", "herding"]
    assert [row[:3] for row in size.rows] == [("this set", "10", "100"), ("random real samples", "40", "99")]


def test_a_recipe_that_cannot_be_read_has_no_keys(tmp_path):
    assert recipe_keys(tmp_path) == frozenset()
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe")
    assert recipe_keys(tmp_path) == frozenset()
    (tmp_path / "recipe.toml").write_text("clients = 2\n[data]\n")
    assert recipe_keys(tmp_path) == {"clients", "data"}
