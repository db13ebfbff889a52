"""Making an artifact of a set in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from attar.artifact.manifest import DataRecord, Environment, Kind, Manifest, MethodRecord, SizeRecord
from attar.artifact.store import Artifact, serialize, tensor_records
from attar.contracts import SPLITS, SyntheticSet, Task
from attar.cost import Cost
from attar.errors import UsageError
from attar.plugins import TABULAR, Categorized, Described, Modality
from attar.protocols import Protocol
from attar.unions import restore

__all__ = ["artifact_of", "data_record", "make_artifact"]


def data_record(task: Task, options: Mapping[str, Any] | None = None) -> DataRecord:
    """Return the record of a task's data."""
    return DataRecord(
        modality=task.modality,
        name=task.name,
        fingerprint=task.fingerprint,
        options=dict(options or {}),
        classes=task.classes,
        counts=tuple(task.counts.tolist()),
        axes=task.axes,
        preprocessing=dict(task.preprocessing),
        feature=tuple(task.feature),
        license=task.license,
        about=dict(task.about) if isinstance(task, Described) else {},
        # Nothing of the test split, not even its size, is in what is made.
        splits={split: n for split in SPLITS if split != "test" and (n := task.size(split))},
    )


def make_artifact(
    task: Task,
    modality: Modality,
    syn: SyntheticSet,
    *,
    kind: Kind,
    method: MethodRecord,
    seed: int,
    cost: Cost,
    environment: Environment,
    options: Mapping[str, Any] | None = None,
    protocol: Protocol | None = None,
    recipe: str = "",
) -> Artifact:
    """Bake a set, pass it through its storage types and describe it.

    The set of the artifact is rebuilt from what is stored, so that what is evaluated in
    memory is what a reader of the file gets.

    Raises:
        UsageError: If a value does not fit its storage type.
    """
    category = modality.category if isinstance(modality, Categorized) else TABULAR
    return artifact_of(
        data_record(task, options).model_copy(update={"category": category}),
        modality,
        syn,
        kind=kind,
        method=method,
        seed=seed,
        cost=cost,
        environment=environment,
        protocol=protocol or next(iter(task.protocols.values())),
        recipe=recipe,
    )


def artifact_of(
    data: DataRecord,
    modality: Modality,
    syn: SyntheticSet,
    *,
    kind: Kind,
    method: MethodRecord,
    seed: int,
    cost: Cost,
    environment: Environment,
    protocol: Protocol,
    recipe: str = "",
) -> Artifact:
    """Return an artifact of a set, as :func:`make_artifact` does, of data that are described.

    Raises:
        UsageError: If a value does not fit its storage type.
    """
    baked = syn.bake()
    stored = baked.stored()
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise UsageError(f"{name!r} does not fit into {dtype}; choose run.dtype=float32")
    content = serialize(stored)
    rebuilt = restore(modality, baked.description(), stored)
    with torch.no_grad():
        batch = rebuilt.decode()
    present = set(torch.bincount(rebuilt.labels).tolist()) - {0}
    manifest = Manifest(
        kind=kind,
        data=data,
        method=method,
        set=baked.description(),
        tensors=tensor_records(stored),
        sha256=hashlib.sha256(content).hexdigest(),
        size=SizeRecord(
            ipc=present.pop() if len(present) == 1 else None,
            stored=len(rebuilt.labels),
            decoded=len(batch),
            bytes=rebuilt.nbytes(),
            bytes_on_disk=len(content),
        ),
        protocol=protocol,
        seed=seed,
        environment=environment,
        cost=cost,
    )
    return Artifact(manifest=manifest, syn=rebuilt, recipe=recipe, preview=modality.render(batch, data.info))
