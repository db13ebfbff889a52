"""Sets that other software made, given as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attar.artifact import Artifact
from attar.artifact.build import make_artifact
from attar.artifact.manifest import Environment, MethodRecord
from attar.contracts import Task
from attar.cost import Cost
from attar.errors import UsageError
from attar.npz import read_npz
from attar.plugins import Modality, ReadsArrays
from attar.registry import Registry
from attar.tensor.given import as_array

__all__ = ["given_set", "read_arrays"]

GIVEN = "given"
"""What the method of a given set is called: how it was made is not known."""


def read_arrays(arrays: Mapping[str, Any] | str | Path) -> dict[str, NDArray[Any]]:
    """Return arrays by name.

    Args:
        arrays: Arrays or tensors by name, or the path of a ``.npz`` file of them.

    Raises:
        UsageError: If there is no such file, or it holds anything else than plain arrays.
    """
    if isinstance(arrays, str | Path):
        path = Path(arrays)
        if not path.is_file():
            raise UsageError(f"there is no file {str(arrays)!r}; give the path of a .npz file")
        return read_npz(path, "numpy.savez(file, labels=…, and the others)")
    return {name: _plain(value, name) for name, value in arrays.items()}


def _plain(value: Any, name: str) -> NDArray[Any]:
    # Names of classes are texts, which are no numbers.
    if name == "classes":
        return np.asarray(value, dtype=np.str_)
    if name == "labels" and not isinstance(value, Tensor):
        return np.asarray(value)
    if isinstance(value, Tensor) and value.layout != torch.strided:
        value = value.to_dense()
    return as_array(value, f"the array {name!r}")


def _check_classes(found: NDArray[Any], task: Task) -> None:
    names = tuple(str(name) for name in found.reshape(-1).tolist())
    if names != task.classes:
        raise UsageError(
            f"the array 'classes' names {', '.join(names) or 'nothing'}, but {task.name!r} has "
            f"{', '.join(task.classes)}; give the data that the set was made of, or leave 'classes' out"
        )


def given_set(
    task: Task,
    arrays: Mapping[str, Any] | str | Path,
    *,
    seed: int = 0,
    registry: Registry | None = None,
) -> Artifact:
    """Return a set that is given as plain arrays; see :func:`attar.from_arrays`."""
    registry = registry or Registry()
    modality: Modality = registry.get("modalities", task.modality)
    if not isinstance(modality, ReadsArrays):
        raise UsageError(
            f"a set of modality {task.modality!r} cannot be given as arrays; give a run or an artifact"
        )
    found = read_arrays(arrays)
    if "classes" in found:
        _check_classes(found.pop("classes"), task)
    syn = modality.set_of(found, task)
    method = MethodRecord(
        name=GIVEN, reference="made by other software", settings={}, model=task.architecture
    )
    return make_artifact(
        task,
        modality,
        syn,
        kind="given",
        method=method,
        seed=seed,
        cost=Cost(),
        environment=Environment.current(),
        options=task.options,
    )
