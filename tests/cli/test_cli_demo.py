"""What ``attar demo`` demonstrates: what a modality says itself, or digits."""

from __future__ import annotations

import json
from types import SimpleNamespace

import attar
import pytest
from attar.api import distill as distill_task
from attar.cli import demo
from attar.errors import UsageError
from attar.plugins import DemoSpec
from attar.protocols import protocol
from attar.registry import Registry
from attar.reports import Report
from PIL import Image


def knowing(*names):
    return SimpleNamespace(datasets=lambda: dict.fromkeys(names, ""))


def test_an_unknown_modality_is_refused_before_anything_else(cli, tmp_path):
    (tmp_path / "attar-demo").mkdir()
    (tmp_path / "attar-demo" / "note").write_text("keep")
    assert "unknown modality 'nothing': choose from" in cli("demo", "nothing", "--quick").refusal


def test_a_modality_that_is_not_installed_says_how_to_have_it(cli, tmp_path, uninstalled):
    assert f"pip install attar-{uninstalled}" in cli("demo", uninstalled).refusal
    assert not (tmp_path / "attar-demo").exists()


def test_a_modality_says_what_its_demo_is():
    own = DemoSpec(data="own", samples="samples")
    other = SimpleNamespace(demo=lambda quick: own if quick else None, datasets=lambda: {"digits": ""})
    assert demo.demo_of(other, "other", quick=True) is own


def test_modalities_that_know_digits_demonstrate_them():
    assert demo.demo_of(knowing("digits"), "other", quick=False) == demo.digits_demo(quick=False)
    spec = demo.digits_demo(quick=True)
    assert (spec.data, spec.method, spec.per_class, spec.seeds) == ("digits", "dm", (1, 10), 1)
    assert demo.digits_demo(quick=False).seeds == 3


def test_a_modality_without_a_demo_is_refused():
    with pytest.raises(UsageError, match="the modality 'other' has no demo; try another, as in 'attar demo"):
        demo.demo_of(knowing("iris"), "other", quick=True)


@pytest.mark.parametrize("name", Registry().names("modalities"))
def test_every_demo_is_built_in(name):
    modality = Registry().get("modalities", name)
    for quick in (False, True):
        spec = demo.demo_of(modality, name, quick)
        # Without a root and without download: what is not built in cannot be loaded.
        task = attar.task(name, data=spec.data, root=None, **spec.options)
        assert protocol("", spec.protocol, task.protocols).networks >= 1
        assert max(spec.per_class) * len(task.classes) < task.size("train")


@pytest.fixture
def short_demo(monkeypatch):
    """Makes the demo quicker than --quick."""
    quick = {"networks": 1, "epochs": 1, "steps": 2}
    monkeypatch.setattr(demo, "protocol", lambda name, changes, known: protocol(name, quick, known))
    monkeypatch.setattr(attar, "distill", lambda task, **named: distill_task(task, **{**named, "steps": 2}))
    monkeypatch.setattr("attar.selectors.spaces.FEATURE_TRAINING", protocol("cpu-1", quick))
    monkeypatch.setattr(demo, "keep_memory", lambda: False)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_demo_of_graphs(cli, short_demo, tmp_path, as_json):
    pytest.importorskip("attar_graph", reason="attar-graph is not installed")
    result = cli("demo", "graph", "--quick", *(["--json"] if as_json else []))
    assert (result.code, result.err) == (0, "")
    if as_json:
        reports = json.loads(result.out)
        assert set(reports) == {"ipc-1"}
        report = Report.model_validate(reports["ipc-1"])
        assert (report.data, report.method, report.samples) == ("papers", "gc-sntk", 5)
        assert set(report.baselines) == {"whole", "random", "herding", "k-center", "k-means"}
    else:
        first, *_, last = result.out.strip().splitlines()
        assert first == "papers: 100 generated papers, which cite each other, become 5."
        assert last == "Picture: attar-demo/ipc-1/artifact/preview.png; next: attar distill --help"
    with Image.open(tmp_path / "attar-demo" / "ipc-1" / "artifact" / "preview.png") as picture:
        picture.load()
    Report.model_validate_json((tmp_path / "attar-demo" / "ipc-1" / "report.json").read_text("utf-8"))
