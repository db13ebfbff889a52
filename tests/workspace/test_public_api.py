"""What is public is written down, documented, and changed on purpose only; examples do what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

from tests.workspace.public_api import INVENTORY, ROOT, imported, inventory, modules

SOURCES = [path for pattern in ("core/src", "*/*/src") for path in sorted(ROOT.glob(pattern))]
EXAMPLES = sorted(
    ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
    for source in SOURCES
    for path in source.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


def test_the_inventory_is_what_is_public():
    known, found = set(INVENTORY.read_text("utf-8").split("\n")[:-1]), set(inventory())
    gone, new = sorted(known - found), sorted(found - known)
    assert (gone, new) == ([], []), "run 'python -m tests.workspace.public_api', and tell it in CHANGELOG.md"


@pytest.mark.parametrize("name", modules())
def test_what_is_public_says_what_it_is(name):
    module = imported(name)
    for each in module.__all__:
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{each} has no docstring"


def test_modules_of_the_reference_are_there_once():
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    listed = [line.split()[-1] for line in text.splitlines() if "automodule::" in line]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_do_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=options)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_main_functions_have_examples():
    assert {"attar", "attar.api", "attar.artifact.store", "attar.trained", "attar.uniting"} <= set(EXAMPLES)
