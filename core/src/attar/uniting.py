"""Artifacts of several sets as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import reduce

from attar.artifact import Artifact
from attar.artifact.build import artifact_of
from attar.artifact.manifest import DataRecord, Environment, MethodRecord
from attar.cost import Cost
from attar.errors import UsageError
from attar.registry import Registry
from attar.unions import UnionSet

__all__ = ["union"]


def _data(found: Sequence[DataRecord]) -> DataRecord:
    """Return the record of data that sets were made of apart.

    Raises:
        UsageError: If they are not of one kind.
    """
    first = found[0]
    for other in found[1:]:
        for key in ("modality", "classes", "axes", "feature", "preprocessing"):
            if getattr(other, key) != getattr(first, key):
                raise UsageError(
                    f"sets of {first.name!r} and of {other.name!r} cannot be one: their {key} differ; "
                    f"distill them from parts of the same data"
                )
    apart = {record.fingerprint: record for record in found}
    if len(apart) == 1:
        return first
    names = dict.fromkeys(record.name for record in found)
    digest = hashlib.blake2b(" ".join(sorted(apart)).encode(), digest_size=16)
    licenses = {record.license for record in found}
    return first.model_copy(
        update={
            "name": " + ".join(names),
            "fingerprint": digest.hexdigest(),
            "counts": tuple(map(sum, zip(*(record.counts for record in apart.values()), strict=True))),
            "license": licenses.pop() if len(licenses) == 1 else "unknown",
        }
    )


def union(sets: Sequence[Artifact], registry: Registry | None = None) -> Artifact:
    """Return the samples of several sets as one set, each stored and decoded as before.

    Sets of parts of the same data, as of the clients of federated learning, or sets that several
    methods or seeds made, become one to train on.

    Args:
        sets: Artifacts of one modality, with equal classes, preprocessing and kind of labels.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If there is none, or they do not fit together.

    Example:
        >>> import attar
        >>> task = attar.task("tensor", data="iris")
        >>> parts = [attar.distill(task, method="random", ipc=1, seed=seed) for seed in range(3)]
        >>> attar.union(parts).manifest.size.stored
        9
    """
    if not sets:
        raise UsageError("a union needs at least one set")
    manifests = [each.manifest for each in sets]
    first = manifests[0]
    names = list(dict.fromkeys(manifest.method.name for manifest in manifests))
    models = {manifest.method.model for manifest in manifests}
    kinds = {manifest.kind for manifest in manifests}
    method = MethodRecord(
        name=names[0] if len(names) == 1 else "union",
        reference=f"a union of {len(sets)} sets by {', '.join(names)}",
        settings={"parts": [{"sha256": manifest.sha256, "seed": manifest.seed} for manifest in manifests]},
        model=models.pop() if len(models) == 1 else "",
    )
    return artifact_of(
        _data([manifest.data for manifest in manifests]),
        (registry or Registry()).get("modalities", first.data.modality),
        UnionSet([each.syn for each in sets]),
        kind=kinds.pop() if len(kinds) == 1 else "distilled",
        method=method,
        seed=first.seed,
        cost=reduce(Cost.plus, (manifest.cost for manifest in manifests)),
        environment=Environment.current(),
        protocol=first.protocol,
    )
