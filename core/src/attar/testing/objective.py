"""The conformance kit of the seam ``attar.objectives``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attar.testing.laws import Check, make_checks, run_checks
from attar.testing.loss_laws import LOSS_LAWS
from attar.testing.objective_case import ObjectiveCase
from attar.testing.run_laws import RUN_LAWS
from attar.testing.shared import SETTINGS_LAWS, law_plugin_is_complete, subject

__all__ = ["OBJECTIVE_LAWS", "check_objective", "checks_for_objective"]

OBJECTIVE_LAWS: tuple[Callable[[ObjectiveCase], None], ...] = (
    law_plugin_is_complete,
    *SETTINGS_LAWS,
    *LOSS_LAWS,
    *RUN_LAWS,
)


def checks_for_objective(
    plugin: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> list[Check]:
    """Return a check for each law of a method and its objective.

    Args:
        plugin: The method. Its ``conformance_settings``, if it has any, are settings that make
            it quick on toy data.
        name: Name that it is registered under.
        settings: Further settings for the toy runs.
    """
    case = ObjectiveCase(plugin, dict(settings or {}))
    return make_checks(subject("objective", plugin, name), OBJECTIVE_LAWS, case, plugin)


def check_objective(
    plugin: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> None:
    """Try every law of a method and its objective.

    Args:
        plugin: The method.
        name: Name that it is registered under.
        settings: Further settings for the toy runs.

    Raises:
        LawBroken: Naming each law that is broken, and how.
    """
    run_checks(checks_for_objective(plugin, name=name, settings=settings))
