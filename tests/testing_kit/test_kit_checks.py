"""Checks as values: what they say, known failures, what is installed, and pytest's part in it."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch
from attar.errors import AttarError, UsageError
from attar.objectives import DM
from attar.parameterizations import PLAIN
from attar.registry import GROUPS, Entry, Registry
from attar.selectors import RANDOM
from attar.selectors.rules import Rule
from attar.testing import (
    Check,
    LawBroken,
    ToyModality,
    check_application,
    check_modality,
    check_objective,
    check_parameterization,
    check_selector,
    checks_for,
    checks_for_installed,
    checks_for_selector,
    laws_of,
    parametrize_with_checks,
    toy_task,
)


class Declared:
    """A selector that takes the first rows, and declares failures."""

    api = 1
    summary = "the first rows"
    uses_features = True

    def __init__(self, **known):
        self.known_failures = known

    def select(self, features, n, gen):
        return torch.arange(min(n, len(features)))


class Toy:
    api = 1
    summary = "an application"

    def register(self, app):
        app.command("toy")(lambda: None)


def entry(group: str, name: str, value: str) -> Entry:
    return Entry(
        group=group,
        name=name,
        distribution="toys",
        version="1",
        point=EntryPoint(name, value, f"attar.{group}"),
    )


def test_right_plugins_pass():
    check_modality(ToyModality(), "gauss")
    check_objective(DM)
    check_parameterization(PLAIN)
    check_selector(RANDOM)
    check_application(Toy(), name="toy")


def test_all_broken_laws_are_told_at_once():
    wrong = Rule(lambda features, n, gen: torch.zeros(n), "zeros", uses_features=False)
    with pytest.raises(LawBroken) as told:
        check_selector(wrong, name="zeros")
    lines = str(told.value).splitlines()
    assert len(lines) > 1
    assert all(line.startswith("selector zeros breaks the law '") for line in lines)
    assert "asked for 1 of 12 rows it gives no int64 rows" in lines[0]


def test_exception_of_a_plugin_is_told_as_a_broken_law():
    check = Check("selector mine", "rows_are_distinct", lambda: {}["rows"])
    with pytest.raises(
        LawBroken, match="mine breaks the law 'rows_are_distinct': it raised KeyError: 'rows'"
    ):
        check.run()
    assert issubclass(LawBroken, AttarError)


class TestKnownFailures:
    reason = "takes the first rows by design"

    def test_declared_failure_passes(self):
        check_selector(Declared(use_of_features_is_honest=self.reason))

    def test_undeclared_failure_does_not(self):
        with pytest.raises(LawBroken, match="use_of_features_is_honest"):
            check_selector(Declared())

    def test_declared_failure_must_fail(self):
        plugin = Declared(use_of_features_is_honest=self.reason, one_sample_suffices="it does")
        with pytest.raises(LawBroken, match="keeps the law 'one_sample_suffices', which it declares broken"):
            check_selector(plugin)

    def test_declared_failure_of_no_law_is_refused(self):
        with pytest.raises(LawBroken, match=r"a known failure of \['no_such_law'\], which is no law"):
            check_selector(Declared(no_such_law="?"))

    def test_declared_failure_needs_a_reason(self):
        with pytest.raises(LawBroken, match=r"of \['one_sample_suffices'\] without a reason"):
            check_selector(Declared(one_sample_suffices=" "))

    def test_pytest_is_told_to_expect_it(self):
        mark = parametrize_with_checks(checks_for_selector(Declared(use_of_features_is_honest=self.reason)))
        marks = {each.id: each.marks for each in mark.args[1]}
        (expected,) = marks["selector-Declared-use_of_features_is_honest"]
        assert expected.kwargs == {"reason": self.reason, "raises": LawBroken, "strict": True}
        assert [each for each in marks.values() if each] == [(expected,)]


class TestInstalled:
    def test_each_plugin_has_a_check_for_each_law(self):
        registry = Registry([entry("selectors", "random", "attar.selectors.rules:RANDOM")])
        assert [check.law for check in checks_for_installed(registry=registry)] == list(laws_of("selectors"))

    def test_plugins_can_be_named(self):
        mark = parametrize_with_checks([("selectors", "random"), ("parameterizations", "plain")])
        assert mark.args[0] == "check"
        assert len(mark.args[1]) == len(laws_of("selectors")) + len(laws_of("parameterizations"))

    @pytest.mark.parametrize(
        ("group", "name", "value"),
        [
            ("objectives", "mine", "no_such_module:METHOD"),
            ("selectors", "mine", "attar.parameterizations:PLAIN"),
        ],
    )
    def test_plugin_that_does_not_load_fails(self, group, name, value):
        (check,) = checks_for(group, name, registry=Registry([entry(group, name, value)]))
        with pytest.raises(LawBroken, match=f"{group} mine breaks the law 'loads'"):
            check.run()

    def test_modality_without_data_fails(self):
        (check,) = checks_for("modalities", "tensor")
        with pytest.raises(LawBroken, match="no data are given to test it with"):
            check.run()

    def test_modality_can_name_its_data(self, monkeypatch):
        registry = Registry()
        monkeypatch.setattr(
            registry.get("modalities", "tensor"), "conformance_data", ("iris",), raising=False
        )
        checks = checks_for("modalities", "tensor", data={"tensor": ("digits",)}, registry=registry)
        assert [check.subject for check in checks[:: len(laws_of("modalities"))]] == [
            "modality tensor on digits",
            "modality tensor on iris",
        ]

    def test_unknown_seam_is_refused(self):
        with pytest.raises(UsageError, match="unknown seam 'selector': did you mean 'selectors'"):
            laws_of("selector")

    def test_every_seam_has_laws(self):
        assert all(laws_of(group) for group in GROUPS)


def test_kit_is_imported_without_pytest():
    code = "import sys; sys.modules['pytest'] = None; import attar.testing; print(len(attar.testing.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10


def test_toy_data_repeat():
    one, again, other = (toy_task(seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.counts.tolist() == [10, 10, 10]
