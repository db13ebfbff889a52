import math

import pytest
import torch
from attar.contracts import Clock, Context, Subject
from attar.errors import UsageError
from attar.recipe import SizeRecipe
from attar_federated.privacy import (
    PrivateMeanEmbedding,
    clipped,
    epsilon,
    guarantee,
    guarantee_of,
    private_share,
    public_task,
)
from attar_federated.setting import Setting
from attar_federated.settings import PrivacySettings
from hypothesis import given, settings
from hypothesis import strategies as st


class Embedding(torch.nn.Module):
    """Embeds a sample as itself."""

    coupled = False

    def embed(self, inputs):
        return inputs.flatten(1)


def loss(**values):
    known = {"divisors": (1.0,) * 4, "noise": 1e-9, "clip": 1.0, "rate": 1.0, "secret": 5}
    return PrivateMeanEmbedding(**{**known, **values})


def look(task, version=0, **values):
    return loss(**values).observe(Subject(Embedding(), version), None, Context(task, 0, Clock(0, 1)))


@settings(max_examples=40)
@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), st.floats(0.01, 10))
def test_no_embedding_is_longer_than_the_clip_and_short_ones_stay(values, clip):
    given_ = torch.tensor([values], dtype=torch.float64)
    found = clipped(given_, clip)
    assert float(found.norm()) <= clip * (1 + 1e-9)
    if float(given_.norm()) <= clip:
        torch.testing.assert_close(found, given_)


