"""``attar plugins`` and ``attar schema``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from attar.cli import tables
from attar.errors import PluginError, UsageError
from attar.registry import GROUPS, Registry
from attar.requirements import unmet
from attar.settings import Record, unknown

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["PluginList", "PluginState", "inventory", "list_plugins", "print_schema"]

_NAME = 18


class PluginState(Record):
    """A plugin and whether it works."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "failed", "unloaded"]
    error: str | None = None
    summary: str = ""


class PluginList(Record):
    """What ``attar plugins --json`` prints.

    Attributes:
        modalities: Kinds of data.
        objectives: Methods.
        parameterizations: Forms that values are stored in.
        selectors: Rules that choose real samples.
        applications: Uses of sets.
        methods: Names that ``--method`` takes.
        mismatches: What the distributions of plugins ask for, and is not installed in such a version.
    """

    modalities: list[PluginState]
    objectives: list[PluginState]
    parameterizations: list[PluginState]
    selectors: list[PluginState]
    applications: list[PluginState]
    methods: list[str]
    mismatches: list[str] = []


def inventory(registry: Registry, load: bool) -> PluginList:
    """Return every plugin with its state, loading each one if asked."""
    groups: dict[str, Any] = {group: [] for group in GROUPS}
    for entry in registry.entries():
        status: Literal["ok", "failed", "unloaded"] = "unloaded"
        error, summary = None, ""
        if load:
            try:
                summary = str(registry.get(entry.group, entry.name).summary)
                status = "ok"
            except PluginError as problem:
                status, error = "failed", str(problem)
        groups[entry.group].append(
            PluginState(
                name=entry.name,
                distribution=entry.distribution,
                version=entry.version,
                status=status,
                error=error,
                summary=summary,
            )
        )
    methods = sorted({*registry.names("objectives"), *registry.names("selectors")})
    mismatches = unmet({"attar-core", *(entry.distribution for entry in registry.entries())})
    return PluginList(**groups, methods=methods, mismatches=mismatches)


def only(found: PluginList, kind: str) -> PluginList:
    """Return the plugins of a group, or those whose name, distribution or summary has a word in it.

    Raises:
        UsageError: If there are none.
    """
    if kind in GROUPS:
        return found.model_copy(update={group: [] for group in GROUPS if group != kind})
    word = kind.lower()
    kept = {
        group: [
            state
            for state in getattr(found, group)
            if word in f"{state.name} {state.distribution} {state.summary}".lower()
        ]
        for group in GROUPS
    }
    if not any(kept.values()):
        raise UsageError(f"no plugin is about {kind!r}; leave it out, or give one of {', '.join(GROUPS)}")
    methods = [state.name for group in ("objectives", "selectors") for state in kept[group]]
    return found.model_copy(update={**kept, "methods": sorted(methods)})


def list_plugins(kind: str | None = None, *, load: bool, as_json: bool) -> None:
    """Print what is installed, all of it or what is of a kind."""
    found = inventory(Registry(), load)
    if kind is not None:
        found = only(found, kind)
    if as_json:
        tables.print_json(found)
        return
    screen = tables.console()
    for group in GROUPS:
        if getattr(found, group):
            screen.print(_group_table(group, getattr(found, group)))
    if found.mismatches:
        tables.print_pairs({f"mismatch {place}": said for place, said in enumerate(found.mismatches, 1)})


def _group_table(group: str, states: Sequence[PluginState]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(group, no_wrap=True, min_width=_NAME)
    table.add_column("", ratio=1)
    for state in states:
        said = state.error or state.summary
        notes: list[str] = [] if state.status == "ok" else [state.status]
        # What comes with the core needs no source; what others add does.
        if state.distribution != "attar-core":
            notes.append(f"{state.distribution} {state.version}")
        if notes:
            said = f"{said} ({', '.join(notes)})" if said else ", ".join(notes)
        table.add_row(Text(state.name), Text(said))
    return table


def _schemas() -> dict[str, type[BaseModel]]:
    from attar.artifact import Manifest
    from attar.cached import CacheInfo
    from attar.cli.demo import DemoResult
    from attar.cli.export import ExportResult
    from attar.cli.packages import Written
    from attar.cli.pages import PageWritten
    from attar.cli.seeing import Shown
    from attar.cli.use import TrainResult
    from attar.cli.work import DistillResult
    from attar.comparison import Comparison
    from attar.doctor import Diagnosis
    from attar.hub import PushRecord
    from attar.recipe import Recipe
    from attar.reports import Report

    return {
        "artifact": Manifest,
        "cache": CacheInfo,
        "compare": Comparison,
        "demo": DemoResult,
        "distill": DistillResult,
        "doctor": Diagnosis,
        "evaluate": Report,
        "export": ExportResult,
        "new": Written,
        "plugins": PluginList,
        "push": PushRecord,
        "recipe": Recipe,
        "report": PageWritten,
        "run": DistillResult,
        "show": Shown,
        "train": TrainResult,
    }


def _application_schema(registry: Registry, name: str) -> type[BaseModel]:
    """Return the record that the command of an application prints as JSON."""
    from attar.plugins import Recorded

    found = registry.get("applications", name)
    if not isinstance(found, Recorded):
        raise UsageError(
            f"the application {name!r} does not say what it prints; its authors must add 'record'"
        )
    return found.record()


def print_schema(command: str) -> None:
    """Print the JSON Schema of a command's output or of a file.

    Raises:
        UsageError: If the command has none.
    """
    schemas = _schemas()
    registry = Registry()
    if command in registry.names("applications"):
        schemas[command] = _application_schema(registry, command)
    if command not in schemas:
        raise UsageError(unknown("schema", command, schemas))
    print(json.dumps(schemas[command].model_json_schema(), indent=2))
