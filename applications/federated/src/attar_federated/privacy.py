"""Distribution matching that is differentially private, and what it guarantees."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from attar.artifact import Manifest
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
from torch import Generator, Tensor

from attar_federated.clients import client_seed, prepared
from attar_federated.records import Ask, Share
from attar_federated.results import Privacy
from attar_federated.settings import FederatedRecipe, PrivacySettings

__all__ = [
    "PrivateMeanEmbedding",
    "clipped",
    "epsilon",
    "guarantee",
    "guarantee_of",
    "private_share",
    "public_task",
]

NEIGHBORS = "add or remove one sample of one client"

USUAL = OptimSpec(name="adam", lr=0.05)
"""What steps the values where no step size is given: how long gradients are depends on clip and noise."""


def clipped(embeddings: Tensor, clip: float) -> Tensor:
    """Return embeddings ``(n, d)``, each made as short as `clip` where it is longer."""
    norms = embeddings.norm(dim=1, keepdim=True)
    shorter: Tensor = (clip / norms.clamp(min=1e-12)).clamp(max=1.0)
    return embeddings * shorter


@dataclass(frozen=True)
class PrivateMeanEmbedding:
    """Squared distance of class means, of which the real ones are noisy sums over a public number.

    Each real sample is part of a sum with probability ``rate``, with an embedding of norm at
    most ``clip``; Gaussian noise of standard deviation ``noise · clip`` is added to every
    coordinate of every class. One sample changes the sums of all classes together by at most
    ``clip``, so that one look is the Gaussian mechanism on a Poisson sample.

    Attributes:
        divisors: What the sum of each class is divided by, known to all; 0 for classes left out.
        noise: Noise multiplier.
        clip: Largest norm.
        rate: Sampling rate.
        secret: Seed of sample and noise, which nobody else may know.
        chunk: Most rows that go through a model at a time.

    References:
        Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, for the mechanism;
        Zhao and Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, equation 4.
    """

    divisors: tuple[float, ...]
    noise: float
    clip: float
    rate: float
    secret: int
    chunk: int = 512

    needs = frozenset({"embed"})
    real = None
    claims = frozenset({"order_free"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Tensor:
        """Return noisy means of a Poisson sample, ``(classes, d)``: the only look at real data."""
        gen = derive(self.secret, "look", subject.version)
        labels = ctx.task.labels
        rows = (torch.rand(len(labels), generator=gen) < self.rate).nonzero()[:, 0]
        sums: Tensor | None = None
        with torch.no_grad():
            # At least one piece, so that the size of an embedding is known where the sample is empty.
            for part in rows.split(self.chunk) if len(rows) else [torch.zeros(1, dtype=torch.int64)]:
                batch = ctx.task.gather(part).to(ctx.device)
                short = clipped(embed(subject.model, batch, self.chunk), self.clip)
                if sums is None:
                    sums = short.new_zeros(len(self.divisors), short.shape[1])
                if len(rows):
                    sums.index_add_(0, batch.labels, short)
        if sums is None:
            raise UsageError("the client has no sample")
        noise = torch.randn(sums.shape, generator=gen).to(sums) * (self.noise * self.clip)
        divisors = torch.tensor(self.divisors, dtype=sums.dtype, device=sums.device).clamp(min=1e-12)
        return (sums + noise) / divisors[:, None]

    def compare(
        self,
        subject: Subject,
        stats: Tensor,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed squared distance over the classes that the synthetic batch holds."""
        short = clipped(embed(subject.model, syn, self.chunk), self.clip)
        sums = short.new_zeros(len(stats), short.shape[1]).index_add(0, syn.labels, short)
        counts = torch.bincount(syn.labels, minlength=len(stats))
        means = sums / counts.clamp(min=1)[:, None]
        return ((means - stats)[counts > 0] ** 2).sum()


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
    return task.shared(task.classes, {**own, "mean": [settings.mean], "std": [settings.std]})


def _counts(task: Task, settings: PrivacySettings, gen: Generator) -> tuple[list[int], tuple[int, ...]]:
    """Return the samples of each class as far as others may know, and what is told of them."""
    own = task.counts.tolist()
    if settings.counts == "hidden":
        # The number that sums are divided by is meant as that of a sample, not of all.
        return [max(1, round(settings.divisor / settings.rate))] * len(own), ()
    if settings.counts == "noised":
        noise = torch.randn(len(own), generator=gen) * settings.count_noise
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


def private_share(
    task: Task,
    ask: Ask,
    number: int,
    weights: Mapping[str, Tensor] | None = None,
    registry: Registry | None = None,
    *,
    secret: int | None = None,
) -> tuple[SyntheticSet, Share]:
    """Return what a client distills with noise, and what it says of it.

    Args:
        task: The client's data.
        ask: What the server asks for.
        number: Number of the client, which public draws depend on.
        weights: Not used: networks are fresh.
        registry: The plugins known.
        secret: Seed of what nobody else may know; by default the system's randomness.

    Raises:
        UsageError: If the data and what is asked for do not fit together.
    """
    registry = registry or Registry()
    chosen, privacy = _settings(ask, registry)
    own = prepared(task, ask)
    secret = secrets.randbits(62) if secret is None else secret
    counts, told = _counts(own, privacy, derive(secret, "counts"))
    if not any(counts):
        raise UsageError("no class has enough samples once noise is added")
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
    from dp_accounting import dp_event, privacy_accountant
    from dp_accounting.pld import PLDAccountant

    look = dp_event.PoissonSampledDpEvent(settings.rate, dp_event.GaussianDpEvent(settings.noise))
    accountant = PLDAccountant(privacy_accountant.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(look, looks)
    if settings.counts == "noised":
        accountant.compose(dp_event.GaussianDpEvent(settings.count_noise))
    return float(accountant.get_epsilon(settings.delta))


def guarantee(recipe: FederatedRecipe, registry: Registry | None = None) -> Privacy:
    """Return what a run guarantees to each sample of each client."""
    privacy = recipe.privacy
    if privacy is None:
        return Privacy()
    chosen = resolve(recipe.recipe(), registry or Registry()).settings
    if not isinstance(chosen, DMSettings):
        return Privacy()
    looks = math.ceil(chosen.steps / chosen.reuse)
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
