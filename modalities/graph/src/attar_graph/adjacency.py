"""Adjacencies: how much each node hears from each other one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, TypeAlias

import torch
from torch import Tensor

__all__ = ["Adjacency", "Dense", "Normalization", "Sparse", "beside", "compressed_rows", "times"]

Normalization: TypeAlias = Literal["symmetric", "row"]
"""``D^−½ A D^−½``, or ``D⁻¹ A``: the mean over a node's neighbors."""


class Adjacency(Protocol):
    """Weights of the edges: entry (i, j) says how much node i hears from node j, at least 0."""

    @property
    def n(self) -> int:
        """Number of nodes."""

    @property
    def constant(self) -> bool:
        """Whether no gradient is asked of the weights."""

    def matmul(self, values: Tensor) -> Tensor:
        """Return ``A · values``, ``(n, d)``."""

    def normalized(self, how: Normalization, loops: bool) -> Adjacency:
        """Return the normalized adjacency, with a loop of weight 1 at each node if `loops`."""

    def induced(self, nodes: Tensor) -> Adjacency:
        """Return the edges among `nodes`, int64 ``(k,)``, numbered by their place there."""

    def edges(self) -> tuple[Tensor, Tensor]:
        """Return the edges that are not zero, int64 ``(2, E)`` of rows and columns, and their weights."""

    def strong(self, least: float) -> Adjacency:
        """Return the edges that weigh at least `least`, or this where that is all of them."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return a copy with `function` applied to the weights."""

    def to(self, device: torch.device) -> Self:
        """Return a copy on `device`."""


def _scales(degrees: Tensor, power: float) -> Tensor:
    """Return ``degrees ** power``, and zero where a node has no edge."""
    safe = torch.where(degrees > 0, degrees, torch.ones_like(degrees))
    return torch.where(degrees > 0, safe.pow(power), torch.zeros_like(degrees))


@dataclass(frozen=True)
class Dense:
    """An adjacency that is a matrix, as small synthetic graphs have it.

    Attributes:
        weights: Float32 ``(n, n)``.
    """

    weights: Tensor

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.weights)

    @property
    def constant(self) -> bool:
        """Whether no gradient is asked of the weights."""
        return not self.weights.requires_grad

    def matmul(self, values: Tensor) -> Tensor:
        """Return ``A · values``."""
        return self.weights @ values

    def normalized(self, how: Normalization, loops: bool) -> Dense:
        """Return the normalized adjacency."""
        weights = self.weights
        if loops:
            weights = weights + torch.eye(self.n, dtype=weights.dtype, device=weights.device)
        degrees = weights.sum(1)
        if how == "row":
            return Dense(weights * _scales(degrees, -1.0)[:, None])
        scale = _scales(degrees, -0.5)
        return Dense(scale[:, None] * weights * scale[None, :])

    def induced(self, nodes: Tensor) -> Dense:
        """Return the edges among some nodes."""
        return Dense(self.weights[nodes][:, nodes])

    def edges(self) -> tuple[Tensor, Tensor]:
        """Return the edges that are not zero, and their weights."""
        where = self.weights.detach().nonzero().T
        return where, self.weights[where[0], where[1]]

    def strong(self, least: float) -> Dense:
        """Return the edges that weigh at least `least`."""
        kept = self.weights.detach() >= least
        if bool((kept | (self.weights == 0)).all()):
            return self
        return Dense(self.weights * kept)

    def map(self, function: Callable[[Tensor], Tensor]) -> Dense:
        """Return a copy with `function` applied to the weights."""
        weights = function(self.weights)
        return self if weights is self.weights else Dense(weights)

    def to(self, device: torch.device) -> Dense:
        """Return a copy on `device`."""
        return Dense(self.weights.to(device))


def compressed_rows(starts: Tensor, columns: Tensor, values: Tensor, width: int) -> Tensor:
    """Return a matrix in compressed rows, whose parts are known to fit."""
    with warnings.catch_warnings():
        # Of all that is said to be new, only the product with a dense matrix is used here.
        warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)", category=UserWarning)
        shape = (len(starts) - 1, width)
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


