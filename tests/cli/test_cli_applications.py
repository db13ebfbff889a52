"""Commands that other distributions add: loaded when they are called, announced otherwise."""

import json
from importlib.metadata import EntryPoint

import pytest
from attar import registry
from attar.registry import Entry
from pydantic import BaseModel


class Said(BaseModel):
    word: str


class Application:
    api = 1
    summary = "says a word"
    loaded = 0

    def register(self, app):
        Application.loaded += 1

        @app.command("parrot")
        def parrot(word: str) -> None:
            """Say a word."""
            print(word)

    def record(self):
        return Said


class Quiet:
    api = 1
    summary = "says nothing"

    def register(self, app):
        app.command("quiet")(lambda: None)


PARROT, QUIET = Application(), Quiet()


@pytest.fixture
def installed(monkeypatch):
    """Some applications beside what is installed."""

    def install(**values):
        others = [entry for entry in registry._installed() if entry.group != "applications"]
        own = [
            Entry("applications", name, f"attar-{name}", "1", EntryPoint(name, value, "attar.applications"))
            for name, value in values.items()
        ]
        monkeypatch.setattr(registry, "_installed", lambda: others + own)

    return install


def test_a_command_is_added(cli, installed):
    installed(parrot=f"{__name__}:PARROT")
    assert cli("parrot", "hello").out == "hello\n"


def test_help_names_it_without_loading_it(cli, installed):
    installed(parrot=f"{__name__}:PARROT", broken="no_such_module:X")
    before = Application.loaded
    found = cli("--help")
    assert (found.code, Application.loaded) == (0, before)
    assert "parrot" in found.out
    assert "Added by attar-parrot" in found.out


def test_a_broken_one_keeps_no_other_command_from_working(cli, installed):
    installed(broken="no_such_module:X")
    assert cli("plugins", "--no-load").code == 0
    assert "failed to load" in cli("broken").refusal


def test_its_schema_is_printed(cli, installed):
    installed(parrot=f"{__name__}:PARROT")
    assert json.loads(cli("schema", "parrot").out)["properties"]["word"]["type"] == "string"


def test_one_that_prints_no_json_has_no_schema(cli, installed):
    installed(quiet=f"{__name__}:QUIET")
    assert "does not say what it prints" in cli("schema", "quiet").refusal
