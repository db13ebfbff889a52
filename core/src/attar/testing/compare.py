"""What the laws compare: batches, their rows, and the state of the global generators."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from attar.batch import Batch, Structured, map_inputs, map_values
from attar.testing.laws import LawBroken, require

__all__ = [
    "RowKeys",
    "equal_sets_of_tensors",
    "floats",
    "global_rng_untouched",
    "plain_row_keys",
    "same_batch",
    "surplus",
    "tensors_in",
]

RowKeys: TypeAlias = Callable[[Batch], Sequence[Hashable]]
"""Returns, for each row of a batch, something that tells the sample from others."""


def floats(batch: Batch) -> list[Tensor]:
    """Return every floating-point tensor of a batch's inputs and targets."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_values(note, batch.inputs)
    return found if batch.targets is None else [*found, batch.targets]


def _floats_of(structured: Structured) -> list[Tensor]:
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    structured.map(note)
    return found


def _all_tensors(batch: Batch) -> list[Tensor]:
    found: list[Tensor] = []

    def note(part: Any) -> Any:
        found.extend([part] if isinstance(part, Tensor) else _floats_of(part))
        return part

    map_inputs(note, batch.inputs)
    return [*found, batch.labels] if batch.targets is None else [*found, batch.labels, batch.targets]


def same_batch(one: Batch, other: Batch, *, rtol: float = 0.0) -> bool:
    """Return whether two batches hold the same, up to `rtol` of the largest value of a tensor."""
    pairs = list(zip(_all_tensors(one), _all_tensors(other), strict=False))
    if len(_all_tensors(one)) != len(_all_tensors(other)):
        return False
    return all(_close(a, b, rtol) for a, b in pairs)


def _close(a: Tensor, b: Tensor, rtol: float) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if rtol == 0.0 or not a.is_floating_point():
        return torch.equal(a, b)
    largest = float(a.detach().abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=rtol * max(largest, 1e-12))


def equal_sets_of_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether two mappings hold the same names with bitwise equal tensors."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def plain_row_keys(batch: Batch) -> list[Hashable]:
    """Return the bytes of each row, labels included, for inputs that are tensors.

    Raises:
        LawBroken: If the inputs are structured, so that only their modality can tell rows apart.
    """
    columns: list[list[bytes]] = []

    def note(part: Any) -> Any:
        if not isinstance(part, Tensor):
            raise LawBroken("the inputs are structured: give row_keys, which tells their rows apart")
        rows = part.detach().cpu().reshape(len(batch), -1).contiguous()
        columns.append([row.numpy().tobytes() for row in rows])
        return part

    map_inputs(note, batch.inputs)
    return list(zip(batch.labels.tolist(), *columns, strict=True))


def surplus(keys: Sequence[Hashable], allowed: Sequence[Hashable]) -> int:
    """Return how many of `keys` occur more often than in `allowed`; real data may hold duplicates."""
    return (Counter(keys) - Counter(allowed)).total()


def tensors_in(thing: Any) -> Iterator[Tensor]:
    """Yield the tensors in a tree of mappings, sequences, data classes and plain objects."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from tensors_in(value)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from tensors_in(value)
    elif is_dataclass(thing) and not isinstance(thing, type):
        for each in fields(thing):
            yield from tensors_in(getattr(thing, each.name))


def _global_state() -> tuple[Any, ...]:
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - read, to see that nobody moved it
    return (
        torch.get_rng_state().numpy().tobytes(),
        numpy_state["state"]["key"].tobytes(),
        numpy_state["state"]["pos"],
        random.getstate(),
    )


@contextmanager
def global_rng_untouched(doing: str) -> Iterator[None]:
    """Raise if the block draws from a global generator of PyTorch, NumPy or Python, or seeds one."""
    before = _global_state()
    yield
    names = ("PyTorch", "NumPy", "NumPy", "Python")
    moved = [name for name, a, b in zip(names, before, _global_state(), strict=True) if a != b]
    require(not moved, f"{doing} changed the global generator of {' and '.join(dict.fromkeys(moved))}")
