"""Laws that several seams share: a complete plugin, and settings that are frozen and strict."""

from __future__ import annotations

import json
from typing import Any, Protocol

from pydantic import BaseModel

from attar.errors import AttarError, UsageError
from attar.registry import verify
from attar.settings import parse
from attar.testing.laws import LawBroken, require

__all__ = [
    "SETTINGS_LAWS",
    "Case",
    "SettingsCase",
    "is_json",
    "law_plugin_is_complete",
    "law_settings_are_frozen",
    "law_settings_have_defaults",
    "law_settings_refuse_unknown_keys",
    "subject",
]


class Case(Protocol):
    """A plugin under test."""

    @property
    def group(self) -> str:
        """Its seam, one of :data:`attar.registry.GROUPS`."""

    @property
    def plugin(self) -> Any:
        """The plugin."""


class SettingsCase(Case, Protocol):
    """A plugin under test that has settings."""

    @property
    def settings_class(self) -> type[BaseModel]:
        """The class of its settings."""


def subject(kind: str, plugin: Any, name: str | None) -> str:
    """Return what a plugin is called in reports."""
    return f"{kind} {name or type(plugin).__name__}"


def is_json(value: Any) -> bool:
    """Return whether a value is made of JSON values only and so survives being written and read."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def law_plugin_is_complete(case: Case) -> None:
    """The plugin has what its entry point must load, and says what it is in one line."""
    try:
        # The registry's own check, so that kit and registry cannot disagree.
        verify(case.group, case.plugin, "the plugin")
    except AttarError as error:
        raise LawBroken(str(error)) from error
    summary = case.plugin.summary
    require(
        isinstance(summary, str) and bool(summary.strip()) and "\n" not in summary,
        f"its summary must be one line of text, but is {summary!r}",
    )


def law_settings_have_defaults(case: SettingsCase) -> None:
    """Every setting has a default, and the settings are JSON values."""
    settings = parse(case.settings_class, {}, "settings")
    values = settings.model_dump(mode="json")
    require(is_json(values), f"its default settings are no JSON values: {values!r}")
    again = case.settings_class.model_validate(json.loads(json.dumps(values)))
    require(again == settings, "its settings change when they are written as JSON and read again")


def law_settings_are_frozen(case: SettingsCase) -> None:
    """Settings cannot be changed once they are made."""
    frozen = case.settings_class.model_config.get("frozen", False)
    require(frozen, f"{case.settings_class.__name__} is not frozen; derive it from attar.settings.Settings")


def law_settings_refuse_unknown_keys(case: SettingsCase) -> None:
    """A misspelled setting is refused as the user's mistake."""
    try:
        parse(case.settings_class, {"no_such_setting": 1}, "settings")
    except UsageError:
        return
    raise LawBroken(f"{case.settings_class.__name__} accepts the unknown key 'no_such_setting'")


SETTINGS_LAWS = (
    law_settings_have_defaults,
    law_settings_are_frozen,
    law_settings_refuse_unknown_keys,
)
