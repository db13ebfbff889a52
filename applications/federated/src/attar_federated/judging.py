"""Telling clients whose labels or samples are wrong by what the others say of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import LabelKind, Task
from attar.protocols import Protocol
from attar.rng import derive
from attar.training import BatchEpochs, fit
from torch import Tensor, nn

from attar_federated.settings import RobustSettings

__all__ = ["Judged", "agreement", "denied", "judge"]

_CHANCE = 0.01
"""How probable it may be that an honest client of a round is left out for some of its classes."""

Tally = Mapping[int, tuple[int, int]]
"""Samples of each class that the others agree with, and samples of it."""


@dataclass(frozen=True)
class Judged:
    """What came of judging the clients of a round.

    Attributes:
        agreement: How far the others agree with each client's labels, 0 to 1; None where they know
            none of its classes.
        dropped: The clients that are left out, with the reason.
    """

    agreement: Mapping[int, float | None]
    dropped: Mapping[int, str]


def _answers(model: nn.Module, batch: Batch) -> Tensor:
    model.eval()
    with torch.no_grad():
        pieces = [batch] if coupled(model) else batch.chunks(512)
        return torch.cat([model(piece.inputs).argmax(1) for piece in pieces])


def agreement(answers: Tensor, labels: Tensor, known: Sequence[int]) -> float | None:
    """Return how often answers are the labels, every class that the others know counting alike.

    Args:
        answers: Classes that a network of the others answers, int64 ``(n,)``.
        labels: Classes that the client says, int64 ``(n,)``.
        known: Classes that the others have.
    """
    shares = [
        float((answers[labels == label] == label).float().mean())
        for label in known
        if bool((labels == label).any())
    ]
    return statistics.fmean(shares) if shares else None


def _tally(answers: Tensor, labels: Tensor, known: Sequence[int]) -> Tally:
    counted = {label: labels == label for label in known}
    return {
        label: (int((answers[own] == label).sum()), int(own.sum()))
        for label, own in counted.items()
        if bool(own.any())
    }


def denied(tallies: Mapping[int, Tally], threshold: float, classes: int) -> dict[int, list[int]]:
    """Return the classes of each client that the others deny, for clients that are hardly right by chance.

    A class is denied where the others agree with it less than `threshold` as often as for the median
    client. That alone says little where a class has three samples: how probable so many wrong
    answers are is bounded for each of them by Chernoff's inequality, from the wrong answers for the clients
    that are not denied, and multiplied, times the number of ways to choose as many classes.

    Args:
        tallies: What the others say of each client.
        threshold: Agreement with a class, relative to the median client.
        classes: Number of classes.
    """
    found: dict[int, list[tuple[float, int]]] = {}
    for label in sorted({label for own in tallies.values() for label in own}):
        rows = {client: own[label] for client, own in tallies.items() if label in own}
        if len(rows) < 3:
            # Of two that disagree nobody can say who is wrong.
            continue
        middle = statistics.median(right / n for right, n in rows.values())
        low = {client for client, (right, n) in rows.items() if right / n < threshold * middle}
        kept = [row for client, row in rows.items() if client not in low]
        wrong = (sum(n - right for right, n in kept) + 1) / (sum(n for _, n in kept) + 2)
        for client in low:
            right, n = rows[client]
            found.setdefault(client, []).append((_log_chance(n - right, n, wrong), label))
    limit = math.log(_CHANCE / max(1, len(tallies)))
    chosen = {}
    for client, each in found.items():
        least, n = min(
            (math.log(math.comb(classes, n)) + sum(log for log, _ in sorted(each)[:n]), n)
            for n in range(1, len(each) + 1)
        )
        if least < limit:
            chosen[client] = sorted(label for _, label in sorted(each)[:n])
    return chosen


def _log_chance(k: int, n: int, rate: float) -> float:
    """Return a bound on the logarithm of the chance of `k` or more of `n`: minus n times their divergence."""
    share = k / n
    if share <= rate:
        return 0.0
    rest = (1 - share) * math.log((1 - share) / (1 - rate)) if share < 1 else 0.0
    return -n * (share * math.log(share / rate) + rest)


def judge(
    sets: Mapping[int, Batch],
    kind: LabelKind,
    task: Task,
    arch: str,
    protocol: Protocol,
    settings: RobustSettings,
    seed: int,
) -> Judged:
    """Judge each client by a network that is trained on the sets of all others.

    No clean data are needed: as long as most clients are honest, so is most of what each network
    learns from, and it tells samples of another class, or of none, from what it knows. A client
    that alone holds a class is not judged by it. Agreement with all classes together tells clients most of
    whose labels are wrong; :func:`denied` tells those that are wrong in some classes only.

    Args:
        sets: What each client sent, in an order that does not depend on names of nodes.
        kind: What targets are.
        task: The server's data, of which only architectures and augmentation are used.
        arch: Architecture of the networks that judge.
        protocol: How networks are trained.
        settings: What counts as wrong.
        seed: Seed of the networks.
    """
    if len(sets) < 3:
        return Judged(agreement=dict.fromkeys(sets), dropped={})
    quick = protocol.model_copy(update={"epochs": settings.epochs, "plateau": None, "select": "last"})
    found: dict[int, float | None] = {}
    tallies: dict[int, Tally] = {}
    # Names of nodes are drawn anew in every run, so that draws go by the place of a set among all.
    for place, (number, own) in enumerate(sets.items()):
        others = Batch.cat([batch for other, batch in sets.items() if other != number])
        known = sorted(set(others.labels.tolist()))
        model = task.build(arch, derive(seed, "judge", place))
        gen = derive(seed, "judge", "fit", place)
        fitted = fit(model, BatchEpochs(others, kind), quick, gen, task.augment)
        if not math.isfinite(fitted.loss):
            # A network that diverged by the set of another says nothing.
            found[number] = None
            continue
        answers = _answers(model, own)
        found[number] = agreement(answers, own.labels, known)
        tallies[number] = _tally(answers, own.labels, known)
    told = [value for value in found.values() if value is not None]
    middle = statistics.median(told) if told else 0.0
    dropped = {
        number: f"the others agree with {100 * value:.0f} % of its labels, and with {100 * middle:.0f} % of "
        f"the median client's"
        for number, value in found.items()
        if value is not None and value < settings.threshold * middle
    }
    rest = {number: tally for number, tally in tallies.items() if number not in dropped}
    for number, labels in denied(rest, settings.threshold, len(task.classes)).items():
        right = sum(rest[number][label][0] for label in labels)
        n = sum(rest[number][label][1] for label in labels)
        named = ", ".join(repr(task.classes[label]) for label in labels[:4]) + (
            ", …" if len(labels) > 4 else ""
        )
        dropped[number] = f"the others agree with {right} of its {n} samples of {named}"
    return Judged(agreement=found, dropped=dropped)
