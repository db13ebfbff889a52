import math
import os
import re
from dataclasses import replace

import attar
import numpy as np
import pytest
import torch
from attar.artifact import data_record
from attar.contracts import Clock, Context, Subject
from attar.errors import UsageError
from attar.recipe import SizeRecipe
from attar.tensor import ArrayItems, Standardize
from attar.testing.toys import toy_task
from attar_federated.clients import check_models
from attar_federated.flower import _trusted, client_app
from attar_federated.grid import InProcessGrid
from attar_federated.noise import Secret
from attar_federated.policy import NodePolicy
from attar_federated.privacy import (
    GRID,
    PrivateMeanEmbedding,
    check_apart,
    check_claim,
    clipped,
    epsilon,
    guarantee,
    guarantee_of,
    private_share,
    public_record,
    public_task,
)
from attar_federated.records import Share
from attar_federated.server import ServerOptions, serve
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
    known = {"divisors": (1.0,) * 4, "noise": 1e-9, "clip": 1.0, "rate": 1.0, "secret": secret(5)}
    return PrivateMeanEmbedding(**{**known, **values})


def secret(number):
    return Secret(number.to_bytes(32, "big"))


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
    # Each of 160 embeddings loses up to a step of the grid in each coordinate.
    torch.testing.assert_close(look(task, divisors=(7.0,) * 4), wanted, atol=160 * GRID / 7, rtol=1e-4)


@pytest.mark.parametrize("row", [0, 5, 91])
def test_one_sample_changes_the_sums_by_at_most_the_clip(row, task):
    """The sensitivity that the guarantee stands on: add or remove one sample, all classes together."""
    rest = task.subset(torch.tensor([each for each in range(160) if each != row]))
    apart = look(task, clip=0.7) - look(rest, clip=0.7)
    assert 0 < float(apart.norm()) <= 0.7 * (1 + 1e-6)


def test_noise_is_as_large_as_was_said(task):
    clean = look(task, clip=0.5)
    found = torch.stack([look(task, version, clip=0.5, noise=3.0) - clean for version in range(40)])
    assert abs(float(found.std()) - 1.5) < 0.1


def test_each_look_samples_anew_at_the_rate(task):
    """With embeddings cut to one length and all of one class, the length of a sum counts samples."""

    class Same(Embedding):
        def embed(self, inputs):
            return torch.ones(len(inputs), 1)

    # Counting needs no noise.
    counts = [
        float(loss(rate=0.25).observe(Subject(Same(), v), None, Context(task, 0, Clock(0, 1))).sum())
        for v in range(60)
    ]
    assert abs(sum(counts) / 60 - 40) < 4
    assert len({round(count) for count in counts}) > 5


def test_an_empty_sample_is_nothing_but_noise(task):
    assert torch.isfinite(look(task, rate=1e-12, noise=1.0)).all()


def test_draws_depend_on_the_secret_alone(task):
    assert torch.equal(look(task, noise=1.0, secret=secret(1)), look(task, noise=1.0, secret=secret(1)))
    assert not torch.equal(look(task, noise=1.0, secret=secret(1)), look(task, noise=1.0, secret=secret(2)))


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
    one, _ = shared(task, private(), secret=secret(1))
    again, _ = shared(task, private(), secret=secret(1))
    two, _ = shared(task, private(), secret=secret(2))
    assert torch.equal(one.decode().inputs, again.decode().inputs)
    assert not torch.equal(one.decode().inputs, two.decode().inputs)


def test_steps_are_long_unless_said_otherwise(task, private):
    """At a step size of nearly nothing, the set stays at the noise that it starts at."""
    moved, _ = shared(task, private(), secret=secret(1))
    still, _ = shared(task, private(objective={"steps": 20, "reuse": 5, "lr": 1e-12}), secret=secret(1))
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
    one, told = shared(task, private(counts="hidden"), secret=secret(1))
    two, _ = shared(other, private(counts="hidden"), secret=secret(1))
    assert torch.equal(one.decode().inputs, two.decode().inputs)
    assert told.counts == ()
    assert told.cpu == 0


def self_size(subject, ctx):
    return subject.model.embed(torch.zeros(1, *ctx.task.feature)).shape[1]


