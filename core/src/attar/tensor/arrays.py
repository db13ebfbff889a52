"""Sets that are given as plain arrays, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.batch import Batch
from attar.classes import Classes
from attar.contracts import LabelKind, SetSpec, Task
from attar.errors import UsageError
from attar.registry import Registry
from attar.rng import derive
from attar.settings import unknown
from attar.tensor.synthetic import TensorSet, make_set

__all__ = ["check_names", "kind_of", "read_reals", "read_values", "read_whole", "set_of_values"]

_SUM = 1e-3
"""How far a row of probabilities may be from a sum of 1: half precision rounds by less."""


def check_names(arrays: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> None:
    """Refuse arrays that are unknown or missing.

    Raises:
        UsageError: Naming the first one.
    """
    odd = next((name for name in arrays if name not in (*needed, *optional)), None)
    if odd is not None:
        raise UsageError(unknown("array", odd, (*needed, *optional)))
    missing = next((name for name in needed if name not in arrays), None)
    if missing is not None:
        raise UsageError(
            f"there is no array {missing!r}; a set needs {' and '.join(needed)}, and may have "
            f"{', '.join(optional)}"
        )


def read_reals(array: NDArray[Any], name: str) -> Tensor:
    """Return an array as finite float32.

    Args:
        array: Numbers of any type.
        name: What it is called in errors.

    Raises:
        UsageError: If it holds anything else.
    """
    real = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
    if not (real or array.dtype == np.bool_):
        raise UsageError(f"the array {name!r} holds {array.dtype}; give real numbers")
    with np.errstate(all="ignore"):
        values = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    if not bool(torch.isfinite(values).all()):
        raise UsageError(
            f"the array {name!r} is not finite everywhere in float32; mend or remove such values"
        )
    return values


def read_whole(array: NDArray[Any], name: str, below: int, meaning: str) -> Tensor:
    """Return an array of whole numbers from 0 on as int64.

    Args:
        array: The array.
        name: What it is called in errors.
        below: What every number is less than.
        meaning: What the numbers mean, for errors.

    Raises:
        UsageError: If numbers are not whole or lie outside.
    """
    if not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"the array {name!r} holds {array.dtype}; give whole numbers, {meaning}")
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < below):
        raise UsageError(
            f"the array {name!r} runs from {int(array.min())} to {int(array.max())}; give whole numbers "
            f"from 0 to {below - 1}, {meaning}"
        )
    return torch.from_numpy(np.array(array, dtype=np.int64, order="C"))


def read_values(array: NDArray[Any], name: str, feature: tuple[int, ...], data: str) -> Tensor:
    """Return samples, float32 ``(n, *feature)``.

    Args:
        array: The array.
        name: What it is called in errors.
        feature: Shape of one sample.
        data: What the data are called in errors.

    Raises:
        UsageError: If there is no sample, or the shape is another.
    """
    if array.ndim != len(feature) + 1 or array.shape[1:] != feature or not len(array):
        wanted = ", ".join(["n", *map(str, feature)])
        raise UsageError(
            f"the array {name!r} has shape {array.shape}; give ({wanted}) as in {data!r}, n at least 1"
        )
    return read_reals(array, name)


def kind_of(targets: Tensor) -> LabelKind:
    """Return what targets ``(n, classes)`` are.

    Rows that are not negative and sum to 1 are probabilities; all others are real values, which
    networks learn with squared error.
    """
    sums = bool(((targets.sum(1) - 1).abs() <= _SUM).all())
    return "probability" if sums and bool((targets >= 0).all()) else "regression"


def set_of_values(
    values: Tensor, arrays: Mapping[str, NDArray[Any]], task: Task, registry: Registry
) -> TensorSet:
    """Return the set of samples with the arrays ``labels`` and, perhaps, ``targets``.

    Args:
        values: Samples as models take them, float32 ``(n, *feature)``.
        arrays: ``labels`` ``(n,)``, numbers or names of the classes, and perhaps ``targets``
            ``(n, classes)``; see :func:`kind_of`.
        task: The real data.
        registry: Where the parameterization is looked up.

    Raises:
        UsageError: If labels or targets do not fit.
    """
    n, classes = len(values), len(task.classes)
    if np.shape(arrays["labels"])[:1] != (n,):
        raise UsageError(
            f"the array 'labels' has shape {np.shape(arrays['labels'])}; give ({n},), the class of each "
            f"sample"
        )
    labels = torch.from_numpy(Classes.of(task.classes).numbers(arrays["labels"], "the array 'labels'"))
    targets: Tensor | None = None
    kind: LabelKind = "hard"
    if "targets" in arrays:
        if arrays["targets"].shape != (n, classes):
            raise UsageError(
                f"the array 'targets' has shape {arrays['targets'].shape}; give ({n}, {classes}), a value "
                f"for each sample and class"
            )
        targets = read_reals(arrays["targets"], "targets")
        kind = kind_of(targets)
    spec = SetSpec(label_kind=kind, learned=False)
    batch = Batch(values, labels, targets)
    return make_set(batch, spec, tuple(values.shape[1:]), classes, derive(0, "given"), registry)
