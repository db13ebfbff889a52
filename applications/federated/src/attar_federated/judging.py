"""Telling clients whose labels or samples are wrong by what the others say of them."""

from __future__ import annotations

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

__all__ = ["Judged", "agreement", "judge"]


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
    that alone holds a class is not judged by it.

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
        # Of two that disagree nobody can say who is wrong.
        return Judged(agreement=dict.fromkeys(sets), dropped={})
    quick = protocol.model_copy(update={"epochs": settings.epochs, "plateau": None, "select": "last"})
    found: dict[int, float | None] = {}
    # Names of nodes are drawn anew in every run, so that draws go by the place of a set among all.
    for place, (number, own) in enumerate(sets.items()):
        others = Batch.cat([batch for other, batch in sets.items() if other != number])
        known = sorted(set(others.labels.tolist()))
        model = task.build(arch, derive(seed, "judge", place))
        fit(model, BatchEpochs(others, kind), quick, derive(seed, "judge", "fit", place), task.augment)
        found[number] = agreement(_answers(model, own), own.labels, known)
    told = [value for value in found.values() if value is not None]
    middle = statistics.median(told) if told else 0.0
    dropped = {
        number: f"the others agree with {100 * value:.0f} % of its labels, and with {100 * middle:.0f} % of "
        f"the median client's"
        for number, value in found.items()
        if value is not None and value < settings.threshold * middle
    }
    return Judged(agreement=found, dropped=dropped)
