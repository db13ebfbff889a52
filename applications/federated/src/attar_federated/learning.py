"""The server's part: a global network, trained on the union of what clients sent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import torch
from attar.artifact import Artifact, DataRecord, Environment, MethodRecord
from attar.artifact.build import artifact_of
from attar.batch import Batch
from attar.contracts import SyntheticSet, Task
from attar.cost import Cost
from attar.errors import DivergenceError
from attar.plugins import Modality
from attar.protocols import Protocol
from attar.rng import derive
from attar.training import BatchEpochs, accuracy, answers, fit
from attar.unions import UnionSet
from torch import Tensor, nn

from attar_federated.around import load_weights
from attar_federated.guard import Checked, reaches_of

__all__ = ["by_chance", "farthest", "held_out", "learned", "tested", "union_artifact"]


def learned(
    task: Task,
    union: SyntheticSet,
    arch: str,
    protocol: Protocol,
    seed: int,
    *path: str | int,
    start: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """Return a network trained on a set, as an evaluation trains it.

    Args:
        task: The server's data; its held-out part is used where the protocol selects by it.
        union: The set.
        arch: Architecture.
        protocol: How.
        seed: The run's seed.
        path: What else tells this network from others.
        start: State that it starts at; fresh by default.

    Raises:
        DivergenceError: If training diverges.
    """
    model = task.build(arch, derive(seed, "global", *path))
    if start is not None:
        load_weights(model, start)
    epochs = BatchEpochs(union.decode().constant(), union.label_kind)
    chooses = protocol.select == "validation" and task.size("validation")
    fitted = fit(
        model,
        epochs,
        protocol,
        derive(seed, "global", "fit", *path),
        task.augment,
        score=(lambda now: accuracy(now, task, "validation")) if chooses else None,
    )
    finite = all(bool(torch.isfinite(each).all()) for each in model.parameters())
    if not (finite and math.isfinite(fitted.loss)):
        raise DivergenceError(
            f"training on the union diverged after {fitted.steps} steps; lower the step size "
            f"training.optimizer.lr (now: {protocol.optimizer.lr:g})"
        )
    return model


def farthest(sets: Mapping[int, Batch]) -> tuple[int, float]:
    """Return whose values reach farthest, and how far, in what the median client's reach.

    Args:
        sets: What each client sent.
    """
    reaches = {client: reaches_of(batch) for client, batch in sets.items()}
    middle = [statistics.median_low(part) or 1.0 for part in zip(*reaches.values(), strict=True)]
    found = {
        client: max(own / half for own, half in zip(parts, middle, strict=True))
        for client, parts in reaches.items()
    }
    client = max(found, key=lambda each: found[each])
    return client, found[client]


def tested(model: nn.Module, task: Task) -> float:
    """Return the test accuracy of a network in percent."""
    return accuracy(model, task, "test")


def by_chance(network: nn.Module, task: Task) -> float:
    """Return the test accuracy of answering the most frequent class every time, in percent.

    Args:
        network: Any network for the task, which reads the test.
        task: The server's data.
    """
    labels, _ = answers(network, task, "test")
    return 100.0 * int(torch.bincount(labels).max()) / len(labels)


def held_out(model: nn.Module, task: Task) -> float | None:
    """Return the accuracy of a network on held-out training data in percent; None without such."""
    return accuracy(model, task, "validation") if task.size("validation") else None


def union_artifact(
    parts: Sequence[Checked],
    data: DataRecord,
    modality: Modality,
    method: MethodRecord,
    protocol: Protocol,
    seed: int,
) -> Artifact:
    """Return what all clients sent as one artifact, whose counts are what they say that they have."""
    told = [part.share.counts for part in parts if part.share.counts]
    counts = tuple(map(sum, zip(*told, strict=True))) if told else tuple(0 for _ in data.classes)
    return artifact_of(
        data.model_copy(update={"counts": counts}),
        modality,
        UnionSet([part.syn for part in parts]),
        kind="distilled",
        method=method,
        seed=seed,
        cost=Cost(cpu=round(sum(part.share.cpu for part in parts), 2)),
        environment=Environment.current(),
        protocol=protocol,
    )
