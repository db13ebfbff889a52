"""The conformance kit: does a plugin keep the laws of its seam?

A plugin's author runs it over the plugin, installed or not::

    from attar.testing import check_objective

    def test_conformance():
        check_objective(MyMethod())

or, with one test per law, ``parametrize_with_checks``. Each law that is broken raises
:class:`LawBroken` with a sentence that says which, and how. A plugin may declare
``known_failures``, a mapping from law to written reason.
"""

from attar.testing.application import check_application, checks_for_application
from attar.testing.collect import (
    DataTable,
    checks_for,
    checks_for_installed,
    laws_of,
    parametrize_with_checks,
)
from attar.testing.laws import Check, LawBroken
from attar.testing.modality import check_modality, checks_for_modality
from attar.testing.modality_case import ModalityData
from attar.testing.objective import check_objective, checks_for_objective
from attar.testing.parameterization import check_parameterization, checks_for_parameterization
from attar.testing.selector import check_selector, checks_for_selector
from attar.testing.toys import TOY_SHAPES, ToyModality, toy_augment, toy_task

__all__ = [
    "TOY_SHAPES",
    "Check",
    "DataTable",
    "LawBroken",
    "ModalityData",
    "ToyModality",
    "check_application",
    "check_modality",
    "check_objective",
    "check_parameterization",
    "check_selector",
    "checks_for",
    "checks_for_application",
    "checks_for_installed",
    "checks_for_modality",
    "checks_for_objective",
    "checks_for_parameterization",
    "checks_for_selector",
    "laws_of",
    "parametrize_with_checks",
    "toy_augment",
    "toy_task",
]