class _Product(torch.autograd.Function):
    """A constant sparse matrix times values, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix @ values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return times(grads[0], ctx.transposed, ctx.matrix), None, None


def times(values: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    """Return a constant matrix times values, by the transposed one in the backward pass."""
    product: Tensor = _Product.apply(values, matrix, transposed)  # type: ignore[no-untyped-call]
    return product


@dataclass(frozen=True)
class Sparse:
    """A constant adjacency in compressed rows, as real graphs have it.

    Attributes:
        starts: Where each row begins, int64 ``(n + 1,)``.
        columns: Neighbors, int64 ``(E,)``, in ascending order within a row.
        weights: Weights of the edges, float32 ``(E,)``.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    constant = True

    def __getstate__(self) -> dict[str, Any]:
        # What is known is found again, and compressed rows are better not sent to other processes.
        return {**vars(self), "known": {}}

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, weights: Tensor, n: int) -> Sparse:
        """Return the adjacency of edges in any order; the weights of those given twice are added.

        Args:
            rows: Int64 ``(E,)``.
            columns: Int64 ``(E,)``.
            weights: Float32 ``(E,)``.
            n: Number of nodes.
        """
        places, owner = torch.unique(rows * n + columns, return_inverse=True)
        summed = weights.new_zeros(len(places)).index_add(0, owner, weights)
        counts = torch.bincount(places // n if n else places, minlength=n)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(starts, places % n if n else places, summed)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.starts) - 1

    @property
    def rows(self) -> Tensor:
        """Row of each edge, int64 ``(E,)``."""
        numbers = torch.arange(self.n, device=self.starts.device)
        return numbers.repeat_interleave(self.starts.diff())

    def _matrix(self) -> Tensor:
        if "matrix" not in self.known:
            self.known["matrix"] = compressed_rows(self.starts, self.columns, self.weights, self.n)
        matrix: Tensor = self.known["matrix"]
        return matrix

    def _transposed(self) -> Sparse:
        if "transposed" not in self.known:
            self.known["transposed"] = Sparse.of(self.columns, self.rows, self.weights, self.n)
        found: Sparse = self.known["transposed"]
        return found

    def matmul(self, values: Tensor) -> Tensor:
        """Return ``A · values``."""
        if not values.requires_grad:
            return self._matrix() @ values
        return times(values, self._matrix(), self._transposed()._matrix())

    def normalized(self, how: Normalization, loops: bool) -> Sparse:
        """Return the normalized adjacency, made once."""
        key = f"{how} {loops}"
        if key not in self.known:
            self.known[key] = self._normalized(how, loops)
        found: Sparse = self.known[key]
        return found

    def _normalized(self, how: Normalization, loops: bool) -> Sparse:
        rows, columns, weights = self.rows, self.columns, self.weights
        if loops:
            own = torch.arange(self.n, device=rows.device)
            rows, columns = torch.cat([rows, own]), torch.cat([columns, own])
            weights = torch.cat([weights, weights.new_ones(self.n)])
        degrees = weights.new_zeros(self.n).index_add(0, rows, weights)
        if how == "row":
            return Sparse.of(rows, columns, weights * _scales(degrees, -1.0)[rows], self.n)
        scale = _scales(degrees, -0.5)
        return Sparse.of(rows, columns, weights * scale[rows] * scale[columns], self.n)

    def induced(self, nodes: Tensor) -> Sparse:
        """Return the edges among some nodes."""
        place = self.columns.new_full((self.n,), -1)
        place[nodes] = torch.arange(len(nodes), device=nodes.device)
        rows, columns = place[self.rows], place[self.columns]
        inside = (rows >= 0) & (columns >= 0)
        return Sparse.of(rows[inside], columns[inside], self.weights[inside], len(nodes))

    def edges(self) -> tuple[Tensor, Tensor]:
        """Return the edges and their weights."""
        return torch.stack([self.rows, self.columns]), self.weights

    def strong(self, least: float) -> Sparse:
        """Return the edges that weigh at least `least`, found once."""
        key = f"strong {least}"
        if key not in self.known:
            kept = self.weights >= least
            rows, columns, weights = self.rows[kept], self.columns[kept], self.weights[kept]
            whole = bool(kept.all())
            self.known[key] = None if whole else Sparse.of(rows, columns, weights, self.n)
        # Not itself among what it knows: such a circle is freed late.
        found: Sparse | None = self.known[key]
        return self if found is None else found

    def map(self, function: Callable[[Tensor], Tensor]) -> Sparse:
        """Return a copy with `function` applied to the weights, or this where it changes nothing."""
        weights = function(self.weights)
        return self if weights is self.weights else replace(self, weights=weights, known={})

    def to(self, device: torch.device) -> Sparse:
        """Return a copy on `device`, or this if it is there."""
        if self.weights.device == device:
            return self
        return Sparse(self.starts.to(device), self.columns.to(device), self.weights.to(device))


def beside(parts: Sequence[Adjacency]) -> Adjacency:
    """Return adjacencies side by side, without edges between them."""
    matrices = [part.weights for part in parts if isinstance(part, Dense)]
    if len(matrices) == len(parts):
        return Dense(torch.block_diag(*matrices))
    offset, places, weights = 0, [], []
    for part in parts:
        where, values = part.edges()
        places.append(where + offset)
        weights.append(values)
        offset += part.n
    rows, columns = torch.cat(places, dim=1)
    return Sparse.of(rows, columns, torch.cat(weights), offset)