def test_without_noise_a_look_is_the_sum_of_clipped_embeddings_over_the_divisor(task):
    inputs = task.gather(torch.arange(160)).inputs
    short = torch.stack([row / max(1.0, float(row.norm())) for row in inputs])
    wanted = torch.stack([short[task.labels == label].sum(0) for label in range(4)]) / 7
    torch.testing.assert_close(look(task, divisors=(7.0,) * 4), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("row", [0, 5, 91])
def test_one_sample_changes_the_sums_by_at_most_the_clip(row, task):
    """The sensitivity that the guarantee stands on: add or remove one sample, all classes together."""
    rest = task.subset(torch.tensor([each for each in range(160) if each != row]))
    apart = look(task, clip=0.7) - look(rest, clip=0.7)
    assert float(apart.norm()) <= 0.7 * (1 + 1e-4)


def test_noise_is_as_large_as_was_said(task):
    clean = look(task, clip=0.5)
    found = torch.stack([look(task, version, clip=0.5, noise=3.0) - clean for version in range(40)])
    assert abs(float(found.std()) - 1.5) < 0.1


def test_each_look_samples_anew_at_the_rate(task):
    """With embeddings cut to one length and all of one class, the length of a sum counts samples."""

    class Same(Embedding):
        def embed(self, inputs):
            return torch.ones(len(inputs), 1)

    counts = [
        float(loss(rate=0.25).observe(Subject(Same(), v), None, Context(task, 0, Clock(0, 1))).sum())
        for v in range(60)
    ]
    assert abs(sum(counts) / 60 - 40) < 4
    assert len({round(count) for count in counts}) > 5


def test_an_empty_sample_is_nothing_but_noise(task):
    assert torch.isfinite(look(task, rate=1e-12, noise=1.0)).all()


def test_draws_depend_on_the_secret_alone(task):
    assert torch.equal(look(task, noise=1.0, secret=1), look(task, noise=1.0, secret=1))
    assert not torch.equal(look(task, noise=1.0, secret=1), look(task, noise=1.0, secret=2))


@pytest.fixture
def private(recipe):
    def make(size=None, objective=None, **values):
        return recipe(
            size=size or SizeRecipe(ipc=2, policy="cap"),
            objective=objective or {"steps": 20, "reuse": 5},
            privacy={"counts": "public", "rate": 0.5, "noise": 0.5, **values},
        )

    return make


def shared(task, wanted, **more):
    setting = Setting(wanted, public_task(task, wanted.privacy))
    return private_share(task, setting.ask(1), 0, **more)


def test_what_is_sent_starts_at_noise_and_depends_on_the_secret(task, private):
    one, _ = shared(task, private(), secret=1)
    again, _ = shared(task, private(), secret=1)
    two, _ = shared(task, private(), secret=2)
    assert torch.equal(one.decode().inputs, again.decode().inputs)
    assert not torch.equal(one.decode().inputs, two.decode().inputs)


def test_steps_are_long_unless_said_otherwise(task, private):
    """At a step size of nearly nothing, the set stays at the noise that it starts at."""
    moved, _ = shared(task, private(), secret=1)
    still, _ = shared(task, private(objective={"steps": 20, "reuse": 5, "lr": 1e-12}), secret=1)
    apart = (moved.decode().inputs - still.decode().inputs).abs().max()
    assert float(apart.detach()) > 0.1


def test_what_is_sent_depends_on_the_data_through_looks_alone(task, private, monkeypatch):
    """With looks that see nothing, two clients with other samples send the same."""
    monkeypatch.setattr(
        PrivateMeanEmbedding,
        "observe",
        lambda self, subject, real, ctx: torch.zeros(4, self_size(subject, ctx)),
    )
    other = task.subset(torch.arange(80))
    one, told = shared(task, private(counts="hidden"), secret=1)
    two, _ = shared(other, private(counts="hidden"), secret=1)
    assert torch.equal(one.decode().inputs, two.decode().inputs)
    assert told.counts == ()
    assert told.cpu == 0


def self_size(subject, ctx):
    return subject.model.embed(torch.zeros(1, *ctx.task.feature)).shape[1]


def test_hidden_counts_make_every_class_and_noised_ones_drop_small_ones(task, private):
    few = task.subset(torch.tensor([0, 4, 8, 12, *range(1, 160, 4)]))
    hidden, _ = shared(few, private(counts="hidden"), secret=1)
    noised, told = shared(few, private(counts="noised", least=20, count_noise=1.0), secret=1)
    assert sorted(set(hidden.labels.tolist())) == [0, 1, 2, 3]
    assert sorted(set(noised.labels.tolist())) == [1]
    assert told.counts[1] != 40 or told.counts[0] == 0


def test_a_client_whose_noised_counts_are_all_small_says_so(task, private):
    few = task.subset(torch.arange(4))
    with pytest.raises(UsageError, match="no class has enough samples"):
        shared(few, private(counts="noised", least=50, count_noise=1.0), secret=1)


def test_statistics_are_public_constants(task, private):
    wanted = private()
    preprocessing = public_task(task, wanted.privacy).preprocessing
    assert preprocessing["mean"] == [0.5]
    assert preprocessing["std"] == [0.5]


def test_one_look_without_sampling_has_the_epsilon_of_the_gaussian_mechanism():
    """Balle and Wang 2018, equation 6: δ(ε) = Φ(1/2σ − εσ) − e^ε Φ(−1/2σ − εσ) at sensitivity 1."""

    def phi(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    found = epsilon(PrivacySettings(noise=1.3, rate=1.0, delta=1e-5, counts="hidden"), 1)
    delta = phi(1 / 2.6 - found * 1.3) - math.exp(found) * phi(-1 / 2.6 - found * 1.3)
    assert abs(delta - 1e-5) < 3e-7


@pytest.mark.parametrize(
    ("noise", "rate", "looks", "wanted"),
    [(1.0, 0.1, 50, 5.1496), (2.0, 0.1, 100, 2.3386), (0.7, 0.05, 20, 4.6509)],
)
def test_epsilon_is_that_of_another_accountant(noise, rate, looks, wanted):
    """What Opacus 1.6.0 gives: `PRVAccountant` with delta 1e-5 and eps_error 0.001."""
    chosen = PrivacySettings(noise=noise, rate=rate, delta=1e-5, counts="hidden")
    assert epsilon(chosen, looks) == pytest.approx(wanted, abs=5e-3)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"noise": 2.0}, {"noise": 1.0}),
        ({"rate": 0.05}, {"rate": 0.2}),
        ({"counts": "hidden"}, {"counts": "noised"}),
    ],
)
def test_what_tells_less_has_a_smaller_epsilon(more, less):
    assert epsilon(PrivacySettings(**more), 20) < epsilon(PrivacySettings(**less), 20)


def test_a_result_says_what_is_guaranteed_and_the_artifact_does_again(private, run):
    wanted = private(counts="noised", least=1)
    found = run(wanted)
    told = found.result.privacy
    assert told.epsilon > 0
    assert "20 of" not in told.guarantee
    assert "4 looks" in told.guarantee
    assert guarantee_of(found.union.manifest) == told
    assert told == guarantee(wanted)


def test_without_privacy_nothing_is_guaranteed(recipe):
    assert guarantee(recipe()).guarantee == "no formal guarantee"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"objective": {"steps": 5, "stays": 2}}, "leave stays and restarts at 1"),
        ({"objective": {"steps": 5, "restarts": 2}}, "leave stays and restarts at 1"),
        ({"objective": {"steps": 5, "validate_every": 5}}, "and validate_every at 0"),
        ({"size": SizeRecipe(ratio=0.1)}, "may not depend on the data"),
    ],
)
def test_what_would_look_at_the_data_elsewhere_is_refused(values, told, task, private):
    with pytest.raises(UsageError, match=told):
        shared(task, private(**values))