def test_hidden_counts_make_every_class_and_noised_ones_drop_small_ones(task, private):
    few = task.subset(torch.tensor([0, 4, 8, 12, *range(1, 160, 4)]))
    hidden, _ = shared(few, private(counts="hidden"), secret=secret(1))
    noised, told = shared(few, private(counts="noised", least=20, count_noise=1.0), secret=secret(1))
    assert sorted(set(hidden.labels.tolist())) == [0, 1, 2, 3]
    assert sorted(set(noised.labels.tolist())) == [1]
    assert told.counts[1] != 40 or told.counts[0] == 0


def test_a_client_whose_noised_counts_are_all_small_says_so(task, private):
    few = task.subset(torch.arange(4))
    with pytest.raises(UsageError, match="no class has 50 samples once noise is added"):
        shared(few, private(counts="noised", least=50, count_noise=1.0), secret=secret(1))


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


def test_a_secret_has_more_bits_than_a_seed():
    """PyTorch's generators keep 32 bits of a seed, so that noise from them can be found by trying all."""
    one, two = secret(5), secret(5 + 2**32)
    assert not torch.equal(one.normal((4,)), two.normal((4,)))
    assert torch.equal(torch.randn(4, generator=seeded(5)), torch.randn(4, generator=seeded(5 + 2**32)))
    assert len(Secret.new().key) == 32
    assert Secret.new() != Secret.new()
    assert "key" not in repr(one)
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Secret(b"short")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_secret_draws_what_it_says():
    """Kolmogorov and Smirnov: 20,000 draws are within 0.02 of the distribution at a level of 1e-6."""
    scipy_stats = pytest.importorskip("scipy.stats")
    uniform, normal = secret(1).uniform(20_000, "a"), secret(1).normal((100, 200), "b")
    assert scipy_stats.kstest(uniform.numpy(), "uniform").statistic < 0.02
    assert scipy_stats.kstest(normal.flatten().numpy(), "norm").statistic < 0.02
    assert abs(float(torch.corrcoef(torch.stack([uniform, secret(1).uniform(20_000, "c")]))[0, 1])) < 0.04
    assert 0 < float(uniform.min()) <= float(uniform.max()) <= 1


class Odd(ArrayItems):
    """Samples of which the last holds a value that no file could, or cannot be read."""

    value = None

    def read(self, rows):
        found = super().read(rows).clone()
        last = rows == len(self.labels) - 1
        if self.value is None and bool(last.any()):
            raise UsageError("it cannot be read")
        found[last] = self.value or 0.0
        return found


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 3e38, None])
def test_a_sample_that_is_not_finite_or_cannot_be_read_is_as_no_sample(value, task):
    """It must neither show in a sum nor end the run, by which others would learn of it."""
    rows, labels = task.gather(torch.arange(9)).inputs.numpy(), np.zeros(9, np.int64)
    items = Odd(rows, labels, "odd")
    items.value = value
    odd = replace(task, train=items, preprocess=Standardize())
    rest = replace(task, train=ArrayItems(rows[:8], labels[:8], "even"), preprocess=Standardize())
    one, two = look(odd), look(rest)
    assert torch.isfinite(one).all()
    assert float((one - two).norm()) <= 1.0 + 1e-6


