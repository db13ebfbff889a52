"""What somebody types first, ``attar distill MODALITY --data …``, whatever the processor computes in."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from attar import precision_choice
from attar.plugins import NamesMethod, default_method
from attar.registry import Registry

REGISTRY = Registry()
MODALITIES = REGISTRY.names("modalities")
# A modality that is added names data here that are small and need no download.
DATA = {
    "tensor": "iris",
    "image": "digits",
    "audio": "tones",
    "text": "notes",
    "graph": "karate",
    "tabular": "wine",
}


@pytest.fixture(params=[True, False], ids=["bf16", "no-bf16"])
def able(request, monkeypatch):
    """Whether the processor computes in bfloat16, and any network is large enough to gain."""
    monkeypatch.setattr(precision_choice, "has_bf16", lambda device: request.param)
    monkeypatch.setattr(precision_choice, "_WORTHWHILE", 0)
    return request.param


@pytest.fixture
def own_graph(tmp_path):
    """A folder of tables, of a size at which a pass is worth bfloat16."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [f"{n},{rng.normal():.3f},{n % 2 + rng.normal():.3f},{'ab'[n % 2]}" for n in range(300)]
    (folder / "nodes.csv").write_text("id,x,y,label\n" + "\n".join(rows))
    links = [f"{n},{(n + 2 * k) % 300}" for n in range(300) for k in (1, 2)]
    (folder / "edges.csv").write_text("source,target\n" + "\n".join(links))
    return folder


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_default_path_of_a_modality_works(cli, able, tmp_path, modality):
    given = ("--data", DATA[modality], "--steps", 1, "--out", "run", "--json")
    made = cli("distill", modality, *given).json
    assert made["method"] == default_method(REGISTRY.get("modalities", modality))
    recipe = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert recipe["run"]["precision"] in (("bf16", "fp32") if able else ("fp32",))


@pytest.mark.parametrize("method", ["gc-sntk", "dm", "dc", "frepo", "gcond-x"])
def test_methods_of_the_core_take_a_graph_of_one_s_own(cli, able, own_graph, tmp_path, method):
    given = ("--data", own_graph, "--method", method, "--ipc", 1, "--steps", 1, "--out", "run")
    assert json.loads(cli("distill", "graph", *given, "--json").out)["method"] == method
    recipe = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert recipe["run"]["precision"] == "fp32"


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_names_a_method_that_there_is(modality):
    plugin = REGISTRY.get("modalities", modality)
    assert isinstance(plugin, NamesMethod)
    assert plugin.default_method in REGISTRY.names("objectives") + REGISTRY.names("selectors")


def test_bfloat16_that_was_asked_for_is_refused_where_the_network_lacks_it(cli, own_graph):
    given = ("--data", own_graph, "--method", "dm", "--ipc", 1, "--precision", "bf16")
    assert "does not compute in bfloat16 here" in cli("distill", "graph", *given).refusal
