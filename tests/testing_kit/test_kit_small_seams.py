"""Each law of parameterizations, selectors and applications has a plugin that breaks it alone."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from attar.pages import Part
from attar.parameterizations import PLAIN, Plain
from attar.selectors import HERDING, K_CENTER, MEANS, RANDOM
from attar.selectors.rules import Rule
from attar.settings import Settings
from attar.testing import (
    checks_for_application,
    checks_for_parameterization,
    checks_for_selector,
    laws_of,
)
from pydantic import ConfigDict
from torch import nn


class PairSettings(Settings):
    pair: Any = (1, 2)


class ThawedSettings(Settings):
    model_config = ConfigDict(frozen=False)


class LaxSettings(Settings):
    model_config = ConfigDict(extra="ignore")


class Plugin:
    """The plain parameterization with a module or an attribute of its own."""

    api = 1
    summary = "a parameterization"
    Settings = Settings

    def __init__(self, module=Plain, **given):
        self.module = module
        vars(self).update(given)

    def packs(self, settings, feature):
        return 1

    def initialize(self, values, settings, gen):
        return self.module(values)

    def restore(self, settings, tensors):
        return self.module(tensors["values"])


class Doubles(Plain):
    def __init__(self, values):
        super().__init__(values.double())

    def forward(self):
        return self.values.float(), torch.arange(len(self.values))


class ShortOwners(Plain):
    def forward(self):
        values, owner = super().forward()
        return values, owner.to(torch.int32)


class IdleParameter(Plain):
    def __init__(self, values):
        super().__init__(values)
        self.idle = nn.Parameter(torch.zeros(1))


class Strided(Plain):
    def stored(self):
        return {"values": self.values.transpose(0, 1).contiguous().transpose(0, 1)}


class ForgetsCheckpoint(Plain):
    def load_state_dict(self, state):
        pass


class KeepsFirst(Plain):
    def keep(self, rows):
        return super().keep(rows.sort().values)


class Shares(Plain):
    def __init__(self, values):
        nn.Module.__init__(self)
        self.values = nn.Parameter(values)


def noisy(values, settings, gen):
    unseeded = torch.Generator()
    unseeded.seed()
    return Plain(values + torch.randn(values.shape, generator=unseeded))


PARAMETERIZATIONS = {
    "plugin_is_complete": Plugin(summary=""),
    "settings_have_defaults": Plugin(Settings=PairSettings),
    "settings_are_frozen": Plugin(Settings=ThawedSettings),
    "settings_refuse_unknown_keys": Plugin(Settings=LaxSettings),
    "parameterization_is_a_module": Plugin(Doubles),
    "forward_gives_values_and_owners": Plugin(ShortOwners),
    "gradient_reaches_all_parameters": Plugin(IdleParameter),
    "storage_is_exact": Plugin(restore=lambda settings, tensors: Plain(tensors["values"] * 2)),
    "stored_tensors_are_plain": Plugin(Strided),
    "kept_samples_decode_alike": Plugin(KeepsFirst),
    "checkpoint_is_exact": Plugin(ForgetsCheckpoint),
    "initialize_follows_generator": Plugin(initialize=noisy),
    "initialize_leaves_values_alone": Plugin(Shares),
    "claims_are_kept": Plugin(
        claims=frozenset({"lossless"}), initialize=lambda values, settings, gen: Plain(values * 2)
    ),
}


class TestParameterizations:
    def test_every_law_has_a_wrong_one(self):
        assert set(PARAMETERIZATIONS) == set(laws_of("parameterizations"))

    @pytest.mark.parametrize("plugin", [PLAIN, Plugin(claims=frozenset({"lossless"}))], ids=["plain", "toy"])
    def test_right_one_keeps_every_law(self, broken, plugin):
        assert broken(checks_for_parameterization(plugin)) == {}

    @pytest.mark.parametrize("law", PARAMETERIZATIONS)
    def test_wrong_one_breaks_its_law_alone(self, broken, law):
        found = broken(checks_for_parameterization(PARAMETERIZATIONS[law]))
        assert list(found) == [law], found
        assert "it raised" not in found[law]

    def test_unknown_claims_are_refused(self, broken):
        found = broken(checks_for_parameterization(Plugin(claims=frozenset({"tiny"}))))
        assert "it claims tiny; known claims are lossless" in found["claims_are_kept"]


def rule(function, uses_features=False):
    return Rule(function, "a rule", uses_features=uses_features)


def first(features, n, gen):
    return torch.arange(min(n, len(features)))


def drawing(features, n, gen):
    torch.rand(1)
    return first(features, n, gen)


def seeing(features, n, gen):
    return (first(features, n, gen) + torch.initial_seed()) % len(features)


def distinct(features, n, gen):
    values, where = features[:, 0].unique(return_inverse=True)
    rows = torch.stack([(where == index).nonzero()[0, 0] for index in range(len(values))])
    return rows[:n]


def stretching(features, n, gen):
    return HERDING.select(features.mul_(2), n, gen)


def lonely(features, n, gen):
    return first(features, n if len(features) > 1 else 0, gen)


@dataclass(frozen=True)
class Emptying(Rule):
    def groups(self, features, n, gen):
        return torch.zeros(len(features), dtype=torch.int64)


SELECTORS = {
    "plugin_is_complete": replace(RANDOM, summary=""),
    "rows_are_distinct": rule(lambda features, n, gen: first(features, n, gen) % 8),
    "all_rows_can_be_asked_for": rule(lambda features, n, gen: torch.arange(n)),
    "one_sample_suffices": rule(lonely),
    "duplicates_are_no_harm": rule(distinct, uses_features=True),
    "generator_decides": rule(seeing),
    "global_rng_is_left_alone": rule(drawing),
    "features_are_left_alone": rule(stretching, uses_features=True),
    "use_of_features_is_honest": rule(first, uses_features=True),
    "groups_are_whole": Emptying(HERDING.function, "a rule"),
}


class TestSelectors:
    def test_every_law_has_a_wrong_one(self):
        assert set(SELECTORS) == set(laws_of("selectors"))

    @pytest.mark.parametrize(
        "plugin", [RANDOM, HERDING, K_CENTER, MEANS], ids=["random", "herding", "k-center", "means"]
    )
    def test_right_one_keeps_every_law(self, broken, plugin):
        assert broken(checks_for_selector(plugin)) == {}

    @pytest.mark.parametrize("law", SELECTORS)
    def test_wrong_one_breaks_its_law_alone(self, broken, law):
        found = broken(checks_for_selector(SELECTORS[law]))
        assert list(found) == [law], found
        assert "it raised" not in found[law]


def command() -> None:
    """Do something."""


class Application:
    api = 1

    def __init__(self, *names, summary="an application"):
        self.names, self.summary = names, summary

    def register(self, app):
        for name in self.names:
            app.command(name)(command)


class GroupApplication(Application):
    def register(self, app):
        import typer

        group = typer.Typer()
        group.callback()(lambda: None)
        group.command("simulate")(command)
        app.add_typer(group, name="toy")


class EveryPage(Application):
    def part(self, run):
        return Part("a run", "run", "", ())


APPLICATIONS = {
    "plugin_is_complete": Application("toy", summary=""),
    "one_command_is_added": Application("toy", "another"),
    "other_commands_are_left_alone": Application("toy", "already-there"),
    "pages_are_of_its_own_runs": EveryPage("toy"),
}


class TestApplications:
    def test_every_law_has_a_wrong_one(self):
        assert set(APPLICATIONS) == set(laws_of("applications"))

    @pytest.mark.parametrize("plugin", [Application("toy"), GroupApplication()], ids=["command", "group"])
    def test_right_one_keeps_every_law(self, broken, plugin):
        assert broken(checks_for_application(plugin, name="toy")) == {}

    @pytest.mark.parametrize("law", APPLICATIONS)
    def test_wrong_one_breaks_its_law_alone(self, broken, law):
        found = broken(checks_for_application(APPLICATIONS[law], name="toy"))
        assert list(found) == [law], found
        assert "it raised" not in found[law]

    def test_command_bears_the_name_of_the_application(self, broken):
        found = broken(checks_for_application(Application("other"), name="toy"))
        assert "adds the commands ['other'], not one named 'toy'" in found["one_command_is_added"]