ARCHITECTURES = [
    *("convnet", "convnet,norm=batch", "convnet,norm=group", "convnet,norm=layer", "convnet,norm=none"),
    *("mlp", "linear", "lenet", "alexnet,width=8", "vgg11,width=8", "resnet18,width=8"),
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_sample_moves_the_sums_of_every_allowed_network_by_at_most_the_clip(name):
    """The audit of the sensitivity: a striped picture among dark ones, which a batch norm amplifies."""
    pictures = attar.task("image", data="digits")
    dark = torch.full((24, 1, 8, 8), 1, dtype=torch.uint8)
    dark[-1, :, ::2] = 255
    labels = torch.zeros(24, dtype=torch.int64)

    def of(n):
        items = ArrayItems(dark[:n].numpy(), labels[:n].numpy(), f"{n} pictures")
        return replace(pictures, train=items, validation=None)

    if "batch" in name or "resnet" in name:
        with pytest.raises(UsageError, match="may not influence one another"):
            check_apart(pictures, name, 0)
        return
    check_apart(pictures, name, 0)
    model = pictures.build(name, seeded(0))
    known = loss(divisors=(1.0,) * 10, noise=1e-9, clip=1.0)
    one, two = (known.observe(Subject(model, 0), None, Context(of(n), 0, Clock(0, 1))) for n in (24, 23))
    assert 0 < float((one - two).norm()) <= 1.0 + 1e-6


class Remembers(Embedding):
    """Embeds a sample by what it saw before: each changes the next."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(6))

    def embed(self, inputs):
        found = inputs + self.last
        self.last = inputs.mean(0)
        return found


class Centers(Embedding):
    def embed(self, inputs):
        return inputs - inputs.mean(0)


@pytest.mark.parametrize("model", [Remembers, Centers])
def test_a_network_that_mixes_samples_is_refused_whatever_it_says(model, task):
    odd = task.with_architecture("odd", lambda feature, classes: model())
    with pytest.raises(
        UsageError, match="samples of a batch may not influence one another, as they do in 'odd'"
    ):
        check_apart(odd, "odd", 0)


def test_a_coupled_network_is_refused_before_any_work(run, private):
    with pytest.raises(UsageError, match="may not influence one another"):
        run(private().model_copy(update={"model": "mlp,norm=batch"}))


def released(noise, rate, looks, trials, canary):
    """Return a statistic of what is released in many trials: all looks along the canary's embedding."""
    rows = torch.zeros(2 + canary, 1)
    rows[2:] = 5.0
    few = replace(
        toy_task((1,), classes=2, n=8, seed=0, modality="tensor"),
        train=ArrayItems(rows.numpy(), np.zeros(len(rows), np.int64), "few"),
        preprocess=Standardize(),
    )
    context, model = Context(few, 0, Clock(0, 1)), Embedding()
    found = []
    for _ in range(trials):
        known = loss(divisors=(1.0, 1.0), noise=noise, rate=rate, secret=Secret.new())
        found.append(sum(float(known.observe(Subject(model, k), None, context)[0, 0]) for k in range(looks)))
    return torch.tensor(found)


def attacked(inside, outside, delta):
    """Return a lower bound on ε, at 95 %, of a test that tells by a threshold whether the canary was there.

    The threshold is chosen on one half of the trials, and its errors are bounded on the other (Clopper
    and Pearson 1934). Any (ε, δ)-private mechanism has TPR ≤ e^ε FPR + δ (Kairouz et al. 2015).
    """
    beta = pytest.importorskip("scipy.stats").beta
    half = len(inside) // 2

    def rate(values, threshold):
        return int((values > threshold).sum())

    def bound(threshold, first, second):
        hits, misses = rate(first, threshold), rate(second, threshold)
        low = beta.ppf(0.025, hits, len(first) - hits + 1) if hits else 0.0
        high = beta.ppf(0.975, misses + 1, len(second) - misses) if misses < len(second) else 1.0
        return math.log((low - delta) / high) if low > delta else -math.inf

    def best(first, second):
        thresholds = torch.quantile(torch.cat([first[:half], second[:half]]), torch.linspace(0.01, 0.99, 99))
        chosen = max(thresholds.tolist(), key=lambda each: bound(each, first[:half], second[:half]))
        return bound(chosen, first[half:], second[half:])

    return max(best(inside, outside), best(-outside, -inside))


@pytest.mark.parametrize(("noise", "trials"), [(0.5, 200), (1.0, 200), (2.0, 200)])
def test_an_attack_learns_no_more_than_was_stated(noise, trials):
    """The audit of ε: a canary at the largest norm, against an attacker who knows all else and each look."""
    rate, looks = 0.5, 4
    stated = epsilon(PrivacySettings(noise=noise, rate=rate, counts="hidden"), looks)
    trials *= int(os.environ.get("ATTAR_AUDIT", "1"))
    inside, outside = (released(noise, rate, looks, trials, canary) for canary in (1, 0))
    found = attacked(inside, outside, 1e-5)
    print(f"noise {noise}: stated {stated:.2f}, attacked {found:.2f} in {trials} trials")
    assert found <= stated
    # The attack itself works: with a fifth of the noise it finds more than what was stated for all of it.
    inside, outside = (released(noise / 10, rate, looks, trials, canary) for canary in (1, 0))
    assert attacked(inside, outside, 1e-5) > 0.5 * stated / 10


def test_a_result_tells_neither_counts_nor_hashes_of_the_data(private, run, task, tmp_path):
    wanted = private(counts="hidden")
    found = run(wanted, out=tmp_path / "run", counts=((10, 20, 5, 5),) * 4)
    assert found.result.counts == ()
    assert sum(found.union.manifest.data.counts) == 0
    files = [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".json", ".toml", ".jsonl")]
    text = "".join(path.read_text() for path in files)
    assert task.fingerprint not in text
    assert public_task(task, wanted.privacy).fingerprint not in text


