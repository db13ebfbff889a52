"""How a graph becomes a task: its options, its split, and its scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import torch
from attar.errors import UsageError
from attar.registry import Registry
from attar.rng import derive
from attar.settings import Settings
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor

from attar_graph.graph import Graph
from attar_graph.models import ARCHITECTURES
from attar_graph.preprocess import Scaling, fit_scaler
from attar_graph.raw import SPLITS, RawGraph
from attar_graph.task import GraphTask, Part

__all__ = ["GraphOptions", "drawn", "make_task"]


def _fanout(value: int) -> int:
    if value == 0 or value < -1:
        raise ValueError("neighbors of a hop are at least 1, or -1 for all")
    return value


def _numbers(value: Any) -> Any:
    # Numbers arrive as text from the command line.
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Fanout: TypeAlias = Annotated[int, AfterValidator(_fanout)]
"""Neighbors of a node: at least 1, or -1 for all."""


class GraphOptions(Settings):
    """How a graph is read, split and scaled.

    Attributes:
        split: ``given`` takes the split that the data have, ``drawn`` draws one.
        train: Training nodes of each class where the split is drawn.
        validation: Nodes held out for choices where the split is drawn: a fraction below 1 of the
            nodes that are not for training, or a number.
        test: Test nodes likewise, of those that are left.
        split_seed: Seed of the split, apart from the run's seed, so that runs compare.
        inductive: Whether validation and test nodes are unknown while models are trained.
        scaling: ``rows`` divides each node's features by their sum, ``standard`` standardizes
            each feature, ``none`` leaves them; ``auto`` takes rows for counts of words.
        label_column: Column of a table of nodes that holds the classes.
        neighbors: Neighbors of a node that are drawn where training nodes are, for each hop, such
            as ``10,10``; -1 for all. Empty, training nodes hear the whole graph, as others do
            always. It changes what training sees, and so the fingerprint of the data.
        memory: Bytes of propagated features above which they are kept in a file of the cache
            folder, while they are in use; 0 for never.
    """

    split: Literal["auto", "given", "drawn"] = "auto"
    train: int = Field(default=20, ge=1)
    validation: float = Field(default=500, ge=0)
    test: float = Field(default=1000, gt=0)
    split_seed: int = 0
    inductive: bool = False
    scaling: Literal["auto", "rows", "standard", "none"] = "auto"
    label_column: str = Field(default="label", min_length=1)
    neighbors: Annotated[tuple[Fanout, ...], BeforeValidator(_numbers)] = ()
    memory: int = Field(default=2**30, ge=0)


def drawn(raw: RawGraph, options: GraphOptions) -> Mapping[str, Tensor]:
    """Return a random split: as many training nodes of each class, and others for the rest.

    Raises:
        UsageError: If too few labeled nodes are left for the test.
    """
    train = []
    for label in range(len(raw.classes)):
        own = (raw.labels == label).nonzero()[:, 0]
        order = torch.randperm(len(own), generator=derive(options.split_seed, "split", label))
        # Of a small class, half are left to test on.
        train.append(own[order[: min(options.train, max(1, len(own) // 2))]])
    chosen = torch.cat(train)
    free = raw.labels >= 0
    free[chosen] = False
    rest = free.nonzero()[:, 0]
    rest = rest[torch.randperm(len(rest), generator=derive(options.split_seed, "split"))]
    # Of few nodes, half are left to test on.
    held = min(_amount(options.validation, len(rest)), len(rest) // 2)
    if not len(rest):
        raise UsageError(
            f"{raw.name!r} has {len(chosen)} labeled nodes, all of them for training; lower data.train"
        )
    return {
        "train": chosen.sort().values,
        "validation": rest[:held].sort().values,
        "test": rest[held : held + max(1, _amount(options.test, len(rest)))].sort().values,
    }


def _amount(asked: float, n: int) -> int:
    return round(asked * n) if asked < 1 else round(asked)


def _scaling(raw: RawGraph, options: GraphOptions) -> Scaling:
    if options.scaling != "auto":
        return options.scaling
    counts = bool(((raw.features >= 0) & (raw.features == raw.features.round())).all())
    return "rows" if counts else "standard"


def make_task(raw: RawGraph, options: GraphOptions, registry: Registry) -> GraphTask:
    """Return the task of a graph.

    Raises:
        UsageError: If a class has no training node, or there is nothing to test on.
    """
    splits = raw.splits if raw.splits is not None and options.split != "drawn" else None
    if splits is None:
        if options.split == "given":
            raise UsageError(f"{raw.name!r} has no split of its own; draw one with data.split=drawn")
        splits = drawn(raw, options)
    for split in ("train", "test"):
        if not len(splits.get(split, ())):
            raise UsageError(f"{raw.name!r} has no {split} nodes; give at least one of each class")
    counts = torch.bincount(raw.labels[splits["train"]], minlength=len(raw.classes))
    if bool((counts == 0).any()):
        name = raw.classes[int((counts == 0).nonzero()[0, 0])]
        raise UsageError(f"class {name!r} of {raw.name!r} has no training node; give it one, or leave it out")
    train, held, test = (splits.get(name, torch.zeros(0, dtype=torch.int64)) for name in SPLITS)
    scaler = fit_scaler(raw.features, train, _scaling(raw, options))
    graph = Graph(scaler.encode(raw.features), raw.adjacency, memory=options.memory)
    parts = _inductive(graph, raw.labels, train, held) if options.inductive else None
    return GraphTask(
        modality="graph",
        name=raw.name,
        classes=raw.classes,
        train=Part(graph, train, raw.labels[train]) if parts is None else parts[0],
        validation=None
        if not len(held)
        else (Part(graph, held, raw.labels[held]) if parts is None else parts[1]),
        test=Part(graph, test, raw.labels[test]),
        scaler=scaler,
        architectures=ARCHITECTURES,
        architecture="gcn",
        options=options.model_dump(mode="json"),
        registry=registry,
        neighbors=options.neighbors,
    )


def _inductive(graph: Graph, labels: Tensor, train: Tensor, held: Tensor) -> tuple[Part, Part]:
    """Return training nodes among themselves, and held-out nodes in a graph of both."""
    both = torch.cat([train, held])
    alone, later = graph.induced(train), graph.induced(both)
    return (
        Part(alone, torch.arange(len(train)), labels[train]),
        Part(later, torch.arange(len(train), len(both)), labels[held]),
    )
