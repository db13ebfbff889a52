"""The task of classifying the nodes of one graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from attar.architectures import Architecture, Family, build
from attar.batch import Batch
from attar.contracts import SetSpec, Split, SyntheticSet
from attar.errors import UsageError
from attar.labels import renumbered
from attar.registry import Registry
from attar.rows import RowsByClass
from attar.settings import parse
from attar.shown import task_html, task_line
from torch import Generator, Tensor, nn

from attar_graph.facts import GraphFacts
from attar_graph.graph import Graph, Nodes
from attar_graph.preprocess import Scaler
from attar_graph.protocols import PROTOCOLS
from attar_graph.sampling import neighborhood
from attar_graph.synthetic import synthesize

__all__ = ["GraphTask", "Part"]


@dataclass(frozen=True)
class Part:
    """A split: some nodes of a graph with their classes.

    Attributes:
        graph: The graph that models see, scaled; one and the same for all splits where the task
            is transductive.
        index: Nodes that are asked about, int64 ``(n,)``.
        labels: Their classes, int64 ``(n,)``.
    """

    graph: Graph
    index: Tensor
    labels: Tensor

    def batch(self, rows: Tensor | None = None) -> Batch:
        """Return the nodes, or those meant by `rows`, in their graph."""
        if rows is None:
            return Batch(Nodes(self.graph, self.index), self.labels)
        return Batch(Nodes(self.graph, self.index[rows]), self.labels[rows])

    def sampled(self, rows: Tensor, fanout: Sequence[int], gen: Generator) -> Batch:
        """Return nodes in a sample of what is around them; see :func:`attar_graph.sampling.neighborhood`."""
        return Batch(neighborhood(self.graph, self.index[rows], fanout, gen), self.labels[rows])


@dataclass(frozen=True, repr=False)
class GraphTask:
    """Nodes of one graph to classify.

    Rows are places in the list of training nodes. Transductively, models see all nodes and
    edges while they are trained, and the labels of the training nodes alone; inductively, the
    nodes of the other splits are not there yet.

    Attributes:
        modality: Name of the modality.
        name: Name of the data.
        classes: Names of the classes.
        train: Training nodes.
        test: Test nodes.
        validation: Nodes held out for choices, or None.
        scaler: From features as given to what models take.
        architectures: Factories, and families of them, by name.
        architecture: The default architecture, with settings.
        options: The modality's settings that the data were loaded with, as JSON values.
        license: License of the data as their owner states it, or ``unknown``.
        registry: Where parameterizations are looked up.
        neighbors: Neighbors that are drawn at each hop around training nodes that are drawn or
            passed over in random order; empty for the whole graph.
    """

    modality: str
    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part
    validation: Part | None
    scaler: Scaler
    architectures: Mapping[str, Architecture | Family]
    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    license: str = "unknown"
    registry: Registry = field(default_factory=Registry, repr=False, compare=False)
    neighbors: tuple[int, ...] = ()

    augment = None
    protocols = PROTOCOLS
    axes = ("feature",)
    averages = False

    def __repr__(self) -> str:
        """Return what the task is in one line."""
        return task_line(self)

    def _repr_html_(self) -> str:
        return task_html(self)

    def _part(self, split: str) -> Part | None:
        part: Part | None = {"train": self.train, "validation": self.validation, "test": self.test}[split]
        return part

    def _present(self, split: str) -> Part:
        part = self._part(split)
        if part is None:
            raise UsageError(f"{self.name!r} has no {split} data; load it with a validation part")
        return part

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what training and choices see: graph, training and validation labels, scaling, sampling."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([self.classes, dict(self.preprocessing)], sort_keys=True).encode())
        for part in (self.train, self.validation):
            digest.update(b"none" if part is None else _digest(part, known=part is not self.train))
        if self.neighbors:
            # Results of networks trained on the data are cached by this.
            digest.update(json.dumps({"neighbors": self.neighbors}).encode())
        return digest.hexdigest()

    @cached_property
    def test_fingerprint(self) -> str:
        """Hash of the test nodes and their labels, and of their graph where it is another."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(_digest(self.test, known=self.test.graph is self.train.graph))
        return digest.hexdigest()

    @property
    def labels(self) -> Tensor:
        """Class of every training node, int64 ``(n,)``."""
        return self.train.labels

    @cached_property
    def counts(self) -> Tensor:
        """Training nodes per class, int64 ``(C,)``."""
        return self._rows.counts

    @cached_property
    def _rows(self) -> RowsByClass:
        return RowsByClass(self.labels, len(self.classes))

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The scaling as JSON values."""
        return self.scaler.model_dump(mode="json")

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """Size, degrees and homophily of the graph; see :class:`attar_graph.facts.GraphFacts`.

        It is the graph that models are trained on, and of its labels those of the training nodes
        alone are read.
        """
        facts = GraphFacts.of(self.train.graph.adjacency, self.train.index, self.labels)
        return facts.model_dump(mode="json")

    @property
    def feature(self) -> tuple[int, ...]:
        """Number of features of a node, as a shape."""
        return (self.train.graph.features.shape[1],)

    def size(self, split: Split) -> int:
        """Return the number of nodes of a split; 0 if the task has none."""
        part = self._part(split)
        return 0 if part is None else len(part.labels)

    def gather(self, rows: Tensor) -> Batch:
        """Return training nodes with the edges among them alone."""
        nodes = self.train.index[rows]
        return Batch(Nodes(self.train.graph.induced(nodes), torch.arange(len(nodes))), self.labels[rows])

    def view(self, rows: Tensor, split: Split = "train") -> Batch:
        """Return nodes of a split in the whole graph.

        Raises:
            UsageError: If the task has no such split.
        """
        return self._present(split).batch(rows)

    def vectors(self, rows: Tensor) -> Tensor:
        """Return the scaled features of training nodes, float32 ``(k, d)``."""
        return self.train.graph.features[self.train.index[rows]]

    def draw(self, n: int, gen: Generator, labels: Sequence[int] | None = None) -> Batch:
        """Return up to `n` random training nodes of each label, in the whole graph or a sample of it."""
        rows = self._rows.draw(n, gen, labels)
        return self.train.sampled(rows, self.neighbors, gen) if self.neighbors else self.view(rows)

    def epoch(self, split: Split, size: int, gen: Generator | None = None) -> Iterator[Batch]:
        """Yield all nodes of a split at once, since they cannot be apart.

        Only where neighbors are sampled, training nodes in random order come in batches of at most
        `size`, each in a sample of its own; without `gen` nothing is drawn.

        Raises:
            UsageError: If the task has no such split.
        """
        part = self._present(split)
        if gen is None:
            yield part.batch()
            return
        order = torch.randperm(len(part.labels), generator=gen)
        if split != "train" or not self.neighbors:
            yield part.batch(order)
            return
        for rows in order.split(size):
            yield part.sampled(rows, self.neighbors, gen)

    def raw_bytes(self, rows: Tensor) -> int:
        """Return the bytes of training nodes and the edges among them in the cheapest lossless form.

        Features are counted as a matrix or as places and values of what is not zero, whichever is
        less; a value of 0 or 1 takes no bytes beside its place.
        """
        nodes = self.train.index[rows]
        features = self.train.graph.features[nodes]
        filled = int((features != 0).sum())
        place = 2 if features.shape[1] <= 2**16 else 4
        # After scaling by rows, all values of a node of zeros and ones are one number.
        most = features.max(1, keepdim=True).values
        plain = bool(((features == 0) | (features == most)).all())
        sparse = filled * (place if plain else place + 4) + 4 * len(nodes)
        where, weights = self.train.graph.adjacency.induced(nodes).edges()
        # An edge is stored once for both directions.
        links = where.shape[1] // 2 * (4 if len(nodes) <= 2**16 else 8)
        if bool((weights != 1).any()):
            links += where.shape[1] // 2 * 4
        return min(features.numel() * 4, sparse) + links + len(nodes) * (1 if len(self.classes) <= 256 else 2)

    def subset(self, rows: Tensor) -> GraphTask:
        """Return the task with fewer training nodes in the same graph."""
        train = replace(self.train, index=self.train.index[rows], labels=self.labels[rows])
        return replace(self, train=train)

    def partition(self, parts: Sequence[Tensor], gen: Generator) -> list[GraphTask]:
        """Return one task per part, whose graph has nothing of the others'.

        Nodes that are no training nodes are allotted at random, so that each client has its share
        of those without labels; edges between clients are cut. The test stays as it is.
        """
        graph = self.train.graph
        owner = torch.randint(len(parts), (len(graph),), generator=gen)
        owner[self.train.index] = -1
        for number, rows in enumerate(parts):
            owner[self.train.index[rows]] = number
        return [self._client(owner == number, rows) for number, rows in enumerate(parts)]

    def _client(self, own: Tensor, rows: Tensor) -> GraphTask:
        nodes = own.nonzero()[:, 0]
        place = torch.full((len(own),), -1)
        place[nodes] = torch.arange(len(nodes))
        whole = self.train.graph
        graph = whole.induced(nodes)
        train = Part(graph, place[self.train.index[rows]], self.labels[rows])
        held = self.validation
        if held is not None and held.graph is whole:
            mine = own[held.index]
            held = Part(graph, place[held.index[mine]], held.labels[mine]) if bool(mine.any()) else None
        return replace(self, train=train, validation=held)

    @property
    def fitted(self) -> str:
        """Nothing: features are scaled by the preprocessing alone."""
        return ""

    def shared(
        self, classes: Sequence[str], preprocessing: Mapping[str, Any], *, leave_out: bool = False
    ) -> GraphTask:
        """Return the same graph with the classes and the scaling of others that it is a part of.

        Nodes of classes that are left out stay in the graph, and in no split.

        Raises:
            UsageError: If the graph has another class that is not left out, or the scaling does not fit.
        """
        numbers = renumbered(self.classes, classes, self.name, leave_out=leave_out)
        scaler = parse(Scaler, preprocessing, "preprocessing")
        again: dict[int, Graph] = {}

        def scaled(graph: Graph) -> Graph:
            # Splits that share a graph still do so afterwards.
            if id(graph) not in again:
                features = self.scaler.changed(graph.features, scaler)
                again[id(graph)] = replace(graph, features=features, known={})
            return again[id(graph)]

        def part(own: Part) -> Part:
            labels = numbers[own.labels]
            known = labels >= 0
            return Part(scaled(own.graph), own.index[known], labels[known])

        held = None if self.validation is None else part(self.validation)
        return replace(
            self,
            classes=tuple(classes),
            train=part(self.train),
            test=part(self.test),
            validation=held,
            scaler=scaler,
        )

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model; "" means the default architecture."""
        return build(arch or self.architecture, self.architectures, self.feature, len(self.classes), gen)

    def with_architecture(self, name: str, factory: Architecture) -> GraphTask:
        """Return the task with one more architecture."""
        return replace(self, architectures={**self.architectures, name: factory})

    def synthesize(self, init: Batch, spec: SetSpec, gen: Generator) -> SyntheticSet:
        """Return a synthetic graph whose nodes start at `init`.

        Raises:
            UsageError: If parameterization or structure are unknown or do not fit.
        """
        return synthesize(init, spec, len(self.classes), gen, self.registry)


def _digest(part: Part, *, known: bool) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    tensors = [part.index, part.labels]
    if not known:
        where, weights = part.graph.adjacency.edges()
        tensors += [part.graph.features, where, weights]
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.digest()
