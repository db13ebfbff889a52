"""How the nodes of a synthetic graph are joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from attar.architectures import parse as parse_text
from attar.errors import UsageError
from attar.settings import Settings, parse, unknown
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from attar_graph.adjacency import Adjacency, Dense, Sparse

__all__ = [
    "STRUCTURES",
    "Apart",
    "Bernoulli",
    "Given",
    "Pairwise",
    "Structure",
    "kept",
    "make_structure",
    "packed",
]


def packed(weights: Tensor) -> Tensor:
    """Return what is above the diagonal of a symmetric matrix, ``(n (n − 1) / 2,)``."""
    rows, columns = torch.triu_indices(len(weights), len(weights), 1, device=weights.device)
    return weights[rows, columns]


def _unpacked(above: Tensor) -> Tensor:
    n = (1 + math.isqrt(1 + 8 * len(above))) // 2
    if n * (n - 1) // 2 != len(above):
        raise UsageError("the adjacency of the artifact is no half of a square; make the artifact again")
    rows, columns = torch.triu_indices(n, n, 1, device=above.device)
    weights = above.new_zeros(n, n).index_put((rows, columns), above)
    return weights + weights.T


class Structure(nn.Module):
    """Base of structures: makes an adjacency of the features of nodes.

    Attributes:
        turns: Of so many steps, as many with the structure alone at first, and then as many
            without it; None where both are stepped together or there is nothing to step.
    """

    turns: tuple[int, int] | None = None

    def forward(self, values: Tensor) -> Adjacency:
        """Return the adjacency of nodes with features ``(n, d)``."""
        raise NotImplementedError

    def final(self, values: Tensor) -> Structure:
        """Return the structure as the artifact keeps it, for the final features."""
        with torch.no_grad():
            adjacency = self(values)
        if not isinstance(adjacency, Dense):
            return self
        return Given(packed(adjacency.weights))

    def keep(self, rows: Tensor) -> Structure:
        """Return a final structure among some of the nodes, int64 ``(k,)``."""
        return self

    def stored(self) -> dict[str, Tensor]:
        """Return what the artifact keeps of a final structure."""
        return {}


class Apart(Structure):
    """No edges, as in the methods named -X: every node has itself alone."""

    def forward(self, values: Tensor) -> Adjacency:
        """Return an adjacency without edges."""
        none = torch.zeros(0, dtype=torch.int64, device=values.device)
        return Sparse.of(none, none, none.to(values.dtype), len(values))


class Given(Structure):
    """Edges that do not change.

    Args:
        above: Weights above the diagonal, row by row, ``(n (n − 1) / 2,)``.
    """

    above: Tensor

    def __init__(self, above: Tensor) -> None:
        super().__init__()
        self.register_buffer("above", above.detach().clone())

    def forward(self, values: Tensor) -> Adjacency:
        """Return the adjacency."""
        return Dense(_unpacked(self.above))

    def keep(self, rows: Tensor) -> Structure:
        """Return the edges among some of the nodes."""
        return Given(packed(_unpacked(self.above)[rows][:, rows]))

    def stored(self) -> dict[str, Tensor]:
        """Return the weights above the diagonal."""
        return {"adjacency": self.above}


def kept(adjacency: Adjacency) -> Structure:
    """Return the structure that keeps an adjacency as it is."""
    where, weights = adjacency.edges()
    if not len(weights):
        return Apart()
    matrix = weights.new_zeros(adjacency.n, adjacency.n)
    matrix[where[0], where[1]] = weights
    return Given(packed(matrix))


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


class PairwiseSettings(Settings):
    """Settings of :class:`Pairwise`.

    Attributes:
        width: Width of the hidden layers.
        layers: Linear layers.
        edges: Steps of a period in which the network alone is stepped.
        features: Steps of a period after these in which the features alone are; with 0, both
            are stepped at once.
        start: About what every edge weighs at first. Where all nodes begin as neighbors, by 0.5 as
            published, each is the mean of all, and much of the run goes by before they differ.
    """

    width: int = Field(default=128, ge=1)
    layers: int = Field(default=3, ge=2)
    edges: int = Field(default=10, ge=1)
    features: int = Field(default=40, ge=0)
    start: Annotated[float, Field(gt=0, lt=1)] = 0.003


class Pairwise(Structure):
    """A network that says from the features of two nodes how much they have to do with one another.

    ``A_ij = σ(½ (MLP([x_i ‖ x_j]) + MLP([x_j ‖ x_i])))`` with a diagonal of zeros. The first layer
    is applied to each node once, ``W₁ x_i + W₂ x_j``, and not to each pair.

    Args:
        d: Number of features.
        settings: The settings.

    References:
        Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022, equation 6.
    """

    def __init__(self, d: int, settings: PairwiseSettings) -> None:
        super().__init__()
        first = nn.Linear(2 * d, settings.width)
        self.one, self.other = nn.Linear(d, settings.width), nn.Linear(d, settings.width, bias=False)
        with torch.no_grad():
            # Begins as the layer on pairs would.
            self.one.weight.copy_(first.weight[:, :d])
            self.one.bias.copy_(first.bias)
            self.other.weight.copy_(first.weight[:, d:])
        self.middle = nn.ModuleList(
            nn.Linear(settings.width, settings.width) for _ in range(settings.layers - 2)
        )
        self.last = nn.Linear(settings.width, 1)
        nn.init.constant_(self.last.bias, _logit(settings.start))
        # Statistics of the pairs at hand: what was seen before says nothing of features that change.
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(settings.width, track_running_stats=False) for _ in range(settings.layers - 1)
        )
        if settings.features:
            self.turns = (settings.edges, settings.features)

    def forward(self, values: Tensor) -> Adjacency:
        """Return the adjacency, differentiable in features and network."""
        n = len(values)
        pairs = (self.one(values)[:, None] + self.other(values)[None, :]).reshape(n * n, -1)
        pairs = functional.relu(self.norms[0](pairs))
        for layer, norm in zip(self.middle, list(self.norms)[1:], strict=True):
            pairs = functional.relu(norm(layer(pairs)))
        scores = self.last(pairs).view(n, n)
        weights = torch.sigmoid((scores + scores.T) / 2)
        return Dense(weights * (1 - torch.eye(n, dtype=weights.dtype, device=weights.device)))


class BernoulliSettings(Settings):
    """Settings of :class:`Bernoulli`.

    Attributes:
        temperature: Of the relaxation; the lower, the nearer drawn edges are to 0 and 1.
        start: Probability that an edge starts at.
    """

    temperature: float = Field(default=0.5, gt=0)
    start: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Bernoulli(Structure):
    """Edges that are there with learned probabilities, drawn anew whenever they are asked for.

    ``A_ij = σ((log u − log(1 − u) + Ω_ij) / τ)`` with u uniform; the artifact keeps ``σ(Ω)``.

    Args:
        n: Number of nodes.
        settings: The settings.

    References:
        Jin et al., "Condensing Graphs via One-Step Gradient Matching", KDD 2022, equation 7.
    """

    def __init__(self, n: int, settings: BernoulliSettings) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.full((n * (n - 1) // 2,), _logit(settings.start)))
        self.temperature = settings.temperature

    def forward(self, values: Tensor) -> Adjacency:
        """Return a drawn adjacency, differentiable in the scores."""
        drawn = torch.rand_like(self.scores).clamp(1e-6, 1 - 1e-6)
        return Dense(_unpacked(torch.sigmoid((drawn.logit() + self.scores) / self.temperature)))

    def final(self, values: Tensor) -> Structure:
        """Return the probabilities."""
        return Given(torch.sigmoid(self.scores))


class _None(Settings):
    """Nothing can be set."""


def _apart(values: Tensor, settings: Any) -> Structure:
    return Apart()


def _pairwise(values: Tensor, settings: Any) -> Structure:
    return Pairwise(values.shape[1], settings)


def _bernoulli(values: Tensor, settings: Any) -> Structure:
    return Bernoulli(len(values), settings)


STRUCTURES: Mapping[str, tuple[type[Settings], Callable[[Tensor, Any], Structure]]] = {
    "none": (_None, _apart),
    "pairwise": (PairwiseSettings, _pairwise),
    "bernoulli": (BernoulliSettings, _bernoulli),
}
"""Structures by name: settings, and how one is made for initial features."""


def make_structure(text: str, values: Tensor) -> Structure:
    """Return a fresh structure; call this where the global generators are seeded.

    Args:
        text: Name and settings, such as ``pairwise,width=64``; "" is ``none``.
        values: Initial features, ``(n, d)``.

    Raises:
        UsageError: If the name or a setting is unknown or does not fit.
    """
    name, settings = parse_text(text or "none", "structure")
    if name not in STRUCTURES:
        raise UsageError(unknown("structure", name, STRUCTURES))
    kind, make = STRUCTURES[name]
    return make(values, parse(kind, settings, f"objective.structure={name}"))
