"""Checks of what is installed, and as parameters of a pytest test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from attar.errors import AttarError, UsageError
from attar.registry import GROUPS, Registry
from attar.settings import unknown
from attar.testing.application import APPLICATION_LAWS, checks_for_application
from attar.testing.laws import Check, LawBroken, law_name
from attar.testing.modality import MODALITY_LAWS, checks_for_modality
from attar.testing.modality_case import ModalityData
from attar.testing.objective import OBJECTIVE_LAWS, checks_for_objective
from attar.testing.parameterization import PARAMETERIZATION_LAWS, checks_for_parameterization
from attar.testing.selector import SELECTOR_LAWS, checks_for_selector

__all__ = ["DataTable", "checks_for", "checks_for_installed", "laws_of", "parametrize_with_checks"]

DataTable: TypeAlias = Mapping[str, Sequence[str | ModalityData]]
"""Data that each modality is tested with, by its name."""

_LAWS: Mapping[str, Sequence[Callable[[Any], None]]] = {
    "modalities": MODALITY_LAWS,
    "objectives": OBJECTIVE_LAWS,
    "parameterizations": PARAMETERIZATION_LAWS,
    "selectors": SELECTOR_LAWS,
    "applications": APPLICATION_LAWS,
}
_KITS: Mapping[str, Callable[..., list[Check]]] = {
    "objectives": checks_for_objective,
    "parameterizations": checks_for_parameterization,
    "selectors": checks_for_selector,
    "applications": checks_for_application,
}


def laws_of(group: str) -> tuple[str, ...]:
    """Return the names of the laws of a seam, one of :data:`attar.registry.GROUPS`.

    Raises:
        UsageError: If there is no such seam.
    """
    if group not in _LAWS:
        raise UsageError(unknown("seam", group, GROUPS))
    return tuple(law_name(law) for law in _LAWS[group])


def _failing(subject: str, law: str, problem: str) -> Check:
    def test() -> None:
        raise LawBroken(problem)

    return Check(subject=subject, law=law, test=test)


def checks_for(
    group: str, name: str, *, data: DataTable | None = None, registry: Registry | None = None
) -> list[Check]:
    """Return the checks of one installed plugin.

    A plugin that does not load, and a modality that nobody gives data for, has one check, which
    fails and says so: nothing installed passes unseen.

    Args:
        group: Its seam, one of :data:`attar.registry.GROUPS`.
        name: Its name.
        data: Data of each modality, beside what a modality names as ``conformance_data``.
        registry: The plugins known; by default all that are installed.
    """
    laws_of(group)
    label = f"{group} {name}"
    try:
        plugin = (registry or Registry()).get(group, name)
        if group != "modalities":
            return _KITS[group](plugin, name=name)
        given = [*(data or {}).get(name, ()), *getattr(plugin, "conformance_data", ())]
        if not given:
            problem = f"no data are given to test it with: add some to the table, under {name!r}"
            return [_failing(label, "has_data", problem)]
        return [check for each in given for check in checks_for_modality(plugin, each, name=name)]
    except AttarError as error:
        return [_failing(label, "loads", str(error))]


def checks_for_installed(*, data: DataTable | None = None, registry: Registry | None = None) -> list[Check]:
    """Return the checks of every plugin of a registry.

    Args:
        data: Data of each modality, beside what a modality names as ``conformance_data``.
        registry: The plugins known; by default all that are installed.
    """
    registry = registry or Registry()
    pairs = [(group, name) for group in GROUPS for name in registry.names(group)]
    return [check for group, name in pairs for check in checks_for(group, name, data=data, registry=registry)]


def parametrize_with_checks(
    subjects: Iterable[Check | tuple[str, str]],
    *,
    data: DataTable | None = None,
    registry: Registry | None = None,
) -> Any:
    """Return a pytest mark that gives a test each check in turn, as the argument ``check``.

    A failure that a plugin declares in ``known_failures`` is expected: the test fails if the
    law is kept. pytest is imported here, so that the kit can be used without it::

        @parametrize_with_checks([("objectives", "mine")])
        def test_conformance(check):
            check.run()

    Args:
        subjects: Checks, or seams and names of installed plugins.
        data: Data of each modality, beside what a modality names as ``conformance_data``.
        registry: The plugins known; by default all that are installed.
    """
    import pytest

    checks: list[Check] = []
    for each in subjects:
        if isinstance(each, Check):
            checks.append(each)
        else:
            checks += checks_for(*each, data=data, registry=registry)
    parameters = []
    for check in checks:
        reason = check.known_failure
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, raises=LawBroken, strict=True),)
        parameters.append(pytest.param(check, id=check.name, marks=marks))
    return pytest.mark.parametrize("check", parameters)
