"""The conformance kit of the seam ``attar.modalities``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attar.testing.laws import Check, make_checks, run_checks
from attar.testing.modality_case import ModalityCase, ModalityData
from attar.testing.model_laws import AUGMENT_LAWS, MODEL_LAWS
from attar.testing.plugin_laws import PLUGIN_LAWS, SECRECY_LAWS
from attar.testing.set_laws import SET_LAWS
from attar.testing.shared import SETTINGS_LAWS, law_plugin_is_complete, subject
from attar.testing.task_laws import TASK_LAWS

__all__ = ["MODALITY_LAWS", "check_modality", "checks_for_modality"]

MODALITY_LAWS: tuple[Callable[[ModalityCase], None], ...] = (
    law_plugin_is_complete,
    *SETTINGS_LAWS,
    *PLUGIN_LAWS,
    *TASK_LAWS,
    *MODEL_LAWS,
    *AUGMENT_LAWS,
    *SET_LAWS,
    *SECRECY_LAWS,
)


def checks_for_modality(plugin: Any, data: str | ModalityData, *, name: str | None = None) -> list[Check]:
    """Return a check for each law of a modality.

    Args:
        plugin: The modality.
        data: Small data that it can load without a download: a name, a path, or more.
        name: Name that it is registered under.
    """
    source = ModalityData(data=data) if isinstance(data, str) else data
    case = ModalityCase(plugin, source, name)
    return make_checks(f"{subject('modality', plugin, name)} on {source.data}", MODALITY_LAWS, case, plugin)


def check_modality(plugin: Any, data: str | ModalityData, *, name: str | None = None) -> None:
    """Try every law of a modality.

    Args:
        plugin: The modality.
        data: Small data that it can load without a download: a name, a path, or more.
        name: Name that it is registered under.

    Raises:
        LawBroken: Naming each law that is broken, and how.
    """
    run_checks(checks_for_modality(plugin, data, name=name))
