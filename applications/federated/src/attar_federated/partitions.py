"""Which client holds which training samples."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import Captioned
from attar.rng import derive
from attar.settings import Settings, parse, unknown
from pydantic import Field
from torch import Tensor

__all__ = ["PARTITIONS", "Partition", "histogram", "partition", "split_rows"]


class _Drawn(Settings):
    """Settings of a partition that has none."""


class _Dirichlet(Settings):
    """Shares of each class drawn from a Dirichlet distribution.

    Attributes:
        alpha: Concentration; the smaller, the fewer classes a client has.
        least: Samples that each client has at least.
    """

    alpha: float = Field(default=0.5, gt=0)
    least: int = Field(default=1, ge=1)


class _Shards(Settings):
    """Samples sorted by class and cut into equal shards, of which each client gets as many.

    What is left over where samples cannot be divided so is with none.

    Attributes:
        each: Shards of a client.
    """

    each: int = Field(default=2, ge=1)


class _Pathological(Settings):
    """Each client has samples of a few classes only.

    The first of them is dealt out in turn, so that no class is left over where there are as many
    clients as classes; what no client was dealt is with none.

    Attributes:
        classes: Classes of a client.
    """

    classes: int = Field(default=2, ge=1)


class _Groups(Settings):
    """Samples that belong together, as those of one speaker, are with one client.

    Attributes:
        pattern: Expression with ``(?P<group>…)`` on what samples are called, such as paths of files.
    """

    pattern: str


def _iid(clients: int, settings: Any, seed: int) -> Any:
    from flwr_datasets.partitioner import IidPartitioner

    return IidPartitioner(num_partitions=clients)


def _dirichlet(clients: int, settings: _Dirichlet, seed: int) -> Any:
    from flwr_datasets.partitioner import DirichletPartitioner

    return DirichletPartitioner(
        num_partitions=clients,
        partition_by="label",
        alpha=settings.alpha,
        min_partition_size=settings.least,
        seed=seed,
    )


def _shards(clients: int, settings: _Shards, seed: int) -> Any:
    from flwr_datasets.partitioner import ShardPartitioner

    return ShardPartitioner(
        num_partitions=clients, partition_by="label", num_shards_per_partition=settings.each, seed=seed
    )


def _pathological(clients: int, settings: _Pathological, seed: int) -> Any:
    from flwr_datasets.partitioner import PathologicalPartitioner

    return PathologicalPartitioner(
        num_partitions=clients,
        partition_by="label",
        num_classes_per_partition=settings.classes,
        class_assignment_mode="first-deterministic",
        seed=seed,
    )


def _groups(clients: int, settings: _Groups, seed: int) -> Any:
    from flwr_datasets.partitioner import NaturalIdPartitioner

    return NaturalIdPartitioner(partition_by="group")


Maker = Callable[[int, Any, int], Any]

PARTITIONS: Mapping[str, tuple[type[Settings], Maker]] = {
    "dirichlet": (_Dirichlet, _dirichlet),
    "groups": (_Groups, _groups),
    "iid": (_Drawn, _iid),
    "pathological": (_Pathological, _pathological),
    "shards": (_Shards, _shards),
}
"""The partitions known: settings of each, and what makes the partitioner of flwr-datasets."""


class Partition(Settings):
    """A partition by name, as in ``dirichlet,alpha=0.1``.

    Attributes:
        name: One of :data:`PARTITIONS`.
        values: Its settings.
    """

    name: str
    values: dict[str, Any] = {}

    @classmethod
    def of(cls, text: str) -> Partition:
        """Return the partition that a text names.

        Raises:
            UsageError: If the name is unknown or a setting does not fit.
        """
        # A pattern may hold commas, which therefore part settings only where a name and = follow.
        name, *rest = re.split(r",(?=[a-z_]+=)", text)
        if name not in PARTITIONS:
            raise UsageError(unknown("partition", name, PARTITIONS))
        given = dict(part.split("=", 1) for part in rest)
        made = parse(PARTITIONS[name][0], given, name)
        return cls(name=name, values=made.model_dump())


def _group_names(task: Task, pattern: str) -> list[str]:
    if not isinstance(task, Captioned) or not task.caption(0):
        raise UsageError(
            f"the samples of {task.name!r} have no names to find groups in; choose another partition"
        )
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    if "group" not in expression.groupindex:
        raise UsageError(f"the pattern {pattern!r} has no (?P<group>…) to tell groups by; add it")
    found = []
    for row in range(len(task.labels)):
        match = expression.search(task.caption(row))
        if match is None:
            raise UsageError(
                f"the sample {task.caption(row)[:60]!r} does not match the pattern {pattern!r}; change it so "
                f"that every sample has a group"
            )
        found.append(match["group"])
    return found


def split_rows(task: Task, chosen: Partition, clients: int, seed: int) -> list[Tensor]:
    """Return the training rows of each client, int64, disjoint.

    Args:
        task: The real data.
        chosen: The partition.
        clients: Number of clients.
        seed: Seed of what is drawn.

    Raises:
        UsageError: If the data cannot be split so.
    """
    from datasets import Dataset

    gen = derive(seed, "partition")
    # The partitioner for equal parts takes rows as they come, and files come sorted.
    order = torch.randperm(len(task.labels), generator=gen)
    labels = task.labels[order].tolist()
    columns: dict[str, Sequence[Any]] = {"label": labels, "row": order.tolist()}
    settings_type, maker = PARTITIONS[chosen.name]
    settings = parse(settings_type, chosen.values, chosen.name)
    if isinstance(settings, _Groups):
        names = _group_names(task, settings.pattern)
        columns["group"] = [names[row] for row in order.tolist()]
        _check_groups(names, clients)
    _check_room(settings, clients, len(labels), task.name)
    partitioner = maker(clients, settings, int(torch.randint(2**31, (1,), generator=gen)))
    partitioner.dataset = Dataset.from_dict(columns)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            # It draws bars of its own, and warns of each draw that it makes again until it gives up.
            warnings.simplefilter("ignore")
            shares = [partitioner.load_partition(number)["row"] for number in range(clients)]
    except Exception as error:
        # Whatever stops it: the partitioner is somebody else's, and all it got are labels and settings.
        raise UsageError(_reason(error, chosen, task.name, clients)) from error
    empty = [number for number, rows in enumerate(shares) if not len(rows)]
    if empty:
        raise UsageError(
            f"{task.name!r} cannot be split by {chosen.name!r} among {clients} clients: client {empty[0]} "
            f"would have no sample; change the partition or ask for fewer clients"
        )
    return [torch.tensor(sorted(rows), dtype=torch.int64) for rows in shares]


def _check_room(settings: Settings, clients: int, samples: int, name: str) -> None:
    """Refuse more clients, or parts of them, than there are samples."""
    if clients > samples:
        raise UsageError(f"{samples} samples cannot be shared among {clients} clients; ask for fewer clients")
    if isinstance(settings, _Shards) and clients * settings.each > samples:
        raise UsageError(
            f"{name!r} cannot be cut into {clients * settings.each:,} shards, {settings.each:,} for each of "
            f"{clients} clients: it has {samples:,} samples; choose shards,each={samples // clients} at most"
        )
    if isinstance(settings, _Dirichlet) and clients * settings.least > samples:
        raise UsageError(
            f"{name!r} cannot be split so that each of {clients} clients gets {settings.least:,} samples or "
            f"more: it has {samples:,}; choose least={samples // clients} at most"
        )


def _reason(error: Exception, chosen: Partition, name: str, clients: int) -> str:
    told = f"{name!r} cannot be split by {chosen.name!r} among {clients} clients"
    if chosen.name == "dirichlet":
        # It says only that it gave up.
        least = chosen.values.get("least", 1)
        alpha, samples = chosen.values.get("alpha"), "sample" if least == 1 else "samples"
        return (
            f"{told}: each client must get {least} {samples} or more, and every draw with alpha={alpha} left "
            f"one with fewer; raise alpha or ask for fewer clients"
        )
    reason = (str(error) or type(error).__name__).split(". ")[0].rstrip(".")
    return f"{told}: {reason}; change the partition or ask for fewer clients"


def _check_groups(names: Sequence[str], clients: int) -> None:
    found = sorted(set(names))
    if len(found) != clients:
        listed = ", ".join(found[:6]) + (", …" if len(found) > 6 else "")
        raise UsageError(
            f"the pattern finds {len(found)} groups ({listed}), so there must be as many clients; say "
            f"--clients {len(found)}"
        )


def partition(task: Task, text: str, clients: int, seed: int) -> list[Task]:
    """Return what each client has, apart from what the others have.

    Args:
        task: The real data.
        text: The partition, such as ``iid`` or ``dirichlet,alpha=0.1``.
        clients: Number of clients.
        seed: Seed of what is drawn.

    Raises:
        UsageError: If the data cannot be split so.
    """
    rows = split_rows(task, Partition.of(text), clients, seed)
    return list(task.partition(rows, derive(seed, "partition", "rest")))


def histogram(tasks: Sequence[Task]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the training samples of each class that each client has, ``(clients, classes)``."""
    return np.stack([task.counts.numpy() for task in tasks])
