"""The plugin registry: five entry-point groups, looked up by name, loaded when needed.

First-party plugins register exactly as strangers do. Listing names loads no plugin, and one
broken plugin never keeps another from working. This module imports neither torch nor numpy.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from attar.errors import PluginError
from attar.settings import unknown

__all__ = ["GROUPS", "PLUGIN_API", "Entry", "Registry", "verify"]

PLUGIN_API = 1
"""Number of the plugin contract; a plugin states the one it was written for as ``api``."""

GROUPS = ("modalities", "objectives", "parameterizations", "selectors", "applications")
"""The seams; the entry-point group of each is ``attar.<seam>``."""

_SINGULAR = {
    "modalities": "modality",
    "objectives": "method",
    "parameterizations": "parameterization",
    "selectors": "selector",
    "applications": "application",
}

_INSTALL = {
    "image": "attar-image",
    "audio": "attar-audio",
    "text": "attar-text",
    "graph": "attar-graph",
    "federated": "attar-federated",
    "continual": "attar-continual",
}

# What a plugin of each group must have: methods with the arguments they are called with, and
# attributes (no arguments listed). Checked when it is loaded, before any of it is used.
_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "modalities": {
        "datasets": (),
        "load": ("request",),
        "restore": ("description", "tensors"),
        "domain": ("info",),
        "render": ("batch", "info"),
        "exports": (),
    },
    "objectives": {"build": ("settings",), "optimizers": ("settings",)},
    "parameterizations": {
        "packs": ("settings", "feature"),
        "initialize": ("values", "settings", "gen"),
        "restore": ("settings", "tensors"),
    },
    "selectors": {"select": ("features", "n", "gen")},
    "applications": {"register": ("app",)},
}
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "modalities": ("Options", "summary"),
    "objectives": ("Settings", "summary", "reference", "label_kinds"),
    "parameterizations": ("Settings", "summary"),
    "selectors": ("summary", "uses_features"),
    "applications": ("summary",),
}


@dataclass(frozen=True)
class Entry:
    """A plugin as its distribution announces it.

    Attributes:
        group: One of :data:`GROUPS`.
        name: Name that users type.
        distribution: Distribution that provides it.
        version: Version of that distribution.
        point: The entry point.
    """

    group: str
    name: str
    distribution: str
    version: str
    point: EntryPoint


def _installed() -> list[Entry]:
    entries = {}
    for group in GROUPS:
        for point in entry_points(group=f"attar.{group}"):
            name = point.dist.name if point.dist is not None else "unknown"
            version = point.dist.version if point.dist is not None else "unknown"
            # A distribution can be seen twice, by its wheel and by its editable source.
            entries[group, point.name, name, point.value] = Entry(
                group=group, name=point.name, distribution=name, version=version, point=point
            )
    return sorted(entries.values(), key=lambda entry: (entry.group, entry.name, entry.distribution))


class Registry:
    """The plugins of one process.

    Args:
        entries: The plugins to know; by default all that are installed.
    """

    def __init__(self, entries: Iterable[Entry] | None = None) -> None:
        self._entries = _installed() if entries is None else list(entries)
        self._loaded: dict[tuple[str, str], Any] = {}

    def entries(self, group: str | None = None) -> list[Entry]:
        """Return what is announced, of one group or of all, without loading any of it."""
        return [entry for entry in self._entries if group is None or entry.group == group]

    def names(self, group: str) -> list[str]:
        """Return the names announced in a group."""
        return sorted({entry.name for entry in self.entries(group)})

    def get(self, group: str, name: str) -> Any:
        """Load, check and return a plugin.

        Raises:
            PluginError: If the name is unknown or announced twice, or the plugin cannot be
                imported or does not fit the contract of its group.
        """
        if (group, name) not in self._loaded:
            self._loaded[group, name] = _load(self._find(group, name))
        return self._loaded[group, name]

    def having(self, group: str, name: str, plugin: Any) -> Registry:
        """Return a registry that also knows a plugin which is at hand and not installed.

        Raises:
            PluginError: If it does not fit the contract of its group, or its name is taken.
        """
        owner = f"the {_SINGULAR[group]} {name!r} that was given"
        verify(group, plugin, owner)
        if name in self.names(group):
            raise PluginError(f"{owner} has the name of an installed one: give its class another name")
        point = EntryPoint(name=name, value="", group=f"attar.{group}")
        more = Registry([*self._entries, Entry(group, name, "what was given", "", point)])
        more._loaded = {**self._loaded, (group, name): plugin}
        return more

    def _find(self, group: str, name: str) -> Entry:
        found = [entry for entry in self.entries(group) if entry.name == name]
        if len(found) == 1:
            return found[0]
        kind = _SINGULAR[group]
        if not found:
            install = _INSTALL.get(name)
            if install is not None and group in ("modalities", "applications"):
                raise PluginError(f"the {kind} {name!r} is not installed: run 'pip install {install}'")
            raise PluginError(unknown(kind, name, self.names(group)))
        owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in found)
        raise PluginError(f"the {kind} {name!r} is announced twice, by {owners}: uninstall one of them")


def _load(entry: Entry) -> Any:
    owner = f"the {_SINGULAR[entry.group]} {entry.name!r} of {entry.distribution} {entry.version}"
    try:
        plugin = entry.point.load()
    except Exception as error:
        raise PluginError(
            f"{owner} failed to load ({type(error).__name__}: {error}): "
            f"reinstall {entry.distribution} or report it to its authors"
        ) from error
    verify(entry.group, plugin, owner)
    return plugin


def verify(group: str, plugin: Any, owner: str) -> None:
    """Refuse a plugin that does not fit the contract of its group.

    Args:
        group: One of :data:`GROUPS`.
        plugin: What its entry point loaded.
        owner: What it is called in errors.

    Raises:
        PluginError: Naming what was expected and what was found.
    """
    api = getattr(plugin, "api", None)
    if not isinstance(api, int):
        raise PluginError(
            f"{owner} does not state the plugin API it was written for: set 'api = {PLUGIN_API}'"
        )
    if api > PLUGIN_API:
        raise PluginError(
            f"{owner} was written for plugin API {api}, this attar-core has {PLUGIN_API}: upgrade attar-core"
        )
    for name in _ATTRIBUTES[group]:
        if not hasattr(plugin, name):
            raise PluginError(f"{owner} lacks the attribute {name!r}: its authors must add it")
    for name, arguments in _METHODS[group].items():
        method = getattr(plugin, name, None)
        wanted = f"{name}({', '.join(arguments)})"
        if not callable(method):
            raise PluginError(f"{owner} lacks the method {wanted}: its authors must add it")
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError as error:
            raise PluginError(
                f"{owner} has {name}{inspect.signature(method)} where {wanted} is called: "
                f"its authors must change it"
            ) from error