def test_a_record_tells_no_number_of_samples_and_no_name_of_one(task):
    record = data_record(task).model_copy(
        update={"about": {"skipped": {"names": ["a.png"]}, "form": "8 × 8"}}
    )
    assert record.splits["train"] == 160
    told = public_record(record, PrivacySettings())
    assert (sum(told.counts), told.fingerprint, told.splits, told.about) == (0, "", {}, {"form": "8 × 8"})


@pytest.mark.parametrize("name", ["the vocabulary of TF-IDF", "the size of the pictures (data.size)"])
def test_what_was_fitted_on_the_data_is_refused(name, task, private):
    with pytest.raises(UsageError, match=re.escape(f"{name} of")):
        public_task(replace(task, fitted=name), PrivacySettings())
    wanted = private()
    ask = Setting(wanted, public_task(task, wanted.privacy)).ask(1)
    with pytest.raises(UsageError, match=re.escape(f"{name} of")):
        private_share(replace(task, fitted=name), ask, 0)


def test_a_sample_of_a_class_that_the_server_does_not_name_changes_nothing(task, private):
    wanted = private(counts="hidden")
    ask = Setting(wanted, public_task(task, wanted.privacy)).ask(1)
    inputs = torch.cat([task.train.read(torch.arange(160)), torch.zeros(1, 6)]).numpy()
    labels = torch.cat([task.train.labels, torch.tensor([4])]).numpy()
    more = replace(task, train=ArrayItems(inputs, labels), classes=(*task.classes, "another"))
    one, _ = private_share(task, ask, 0, secret=secret(1))
    two, _ = private_share(more, ask, 0, secret=secret(1))
    assert torch.equal(one.decode().inputs, two.decode().inputs)


def test_a_network_that_is_code_is_not_imported_because_a_server_says_so(
    private, task, tmp_path, monkeypatch
):
    (tmp_path / "sly.py").write_text("open('imported', 'w')\ndef net(feature, classes): raise ValueError\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for wanted in (private(objective={"steps": 5, "model": "sly:net"}), private(objective={"steps": 5})):
        asked = Setting(wanted, public_task(task, wanted.privacy)).ask(1)
        ask = asked.model_copy(update={"model": "" if wanted.objective.get("model") else "sly:net,width=3"})
        with pytest.raises(
            UsageError, match=r"asks for the network 'sly:net.*', which is code; if you trust it"
        ):
            check_models(task, ask, {"other:net"})
        check_models(task, ask, {"sly:net"})
    assert not (tmp_path / "imported").exists()
    assert _trusted({"models": "a:b; sly:net,width=3"}, ["c:d"]) == {"a:b", "sly:net", "c:d"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"privacy": None}, "does not say that it added the noise"),
        ({"privacy": {"noise": 9.0}}, "does not say that it added the noise"),
        ({"cpu": 3.5}, "it tells more than its set"),
        ({"counts": (1, 2, 3, 4)}, "it tells more than its set"),
    ],
)
def test_a_client_that_does_not_say_what_was_asked_is_left_out(change, sentence):
    privacy = PrivacySettings(counts="hidden")
    said = {"round": 1, "set": {}, "privacy": privacy.model_dump(mode="json")}
    check_claim(Share(**said), privacy)
    check_claim(Share(**{**said, **change}), None)
    with pytest.raises(UsageError, match=sentence):
        check_claim(Share(**{**said, **change}), privacy)


