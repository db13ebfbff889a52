from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest
from attar.errors import PluginError
from attar.registry import GROUPS, PLUGIN_API, Entry, Registry
from attar.settings import Settings


def selector(**changes):
    made = {
        "api": 1,
        "summary": "a selector",
        "uses_features": False,
        "select": lambda features, n, gen: None,
        **changes,
    }
    return SimpleNamespace(**{name: value for name, value in made.items() if value is not None})


@pytest.fixture
def entry(monkeypatch):
    """Make an entry whose object lies in a module of its own."""
    module = ModuleType("attar_test_plugins")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def make(plugin=None, *, group="selectors", name="mine", distribution="attar-mine", value=None):
        attribute = f"P{len(vars(module))}"
        setattr(module, attribute, plugin)
        point = EntryPoint(name, value or f"{module.__name__}:{attribute}", f"attar.{group}")
        return Entry(group=group, name=name, distribution=distribution, version="1.2", point=point)

    return make


def refused(entries, sentence, *, group="selectors", name="mine"):
    with pytest.raises(PluginError, match="^" + re.escape(sentence)):
        Registry(entries).get(group, name)


OWNER = "the selector 'mine' of attar-mine 1.2"


def test_a_plugin_is_loaded_once(entry):
    plugin = selector()
    registry = Registry([entry(plugin)])
    assert registry.get("selectors", "mine") is registry.get("selectors", "mine") is plugin


def test_listing_loads_nothing(entry):
    registry = Registry([entry(value="missing_module:X"), entry(selector(), name="another")])
    assert registry.names("selectors") == ["another", "mine"]
    assert registry.names("objectives") == []
    assert [each.name for each in registry.entries()] == ["mine", "another"]


def test_a_broken_plugin_leaves_the_others_alone(entry):
    registry = Registry([entry(value="missing_module:X"), entry(selector(), name="fine")])
    with pytest.raises(PluginError):
        registry.get("selectors", "mine")
    assert registry.get("selectors", "fine").summary == "a selector"


def test_a_plugin_that_cannot_be_imported_names_its_distribution(entry):
    sentence = (
        f"{OWNER} failed to load (ModuleNotFoundError: No module named 'missing_module'): "
        "reinstall attar-mine or report it to its authors"
    )
    refused([entry(value="missing_module:X")], sentence)


def test_a_plugin_without_its_object_names_its_distribution(entry):
    refused([entry(value="attar_test_plugins:Missing")], f"{OWNER} failed to load (AttributeError:")


def test_a_name_announced_twice_names_both_distributions(entry):
    both = [entry(selector()), entry(selector(), distribution="attar-other")]
    sentence = "the selector 'mine' is announced twice, by attar-mine 1.2 and attar-other 1.2: uninstall one"
    refused(both, sentence)


def test_the_same_name_in_another_group_is_no_clash(entry):
    registry = Registry([entry(selector()), entry(selector(), group="objectives")])
    assert registry.get("selectors", "mine").api == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"api": None}, "does not state the plugin API it was written for: set 'api = 1'"),
        ({"api": "1"}, "does not state the plugin API it was written for: set 'api = 1'"),
        ({"api": 2}, "was written for plugin API 2, this attar-core has 1: upgrade attar-core"),
        ({"summary": None}, "lacks the attribute 'summary': its authors must add it"),
        ({"select": None}, "lacks the method select(features, n, gen): its authors must add it"),
        ({"select": 3}, "lacks the method select(features, n, gen): its authors must add it"),
        (
            {"select": lambda features, n: None},
            "has select(features, n) where select(features, n, gen) is called: its authors must change it",
        ),
        (
            {"select": lambda features, n, gen, *, more: None},
            "has select(features, n, gen, *, more) where select(features, n, gen) is called",
        ),
    ],
)
def test_a_plugin_that_does_not_fit_is_one_sentence(entry, changes, sentence):
    refused([entry(selector(**changes))], f"{OWNER} {sentence}")


def test_further_arguments_with_defaults_fit(entry):
    plugin = selector(select=lambda features, n, gen, more=1: None)
    assert Registry([entry(plugin)]).get("selectors", "mine") is plugin


def test_a_modality_must_have_its_options(entry):
    plugin = SimpleNamespace(api=1, summary="")
    refused(
        [entry(plugin, group="modalities")],
        "the modality 'mine' of attar-mine 1.2 lacks the attribute 'Options'",
        group="modalities",
    )


def test_an_unknown_name_lists_the_choices(entry):
    entries = [entry(selector()), entry(selector(), name="other")]
    refused(entries, "unknown selector 'mien': did you mean 'mine'? choose from mine, other", name="mien")


@pytest.mark.parametrize(
    ("group", "name"), [("modalities", "audio"), ("modalities", "graph"), ("applications", "federated")]
)
def test_a_part_of_attar_that_is_missing_says_what_to_install(group, name):
    kind = {"modalities": "modality", "applications": "application"}[group]
    sentence = f"the {kind} {name!r} is not installed: run 'pip install attar-{name}'"
    refused([], sentence, group=group, name=name)


def test_first_party_plugins_register_like_any_other():
    registry = Registry()
    assert {"random", "herding", "k-center", "k-means"} <= set(registry.names("selectors"))
    assert {"tensor", "image"} <= set(registry.names("modalities"))
    for group in GROUPS:
        for name in registry.names(group):
            assert registry.get(group, name).api <= PLUGIN_API


def test_method_settings_are_typed():
    assert issubclass(Registry().get("objectives", "dm").Settings, Settings)
