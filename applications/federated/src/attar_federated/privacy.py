"""Distribution matching that is differentially private, and what it guarantees."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from attar.architectures import coupled
from attar.artifact import DataRecord, Manifest
from attar.batch import Batch
from attar.contracts import Context, Objective, SetSpec, Subject, SyntheticSet, Task
from attar.errors import UsageError
from attar.objectives.distribution import embed
from attar.objectives.dm import DMSettings
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import Shared
from attar.recipe import resolve
from attar.registry import Registry
from attar.rng import derive
from attar.runner import run
from attar.settings import parse
from attar.sizing import storage_settings
from torch import Tensor, nn

from attar_federated.clients import client_seed, prepared
from attar_federated.noise import Secret
from attar_federated.records import Ask, Share
from attar_federated.results import Privacy
from attar_federated.settings import FederatedRecipe, PrivacySettings

__all__ = [
    "PrivateMeanEmbedding",
    "asked_privacy",
    "check_apart",
    "check_claim",
    "clipped",
    "epsilon",
    "guarantee",
    "guarantee_of",
    "private_share",
    "public_record",
    "public_task",
    "total_epsilon",
]

logger = logging.getLogger(__name__)

NEIGHBORS = "add or remove one sample of one client, of data that can be loaded"

USUAL = OptimSpec(name="adam", lr=0.05)
"""What steps the values where no step size is given: how long gradients are depends on clip and noise."""


GRID = 2.0**-20
"""Step of the grid that embeddings and released sums lie on, per `clip`: sums on it are exact."""


def clipped(embeddings: Tensor, clip: float) -> Tensor:
    """Return embeddings ``(n, d)``, each made as short as `clip` if it is longer.

    One that is not finite becomes zero: it must neither show in a sum nor make it NaN.
    """
    finite = embeddings.norm(dim=1, keepdim=True).isfinite()
    embeddings = torch.where(finite, embeddings, torch.zeros_like(embeddings))
    norms = embeddings.norm(dim=1, keepdim=True)
    shorter: Tensor = (clip / norms.clamp(min=1e-12)).clamp(max=1.0)
    return embeddings * shorter


def _one_by_one(task: Task, rows: Tensor) -> Iterator[Batch]:
    """Yield samples each alone, without those that cannot be read: that a client fails would tell of them."""
    try:
        batch = task.gather(rows)
        yield from (batch.take(torch.tensor([row])) for row in range(len(rows)))
    except UsageError:
        for row in rows:
            with suppress(UsageError):
                yield task.gather(row[None])


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Let a model work without dropout, whose draws would depend on how many samples there are."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


@dataclass(frozen=True)
class PrivateMeanEmbedding:
    """Squared distance of class means, of which the real ones are noisy sums over a public number.

    Each real sample is part of a sum with probability ``rate``, with an embedding of norm at
    most ``clip``; Gaussian noise of standard deviation ``noise · clip`` is added to every
    coordinate of every class. One sample changes the sums of all classes together by at most
    ``clip``, so that one look is the Gaussian mechanism on a Poisson sample. That holds exactly:
    each sample goes through the model alone, embeddings are cut down to multiples of
    ``clip / 2²⁰``, whose sums are integers, and what is released is rounded to such multiples.

    Attributes:
        divisors: What the sum of each class is divided by, known to all; 0 for classes left out.
        noise: Noise multiplier.
        clip: Largest norm.
        rate: Sampling rate.
        secret: Key of sample and noise, which nobody else may know.
        chunk: Most rows that are read, or synthetic rows that go through a model, at a time.

    References:
        Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, for the mechanism;
        Zhao and Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, equation 4.
    """

    divisors: tuple[float, ...]
    noise: float
    clip: float
    rate: float
    secret: Secret
    chunk: int = 512

    needs = frozenset({"embed"})
    real = None
    claims = frozenset({"order_free"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Tensor:
        """Return noisy means of a Poisson sample, ``(classes, d)``: the only look at real data."""
        look, labels = ("look", subject.version), ctx.task.labels
        rows = (self.secret.uniform(len(labels), *look, "sample") <= self.rate).nonzero()[:, 0]
        # The size of an embedding comes from an input that is of nobody.
        blank = Batch(torch.zeros(1, *ctx.task.feature), torch.zeros(1, dtype=torch.int64)).to(ctx.device)
        sums = torch.zeros(len(self.divisors), self._whole(subject.model, blank).shape[1], dtype=torch.int64)
        for part in rows.split(self.chunk):
            for alone in _one_by_one(ctx.task, part):
                sums[int(alone.labels)] += self._whole(subject.model, alone.to(ctx.device))[0]
        step = GRID * self.clip
        noise = self.secret.normal(tuple(sums.shape), *look, "noise") * (self.noise / GRID)
        released = (sums + noise).round() * step
        divisors = torch.tensor(self.divisors, dtype=torch.float64).clamp(min=1e-12)
        return (released / divisors[:, None]).to(ctx.device, torch.get_default_dtype())

    def _whole(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return clipped embeddings as numbers of steps of the grid, int64 ``(n, d)`` of norm at most 2²⁰."""
        with torch.no_grad(), _at_rest(model):
            short = clipped(embed(model, batch, self.chunk).double(), self.clip)
        return (short / (GRID * self.clip)).trunc().to(torch.int64).cpu()

    def compare(
        self,
        subject: Subject,
        stats: Tensor,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed squared distance over the classes that the synthetic batch holds."""
        with _at_rest(subject.model):
            short = clipped(embed(subject.model, syn, self.chunk), self.clip)
        sums = short.new_zeros(len(stats), short.shape[1]).index_add(0, syn.labels, short)
        counts = torch.bincount(syn.labels, minlength=len(stats))
        means = sums / counts.clamp(min=1)[:, None]
        return ((means - stats)[counts > 0] ** 2).sum()


def check_apart(task: Task, model: str, seed: int) -> None:
    """Refuse a network in which one sample changes what becomes of another.

    Then one sample would change the sums by more than `clip`. Besides what the network says of itself, three
    public inputs go through it: alone, again after others, and together.

    Args:
        task: The data.
        model: Name of the architecture.
        seed: Seed of the network that is tried.

    Raises:
        UsageError: Naming it.
    """
    gen = derive(seed, "apart")
    built = task.build(model, gen)
    rows = torch.randn(3, *task.feature, generator=gen)
    labels = torch.zeros(3, dtype=torch.int64)

    def of(which: slice) -> Tensor:
        with torch.no_grad(), _at_rest(built):
            return embed(built, Batch(rows[which], labels[which]), len(rows))

    first, _, again = of(slice(0, 1)), of(slice(1, 3)), of(slice(0, 1))
    together = of(slice(0, 3))[:1]
    if coupled(built) or not torch.equal(first, again) or not torch.allclose(first, together, atol=1e-3):
        raise UsageError(
            f"with privacy, the samples of a batch may not influence one another, as they do in {model!r} "
            f"(by batch normalization, say); choose a network without it, as by --model convnet"
        )


def _check_fitted(task: Task) -> None:
    """Refuse data of which anything but their normalization was fitted to training samples."""
    if isinstance(task, Shared) and task.fitted:
        raise UsageError(
            f"{task.fitted} of {task.name!r} comes from the training samples, which privacy does not cover; "
            f"fix it without them"
        )


def public_task(task: Task, settings: PrivacySettings) -> Task:
    """Return data whose normalization is public constants instead of statistics of theirs.

    Raises:
        UsageError: If such data have no statistics along a sample that could be replaced.
    """
    own = dict(task.preprocessing)
    if not isinstance(task, Shared) or not {"mean", "std"} <= own.keys():
        raise UsageError(
            f"the data {task.name!r} are not normalized by constants that could be made public; privacy is "
            f"for data whose samples are tensors"
        )
    _check_fitted(task)
    return task.shared(task.classes, {**own, "mean": [settings.mean], "std": [settings.std]})


def public_record(record: DataRecord, privacy: PrivacySettings | None) -> DataRecord:
    """Return what may be told of the data of all clients: with privacy, neither numbers nor their hash."""
    if privacy is None:
        return record
    # Nor the names of samples that could not be read.
    about = {key: value for key, value in record.about.items() if key != "skipped"}
    counts = (0,) * len(record.classes)
    return record.model_copy(update={"counts": counts, "fingerprint": "", "splits": {}, "about": about})


def check_claim(share: Share, privacy: PrivacySettings | None) -> None:
    """Refuse what a client sends if it does not say that it added the noise that was asked for.

    Nobody but the client can know whether it did.

    Raises:
        UsageError: If it says something else, or tells what it should keep to itself.
    """
    if privacy is None:
        return
    if share.privacy != privacy.model_dump(mode="json"):
        raise UsageError("it does not say that it added the noise that was asked for")
    if share.cpu or (privacy.counts == "hidden" and share.counts):
        raise UsageError("it tells more than its set")


def _counts(task: Task, settings: PrivacySettings, secret: Secret) -> tuple[list[int], tuple[int, ...]]:
    """Return the samples of each class as far as others may know, and what is told of them."""
    own = task.counts.tolist()
    if settings.counts == "hidden":
        # The number that sums are divided by is meant as that of a sample, not of all.
        return [max(1, round(settings.divisor / settings.rate))] * len(own), ()
    if settings.counts == "noised":
        noise = secret.normal((len(own),), "counts") * settings.count_noise
        own = [round(max(0.0, n + float(more))) for n, more in zip(own, noise, strict=True)]
        own = [n if n >= settings.least else 0 for n in own]
    return own, tuple(own)


def _settings(ask: Ask, registry: Registry) -> tuple[DMSettings, PrivacySettings]:
    chosen = resolve(ask.recipe, registry).settings
    privacy = parse(PrivacySettings, ask.privacy or {}, "privacy")
    if not isinstance(chosen, DMSettings):
        raise UsageError("privacy is for the distiller dm, whose only look at the data are class sums")
    if chosen.stays != 1 or chosen.restarts != 1 or chosen.validate_every:
        raise UsageError(
            "with privacy, networks are fresh and nothing is chosen on data; leave stays and restarts at 1, "
            "and validate_every at 0"
        )
    if ask.recipe.size.ipc is None:
        raise UsageError("with privacy, the size of a set may not depend on the data; say it with --ipc")
    return chosen, privacy


def asked_privacy(ask: Ask, registry: Registry | None = None) -> tuple[PrivacySettings, int]:
    """Return the noise that a server asks for, and how many networks it wants the data to be shown to.

    Raises:
        UsageError: If what it asks for has no guarantee.
    """
    chosen, privacy = _settings(ask, registry or Registry())
    return privacy, looks_of(chosen)


def private_share(
    task: Task,
    ask: Ask,
    number: int,
    weights: Mapping[str, Tensor] | None = None,
    registry: Registry | None = None,
    *,
    secret: Secret | None = None,
) -> tuple[SyntheticSet, Share]:
    """Return what a client distills with noise, and what it says of it.

    Args:
        task: The client's data.
        ask: What the server asks for.
        number: Number of the client, which public draws depend on.
        weights: Not used: networks are fresh.
        registry: The plugins known.
        secret: Key of what nobody else may know; by default of the operating system's randomness.

    Raises:
        UsageError: If the data and what is asked for do not fit together.
    """
    registry = registry or Registry()
    chosen, privacy = _settings(ask, registry)
    _check_fitted(task)
    # That a client refuses samples of a class that the server does not name would tell that it has some.
    own = prepared(task, ask, leave_out=True)
    check_apart(own, chosen.model or own.architecture, client_seed(ask, number))
    secret = secret or Secret.new()
    counts, told = _counts(own, privacy, secret)
    if not any(counts):
        raise UsageError(
            f"no class has {privacy.least} samples once noise is added to their number; lower "
            f"--set privacy.least, or keep counts to yourself with --set privacy.counts=hidden"
        )
    recipe = ask.recipe
    seed = client_seed(ask, number)
    syn = _start(own, ask, chosen, counts, seed, registry)
    loss = PrivateMeanEmbedding(
        divisors=tuple(privacy.rate * n for n in counts),
        noise=privacy.noise,
        clip=privacy.clip,
        rate=privacy.rate,
        secret=secret,
    )
    objective = Objective(loss=loss, source=Fresh(model=chosen.model, reuse=chosen.reuse), siamese=False)
    given = registry.get("objectives", recipe.method).optimizers(chosen)
    optim = given if "lr" in recipe.objective else {"values": USUAL}
    outcome = run(own, objective, syn, steps=chosen.steps, optim=optim, seed=seed, subjects=1)
    made = outcome.syn.bake()
    return made, Share(round=ask.round, set=made.description(), counts=told, privacy=dict(ask.privacy or {}))


def _start(
    task: Task, ask: Ask, chosen: DMSettings, counts: list[int], seed: int, registry: Registry
) -> SyntheticSet:
    """Return noise of the classes that a client is known to have: nothing of it is of the data."""
    plugin = registry.get("parameterizations", chosen.parameterization)
    stored = storage_settings(plugin, ask.recipe.parameterization, task)
    each = (ask.recipe.size.ipc or 1) * plugin.packs(stored, task.feature)
    labels = torch.tensor([label for label, n in enumerate(counts) if n for _ in range(each)])
    values = torch.randn(len(labels), *task.feature, generator=derive(seed, "noise"))
    spec = SetSpec(
        parameterization=chosen.parameterization,
        settings=stored.model_dump(mode="json", exclude_none=True),
        dtype=ask.recipe.run.dtype,
    )
    return task.synthesize(Batch(values, labels), spec, derive(seed, "synthesize"))


def epsilon(settings: PrivacySettings, looks: int) -> float:
    """Return ε of a client's set, by the privacy loss distribution of all looks together.

    Args:
        settings: What is added.
        looks: Networks that real data are shown to.
    """
    return total_epsilon([(settings, looks)], settings.delta)


def total_epsilon(releases: Sequence[tuple[PrivacySettings, int]], delta: float) -> float:
    """Return ε of several sets of a client together; see :func:`epsilon`."""
    from dp_accounting import dp_event, privacy_accountant
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(privacy_accountant.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for settings, looks in releases:
        look = dp_event.PoissonSampledDpEvent(settings.rate, dp_event.GaussianDpEvent(settings.noise))
        accountant.compose(look, looks)
        if settings.counts == "noised":
            accountant.compose(dp_event.GaussianDpEvent(settings.count_noise))
    return float(accountant.get_epsilon(delta))


def looks_of(chosen: DMSettings) -> int:
    """Return how many networks the data are shown to."""
    return math.ceil(chosen.steps / chosen.reuse)


def guarantee(recipe: FederatedRecipe, registry: Registry | None = None) -> Privacy:
    """Return what a run guarantees to each sample of each client."""
    privacy = recipe.privacy
    if privacy is None:
        return Privacy()
    chosen = resolve(recipe.recipe(), registry or Registry()).settings
    if not isinstance(chosen, DMSettings):
        return Privacy()
    looks = looks_of(chosen)
    found = epsilon(privacy, looks)
    public = " once the counts of its classes are public" if privacy.counts == "public" else ""
    words = (
        f"({found:.2f}, {privacy.delta:g})-differential privacy of each sample of a client{public}: {looks} "
        f"looks by the Gaussian mechanism with multiplier {privacy.noise:g} on Poisson samples of rate "
        f"{privacy.rate:g}"
    )
    return Privacy(guarantee=words, epsilon=round(found, 4), delta=privacy.delta, neighbors=NEIGHBORS)


def guarantee_of(manifest: Manifest) -> Privacy:
    """Return what the union in an artifact guarantees, computed from what its manifest says.

    Raises:
        UsageError: If it is no union of a federated run.
    """
    said: Any = manifest.method.settings.get("federated")
    if not isinstance(said, dict):
        raise UsageError("the artifact is no union of a federated run, so it says nothing of privacy")
    return guarantee(parse(FederatedRecipe, said, "federated"))