@pytest.fixture
def careful(tmp_path):
    def make(**values):
        known = {"privacy-trusted": False, "privacy-releases": str(tmp_path / "releases.json")}
        return NodePolicy.of({**known, **{f"privacy-{key}": value for key, value in values.items()}})

    return make


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"noise": 1e-9}, "adds noise of at least 1, not 1e-09"),
        ({"counts": "public"}, "does not send exact counts"),
        ({"counts": "noised", "count_noise": 0.1}, "adds noise of at least 10 to counts, not 0.1"),
    ],
)
def test_a_node_keeps_its_floor_of_noise_whatever_is_asked(values, sentence, careful, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        careful().admit(PrivacySettings(**values), 5)
    assert not (tmp_path / "releases.json").exists()


def test_a_node_counts_what_it_sends_over_all_runs(careful):
    careful(**{"max-releases": 2}).admit(PrivacySettings(), 5)
    careful(**{"max-releases": 2}).admit(PrivacySettings(), 5)
    with pytest.raises(UsageError, match="has sent the 2 sets that it sends in all"):
        careful(**{"max-releases": 2}).admit(PrivacySettings(), 5)


def test_a_node_bounds_the_epsilon_of_all_that_it_sends(careful):
    privacy, limit = PrivacySettings(counts="hidden"), {"max-releases": 9, "max-epsilon": 2.5}
    assert epsilon(privacy, 5) < 2.5 < epsilon(privacy, 10)
    careful(**limit).admit(privacy, 5)
    with pytest.raises(UsageError, match=r"would be 2\.\d+ at δ = 1e-05, more than 2\.5"):
        careful(**limit).admit(privacy, 5)


def test_a_node_computes_epsilon_at_a_delta_of_its_own(careful):
    with pytest.raises(UsageError, match=r"would be 54\.\d+ at δ = 1e-05, more than 8"):
        careful(**{"max-epsilon": 8}).admit(
            PrivacySettings(noise=1, rate=1, delta=0.999, counts="hidden"), 50
        )


def test_a_node_bounds_looks_without_being_told_to(careful):
    with pytest.raises(UsageError, match="more than 10"):
        careful().admit(PrivacySettings(noise=1, rate=1, counts="hidden"), 10**4)


@pytest.mark.parametrize("text", ["", "{}", "[3]", '[{"looks": 1}]', "no json"])
def test_a_node_that_cannot_read_what_it_sent_sends_nothing(text, careful, tmp_path):
    (tmp_path / "releases.json").write_text(text)
    with pytest.raises(UsageError, match="cannot read the file that counts what it sends"):
        careful(**{"max-releases": 9}).admit(PrivacySettings(), 5)


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"privacy-trusted": False}, "name a file of its own"),
        ({"privacy-trused": False}, "unknown setting"),
        ({"privacy-min-noise": "much"}, "does not fit"),
    ],
)
def test_a_mistake_in_the_rules_of_a_node_is_one_sentence(node, sentence):
    with pytest.raises(UsageError, match=sentence):
        NodePolicy.of(node)


def test_a_node_that_trusts_nobody_sends_nothing_without_noise(recipe, shares, task, tmp_path):
    tasks = shares("iid", 2)
    rules = {"privacy-trusted": False, "privacy-releases": str(tmp_path / "releases.json")}
    app = client_app(lambda node, run: (tasks[int(node["partition-id"])], int(node["partition-id"])))
    for protocol in ("one-shot", "fedavg"):
        grid = InProcessGrid(app, 2, [rules, rules])
        with pytest.raises(UsageError, match="this node sends nothing without privacy noise"):
            serve(grid, recipe(protocol=protocol, clients=2, rounds=1), task, ServerOptions(wait=0.1))


def test_what_goes_wrong_with_the_data_is_not_told_to_the_server(private, run, shares, caplog):
    tasks = [replace(each, fitted="the secret diagnosis") for each in shares("iid", 4)]
    with pytest.raises(UsageError, match="its own log says why") as found:
        run(private(), tasks=tasks)
    assert "diagnosis" not in str(found.value)
    assert "diagnosis" in caplog.text
