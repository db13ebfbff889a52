"""The help of every command: groups, descriptions, an example, and no escapes."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from attar.cli.applications import command_of, with_applications
from attar.registry import Registry

main = import_module("attar.cli.main")
REGISTRY = Registry()
WHOLE = with_applications(main.app, REGISTRY.names("applications"), REGISTRY)


def _commands(command, words=()):
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, (*words, name))


ALL = dict(_commands(command_of(WHOLE)))
OWN = [words for words in ALL if words and words[0] not in REGISTRY.names("applications")]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_has_no_escapes_and_loses_nothing(words, cli):
    found = cli(*words, "--help")
    assert (found.code, found.err) == (0, "")
    assert "Usage:" in found.out
    assert "\\[" not in found.out
    # A bracket that is taken for markup would swallow what is in it.
    lost = [word for each in ALL[words].params if not _hidden(each) for word in each.help.split()]
    assert not [word for word in lost if word not in found.out]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_argument_and_option_is_described(words):
    missing = [
        each.name for each in ALL[words].params if not getattr(each, "help", None) and not _hidden(each)
    ]
    assert not missing


def _hidden(parameter):
    return getattr(parameter, "hidden", False)


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_help_ends_with_an_example_that_parses(words):
    command = ALL[words]
    if hasattr(command, "commands"):
        return
    example = re.match(r"Example: attar ([^']+?)(\. '|$)", command.epilog)[1].split()
    named = example[: len(words)]
    assert tuple(named) == words
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    assert {word for word in example if word.startswith("--")} <= options


def test_options_are_in_groups(cli):
    shown = cli("distill", "--help").out
    for group in ("Data", "Size", "Method", "Run", "Output"):
        assert f"─ {group} ─" in shown
    assert "attar plugins" in shown


def test_commands_are_in_groups(cli):
    shown = cli("--help").out
    assert shown.index("Start and look around") < shown.index("Make sets") < shown.index("Judge and use sets")


def test_no_command_is_no_complaint(cli):
    found = cli()
    assert found.code == 2
    assert "Usage: attar" in found.out
    assert found.err == ""


def test_the_shell_completes(cli, monkeypatch):
    monkeypatch.setenv("_ATTAR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "attar dis")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert cli().out.split() == ["distill"]


@pytest.mark.parametrize("command", ["distill", "compare", "experts"])
def test_data_in_the_place_of_the_modality_are_recognized(command, cli, tmp_path):
    (tmp_path / "my photos").mkdir()
    said = cli(command, tmp_path / "my photos").refusal
    assert "is no kind of data; name the kind before it" in said
    assert f"'attar {command} image --data '{tmp_path}/my photos''" in said


def test_a_name_in_capitals_is_recognized(cli):
    said = cli("distill", "tensor", "--data", "iris", "--ipc", 1, "--method", "DM").refusal
    assert said.endswith("unknown method 'DM': did you mean 'dm'?")


def test_plugins_are_listed_by_group_or_word(cli):
    found = cli("plugins", "selectors", "--json").json
    assert found["selectors"]
    assert not found["modalities"]
    found = cli("plugins", "herding", "--json").json
    assert [each["name"] for each in found["selectors"]] == ["herding"]
    assert "no plugin is about 'nonsense'" in cli("plugins", "nonsense").refusal
