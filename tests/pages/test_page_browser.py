"""Pages in a browser: of every modality, narrow and wide, light and dark, by keyboard and by ear."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import attar
import pytest
from attar.pages import parts_of, render_page
from attar.protocols import changed
from attar.registry import Registry

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
DATA = {"image": "digits", "audio": "tones", "text": "notes", "graph": "karate"}
METHODS = {"graph": "gc-sntk"}
MODELS = {"image": "mlp,width=8", "audio": "mlp,width=8"}


@pytest.fixture(scope="module", params=DATA)
def page(request, tmp_path_factory, one_thread):
    """A page of a set of each modality, whose networks were hardly trained."""
    place = tmp_path_factory.mktemp(request.param)
    modality = request.param
    task = attar.task(modality, data=DATA[modality])
    small = {"model": MODELS[modality]} if modality in MODELS else {}
    method = METHODS.get(modality, "dm")
    artifact = attar.distill(task, ipc=1, steps=1, method=method, out=place / "run", **small)
    brief = changed(next(iter(task.protocols.values())), {"epochs": 1, "networks": 1})
    report = attar.evaluate(artifact, task, protocol=brief, baselines=("random",), workers=1, **small)
    (place / "run" / "evaluations").mkdir()
    (place / "run" / "evaluations" / "one.json").write_text(report.model_dump_json())
    path = place / "page.html"
    parts = parts_of([place / "run"], Registry())
    path.write_text(render_page(parts, parts[0].title), "utf-8")
    return path


_LENGTHS = """
Promise.all([...document.querySelectorAll('audio')].map(each => new Promise(done => {
    each.onloadedmetadata = () => done(each.duration)
    each.onerror = () => done(-1)
    each.load()
})))
"""


@contextmanager
def opened(browser, path: Path, **how):
    """A page, what it complained of, and what it asked the network for."""
    tab = browser.new_page(**how)
    trouble = []
    tab.on("console", lambda message: trouble.append(message.text))
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on(
        "request",
        lambda asked: trouble.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None,
    )
    tab.goto(path.as_uri())
    try:
        yield tab
    finally:
        tab.close()
    assert trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_page_fits_its_window_and_can_be_read_by_everyone(browser, page, size, scheme):
    import axe_core_python

    source = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8")
    with opened(browser, page, viewport=size, color_scheme=scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        # Closed parts are read too.
        tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        tab.evaluate(source)
        found = tab.evaluate("axe.run()")
        assert [
            (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]
        ] == []


def test_a_page_is_gone_through_by_keyboard(browser, page):
    with opened(browser, page, viewport=WIDE) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"
        reached = set()
        for _ in range(60):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.tagName"))
        assert {"SUMMARY", "DIV", "PRE"} <= reached
        closed = tab.evaluate("document.querySelectorAll('details:not([open])').length")
        tab.evaluate("document.querySelector('summary').focus()")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.querySelectorAll('details:not([open])').length") == closed - 1


def test_sounds_can_be_played(browser, page):
    with opened(browser, page, viewport=WIDE) as tab:
        lengths = tab.evaluate(_LENGTHS)
        assert len(lengths) == (6 if page.parent.name.startswith("audio") else 0)
        assert all(length == pytest.approx(0.5, abs=0.01) for length in lengths)


def test_a_class_named_as_a_script_is_shown_not_run(browser, sets, tmp_path):
    from tests.pages.conftest import HOSTILE

    parts = parts_of([sets / "run0", sets / "run1"], Registry())
    (tmp_path / "page.html").write_text(render_page(parts, "title"), "utf-8")
    with opened(browser, tmp_path / "page.html", viewport=WIDE) as tab:
        assert tab.title() == "title"
        tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert HOSTILE in tab.inner_text("main")
        assert tab.evaluate("document.scripts.length") == 0
