"""Each law of an objective has a method that breaks it, and as far as can be it alone."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from attar.objectives import DM, Fresh, MeanEmbedding
from attar.objectives.distribution import ClassMeans, embed
from attar.optim import OptimSpec
from attar.plugins import MethodSettings
from attar.rng import derive
from attar.testing import checks_for_objective, laws_of
from pydantic import ConfigDict


class PairSettings(MethodSettings):
    pair: Any = (1, 2)


class ThawedSettings(MethodSettings):
    model_config = ConfigDict(frozen=False)


class LaxSettings(MethodSettings):
    model_config = ConfigDict(extra="ignore")


class Method:
    """DM with a loss, a source or an attribute of its own."""

    api = 1
    summary = "a method"
    reference = "nobody"
    Settings = MethodSettings
    label_kinds = ("hard",)

    def __init__(self, loss=None, source=None, siamese=True, **given):
        self.loss, self.source, self.siamese = loss or MeanEmbedding(), source or Fresh(reuse=3), siamese
        vars(self).update(given)

    def build(self, settings):
        built = DM.build(DM.Settings())
        source = replace(self.source, model=settings.model)
        return replace(built, loss=self.loss, source=source, siamese=self.siamese)

    def optimizers(self, settings):
        return {"values": OptimSpec(lr=0.5)}


class Unclaimed(MeanEmbedding):
    claims = frozenset()


class ListsNeeds(MeanEmbedding):
    needs = ("embed",)


class SetOfClaims(MeanEmbedding):
    claims = {"zero_at_real"}


class ClaimsMore(MeanEmbedding):
    claims = MeanEmbedding.claims | {"fast"}


class InfiniteOnImages(Unclaimed):
    def compare(self, subject, stats, syn, ctx, learned):
        loss = super().compare(subject, stats, syn, ctx, learned)
        return loss + torch.inf if syn.inputs.ndim == 4 else loss


class OmitsFirst(Unclaimed):
    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats, syn.take(torch.arange(1, len(syn))), ctx, learned)


class Single(MeanEmbedding):
    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats, syn, ctx, learned).float()


class LosesDigits(Unclaimed):
    def compare(self, subject, stats, syn, ctx, learned):
        rows = syn.inputs.flatten(1)
        # Products in bfloat16 know 3,000 to the nearest 16.
        far = (rows + 3000) @ torch.eye(rows.shape[1], dtype=rows.dtype)
        return super().compare(subject, stats, syn, ctx, learned) + ((far - 3000) ** 2).sum()


class ObservesWithGradient(MeanEmbedding):
    def observe(self, subject, real, ctx):
        return {"means": [ClassMeans.over([embed(subject.model, real, 99)], real.labels)]}

    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats["means"][0], syn, ctx, learned)


class TouchesBuffers(MeanEmbedding):
    def compare(self, subject, stats, syn, ctx, learned):
        for buffer in subject.model.buffers():
            buffer.add_(1)
        return super().compare(subject, stats, syn, ctx, learned)


class DrawsGlobally(MeanEmbedding):
    def compare(self, subject, stats, syn, ctx, learned):
        torch.rand(1)
        return super().compare(subject, stats, syn, ctx, learned)


class HidesNeeds(MeanEmbedding):
    needs = frozenset()


class NeverZero(MeanEmbedding):
    claims = frozenset({"zero_at_real"})

    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats, syn, ctx, learned) + 1


class PrefersFirst(MeanEmbedding):
    claims = frozenset({"order_free"})

    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats, syn, ctx, learned) + 0.1 * (syn.inputs[0] ** 2).sum()


class IsNoSum(MeanEmbedding):
    claims = frozenset({"by_class"})

    def compare(self, subject, stats, syn, ctx, learned):
        return super().compare(subject, stats, syn, ctx, learned).log1p()


class FailsLater(MeanEmbedding):
    def compare(self, subject, stats, syn, ctx, learned):
        loss = super().compare(subject, stats, syn, ctx, learned)
        # The gradient alone is not finite, and in the last step only.
        return loss + (0 * syn.inputs.sqrt()).sum() if ctx.clock.step and syn.inputs.ndim == 4 else loss


class WantsTwo(MeanEmbedding):
    def observe(self, subject, real, ctx):
        if len(real) < 2 * len(real.labels.unique()):
            raise ValueError("a standard deviation needs two samples")
        return super().observe(subject, real, ctx)


class Blind(Unclaimed):
    """Looks at no real data."""

    real = None

    def observe(self, subject, real, ctx):
        return None


class BlindAndModelFree(Blind):
    needs = frozenset()

    def compare(self, subject, stats, syn, ctx, learned):
        return 0.1 * (syn.inputs**2).sum()


class BlindNorm(Blind):
    def compare(self, subject, stats, syn, ctx, learned):
        return (embed(subject.model, syn, 99) ** 2).mean()


class Ascends(MeanEmbedding):
    def compare(self, subject, stats, syn, ctx, learned):
        loss = super().compare(subject, stats, syn, ctx, learned)
        return 2 * loss.detach() - loss


@dataclass(frozen=True)
class SeesGlobalSeed(Fresh):
    def next(self, state, ctx, syn):
        return super().next(state, replace(ctx, seed=ctx.seed + torch.initial_seed()), syn)


@dataclass(frozen=True)
class DrawsFromGlobal(Fresh):
    def next(self, state, ctx, syn):
        torch.rand(1)
        return super().next(state, ctx, syn)


@dataclass(frozen=True)
class HiddenCounter(Fresh):
    def next(self, state, ctx, syn):
        state.count = getattr(state, "count", 0) + 1
        return super().next(state, replace(ctx, clock=replace(ctx.clock, step=state.count)), syn)


@dataclass(frozen=True)
class SilentChange(Fresh):
    def next(self, state, ctx, syn):
        subject = super().next(state, ctx, syn)
        model = ctx.task.build(self.model, derive(ctx.seed, "silent", ctx.clock.step)).requires_grad_(False)
        return replace(subject, model=model)


class SetState:
    def __init__(self):
        self.models = {}

    def state_dict(self):
        return {"seen": {1, 2}}

    def load_state_dict(self, state):
        pass


@dataclass(frozen=True)
class KeepsASet(Fresh):
    def init(self, ctx):
        return SetState()


@dataclass(frozen=True)
class Duck:
    """Does what an ``OptimSpec`` does, and is none."""

    lr: float = 0.5

    def rate(self, step, steps):
        return self.lr

    def unit(self, parameters):
        return 1.0

    def build(self, parameters):
        return torch.optim.SGD(parameters, lr=self.lr)


WRONG = {
    "plugin_is_complete": Method(summary=""),
    "settings_have_defaults": Method(Settings=PairSettings),
    "settings_are_frozen": Method(Settings=ThawedSettings),
    "settings_refuse_unknown_keys": Method(Settings=LaxSettings),
    "loss_says_what_it_needs": Method(SetOfClaims()),
    "claims_are_known": Method(ClaimsMore()),
    "loss_is_a_finite_scalar": Method(InfiniteOnImages()),
    "gradient_reaches_the_set": Method(OmitsFirst()),
    "dtype_is_kept": Method(Single()),
    "bfloat16_keeps_the_direction": Method(LosesDigits()),
    "observe_gives_constants": Method(ObservesWithGradient()),
    "loss_leaves_the_model_alone": Method(TouchesBuffers()),
    "loss_leaves_global_rng": Method(DrawsGlobally()),
    "needs_are_honest": Method(HidesNeeds()),
    "zero_at_real": Method(NeverZero()),
    "order_free": Method(PrefersFirst()),
    "by_class": Method(IsNoSum()),
    "optimizers_cover_roles": Method(optimizers=lambda settings: {"values": Duck()}),
    "runs_on_any_shape": Method(FailsLater()),
    "runs_on_little_data": Method(WantsTwo()),
    "same_seed_same_result": Method(source=SeesGlobalSeed()),
    "other_seed_other_result": Method(BlindAndModelFree(), siamese=False),
    "run_leaves_global_rng": Method(source=DrawsFromGlobal()),
    "resume_is_exact": Method(source=HiddenCounter()),
    "version_marks_change": Method(BlindNorm(), SilentChange(reuse=3), siamese=False),
    "source_state_can_be_saved": Method(source=KeepsASet()),
    "steps_lower_the_loss": Method(Ascends()),
}
# What else such a fault cannot but break: a run of it diverges, or its checkpoint cannot be written.
ALSO = {
    "loss_is_a_finite_scalar": {"runs_on_any_shape"},
    "source_state_can_be_saved": {"resume_is_exact"},
}


def test_every_law_has_a_wrong_method():
    assert set(WRONG) == set(laws_of("objectives"))


@pytest.mark.parametrize("method", [DM, Method()], ids=["dm", "toy"])
def test_right_method_keeps_every_law(broken, method):
    assert broken(checks_for_objective(method)) == {}


@pytest.mark.parametrize("law", WRONG)
def test_wrong_method_breaks_its_law_alone(broken, law):
    found = broken(checks_for_objective(WRONG[law]))
    assert set(found) == {law} | ALSO.get(law, set()), found
    assert law == "runs_on_any_shape" or "it raised" not in found[law]


def test_claims_and_needs_are_frozen_sets(broken):
    found = broken(checks_for_objective(Method(ListsNeeds())))
    assert "its loss must have needs as a frozenset of names" in found["loss_says_what_it_needs"]


def test_settings_make_a_method_quick(broken):
    checks = checks_for_objective(DM, settings={"no_such": 1})
    assert "objective.no_such" in broken(checks)["resume_is_exact"]


def test_a_method_brings_its_own_settings(broken):
    checks = checks_for_objective(Method(conformance_settings={"model": "no-such-model"}))
    assert "no-such-model" in broken(checks)["steps_lower_the_loss"]
