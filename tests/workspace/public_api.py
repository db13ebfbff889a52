"""Everything that is public: names, and what each is called with.

``python -m tests.workspace.public_api`` writes the inventory anew; what is taken away or changed in it is a
breaking change, which the changelog tells of.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
INVENTORY = Path(__file__).with_name("public_api.txt")


def modules() -> list[str]:
    """Return the modules that the reference documents."""
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    return ["attar", *dict.fromkeys(re.findall(r"automodule:: (\S+)", text))]


def imported(name: str) -> ModuleType:
    """Return a module; what libraries warn of while they are loaded is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _called(value: Any) -> str:
    """Return the names that something is called with; those that may be left out end with ``=``."""
    # Protocols are not called, and what an exception takes is that of all exceptions.
    if getattr(value, "_is_protocol", False) or (inspect.isclass(value) and issubclass(value, BaseException)):
        return ""
    if not callable(value) or (inspect.isclass(value) and value.__module__.partition(".")[0] == "typing"):
        return ""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ""
    words, marks = [], {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    starred = False
    for each in parameters:
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            words.append("*")
        starred = starred or each.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        default = "=" if each.default is not inspect.Parameter.empty else ""
        words.append(f"{marks.get(each.kind, '')}{each.name}{default}")
    return f"({', '.join(words)})"


def inventory() -> list[str]:
    """Return a line for each public name."""
    lines = []
    for name in modules():
        module = imported(name)
        lines += [f"{name}.{each}{_called(getattr(module, each))}" for each in module.__all__]
    return sorted(set(lines))


if __name__ == "__main__":
    INVENTORY.write_text("\n".join(inventory()) + "\n", "utf-8")
