"""Exporting a set: files that are used without Attar, and what writing them changes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attar.artifact import Artifact
from attar.batch import Batch, Structured, map_inputs
from attar.contracts import SyntheticSet, Task
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings, check_same, evaluate_sets
from attar.files import disk_errors, to_json
from attar.folders import check_free, staged_folder
from attar.plugins import AsGraph, Export, ExportType, Tabular
from attar.registry import Registry
from attar.reports import Score
from attar.settings import Record, unknown
from attar.tensor.export import quiet_datasets

__all__ = [
    "PREPROCESSING",
    "AccuracyChange",
    "ExportRecord",
    "accuracy_change",
    "as_exported",
    "export",
    "to_hf",
    "to_pyg",
]

_AT_ONCE = 1024

PREPROCESSING = "preprocessing.json"
"""The file of an exported folder that says how its values become what models take."""


class ExportRecord(Record):
    """What was exported, and what writing it changed.

    Attributes:
        format: Name of the format.
        dtype: What values are written as.
        folder: The folder.
        samples: Samples written.
        files: Files written.
        bytes: Their size.
        largest: Largest change of a value by rounding, in the units that models see: standard
            deviations of the real data.
        mean: Mean absolute change likewise.
        clipped: Share of values that lay outside of what the type can hold and were cut off.
    """

    format: str
    dtype: ExportType
    folder: str
    samples: int
    files: int
    bytes: int
    largest: float
    mean: float
    clipped: float


class AccuracyChange(Record):
    """Test accuracy of networks trained on a set as it is stored and as it was exported.

    Attributes:
        stored: On the set as the artifact holds it.
        exported: On what a reader of the export gets, by the same protocol and seeds.
        change: The difference of the means, in percentage points; negative is a loss.
    """

    stored: Score
    exported: Score
    change: float


def _chosen(artifact: Artifact, name: str, dtype: str, registry: Registry | None) -> tuple[Export, Any]:
    """Return a format and the type to write, checked."""
    modality = (registry or Registry()).get("modalities", artifact.manifest.data.modality)
    formats = modality.exports()
    if name not in formats:
        raise UsageError(unknown("format", name, formats))
    found: Export = formats[name]
    kind = dtype or found.dtypes[0]
    if kind not in found.dtypes:
        raise UsageError(f"the format {name!r} cannot hold {kind!r}; choose from {', '.join(found.dtypes)}")
    return found, kind


def export(
    artifact: Artifact,
    out: str | Path,
    format: str,
    *,
    dtype: str = "",
    force: bool = False,
    test: Task | None = None,
    registry: Registry | None = None,
) -> ExportRecord:
    """Write a set in a format that is used without Attar.

    Values are written in natural units: pixels from 0 to 255 for images, the unit of the data
    for everything else. ``preprocessing.json`` beside them says how they become what models take.

    Args:
        artifact: The set.
        out: Folder to write, whole or not at all.
        format: Name of the format, such as ``parquet``; which there are, the modality says.
        dtype: ``uint8``, ``float16`` or ``float32``; by default what suits the format.
        force: Replace an earlier export in `out`.
        test: Real data whose test split is written beside the set in the same form, as ``test.parquet``,
            so that others measure what networks learn of the set; for tables only.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If format or type are unknown, the format cannot hold the set or has no test split,
            the folder is occupied, the data are others, or the disk refuses.
    """
    chosen, kind = _chosen(artifact, format, dtype, registry)
    target = Path(out)
    check_free(target, force, "export")
    if test is not None:
        check_same(test, [artifact])
        if not isinstance(chosen, Tabular):
            raise UsageError(f"the format {format!r} has no test split; choose the format parquet")
    batch, info = artifact.decode(), artifact.info
    largest, mean = _difference(batch, chosen.rounded(batch, info, kind))
    if not math.isfinite(largest):
        raise UsageError(
            f"the set has values that are too large for {kind} in the unit of the data; it has been damaged, "
            f"or its preprocessing has"
        )
    reading = {"format": format, "dtype": kind, "classes": list(info.classes), **chosen.reading(info, kind)}
    with staged_folder(target, force=force, kind="export") as aside:
        chosen.write(batch, info, kind, aside)
        if test is not None and isinstance(chosen, Tabular):
            real = Batch.cat(list(test.epoch("test", _AT_ONCE)))
            with quiet_datasets(), disk_errors(target):
                chosen.dataset(real, info, kind).to_parquet(str(aside / "test.parquet"))
        with disk_errors(target):
            (aside / PREPROCESSING).write_bytes(to_json(reading))
            (aside / "README.md").write_text(
                _readme(artifact, chosen, reading), encoding="utf-8", newline="\n"
            )
            written = [path for path in aside.rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in written)
    return ExportRecord(
        format=format,
        dtype=kind,
        folder=str(target),
        samples=len(batch),
        files=len(written),
        bytes=size,
        largest=largest,
        mean=mean,
        clipped=chosen.clipped(batch, info, kind),
    )


def _tensors(inputs: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors of inputs of any form."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor.detach())
        return tensor

    def note(part: Tensor | Structured) -> Any:
        if isinstance(part, Tensor):
            if part.is_floating_point():
                found.append(part.detach())
            return part
        return part.map(keep)

    map_inputs(note, inputs)
    yield from found


def _difference(one: Batch, other: Batch) -> tuple[float, float]:
    """Return the largest and the mean absolute change of a value."""
    pairs = zip(_tensors(one.inputs), _tensors(other.inputs), strict=True)
    changes = [(a.double().cpu() - b.double().cpu()).abs().flatten() for a, b in pairs]
    change = torch.cat(changes) if changes else torch.zeros(0)
    return (float(change.max()), float(change.mean())) if change.numel() else (0.0, 0.0)


def _readme(artifact: Artifact, chosen: Export, reading: dict[str, Any]) -> str:
    """Return what an exported folder says of itself, as Markdown."""
    # The card of an artifact quotes names likewise.
    from attar.artifact.card import code, made_by

    data = artifact.manifest.data
    classes = "\n".join(f"{label}. {code(name)}" for label, name in enumerate(data.classes))
    shown = {key: value for key, value in reading.items() if key not in ("classes", "folders")}
    return f"""# A small training set

{artifact.manifest.size.decoded:,} samples that stand for the {sum(data.counts):,} of {code(data.name)},
{made_by(artifact.manifest)}.

Format {code(reading["format"])}: {chosen.summary}; values as {code(reading["dtype"])}.

## Preprocessing

`preprocessing.json` says how values become what models take, by the statistics of the real training
data:

```json
{json.dumps(shown, indent=2)}
```

## Classes

By label:

{classes}

## Limits

License of the real data: {code(data.license)}. The samples were made from real ones and can reveal
them, persons included: no anonymity is implied.
"""


class _Fixed(SyntheticSet):
    """A batch as a set: what a reader of an export trains on."""

    def __init__(self, batch: Batch, like: SyntheticSet) -> None:
        super().__init__()
        self.labels = like.labels
        self.label_kind = like.label_kind
        self._batch = batch

    def decode(self, rows: Tensor | None = None) -> Batch:
        return self._batch if rows is None else self._batch.take(rows)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {}

    def stored(self) -> dict[str, Tensor]:
        return {}

    def description(self) -> dict[str, Any]:
        return {}


def as_exported(
    artifact: Artifact, format: str, *, dtype: str = "", registry: Registry | None = None
) -> Artifact:
    """Return a set as a reader of its export gets it, to be evaluated.

    Args:
        artifact: The set as stored.
        format: Name of the format.
        dtype: What values are written as; by default what suits the format.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If format or type are unknown, or the format cannot hold the set.
    """
    chosen, kind = _chosen(artifact, format, dtype, registry)
    batch = chosen.rounded(artifact.decode(), artifact.info, kind)
    # Results of evaluations are kept by the hash of the set, so other values need another.
    digest = hashlib.sha256(artifact.manifest.sha256.encode())
    for tensor in _tensors(batch.inputs):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    manifest = artifact.manifest.model_copy(update={"sha256": digest.hexdigest()})
    return Artifact(manifest=manifest, syn=_Fixed(batch, artifact.syn))


def accuracy_change(
    artifact: Artifact,
    task: Task,
    format: str,
    *,
    dtype: str = "",
    settings: EvaluationSettings | None = None,
    registry: Registry | None = None,
) -> AccuracyChange:
    """Train fresh networks on a set as stored and as exported, and test each once on real data.

    Args:
        artifact: The set.
        task: The real data, with the test split.
        format: Name of the format.
        dtype: What values are written as; by default what suits the format.
        settings: How; baselines are left out.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If set, data, format and settings do not fit together.
    """
    how = replace(settings or EvaluationSettings(), baselines=(), architectures=(), equal_bytes=False)
    other = as_exported(artifact, format, dtype=dtype, registry=registry)
    stored, exported = (evaluate_sets(task, [each], how, registry).accuracy for each in (artifact, other))
    return AccuracyChange(stored=stored, exported=exported, change=round(exported.mean - stored.mean, 4))


def _offered(artifact: Artifact, offer: type, dtype: str, registry: Registry | None) -> tuple[Any, Any]:
    """Return the format of a set that offers something beside, and the type to write; None if none does."""
    modality = (registry or Registry()).get("modalities", artifact.manifest.data.modality)
    name = next((name for name, each in modality.exports().items() if isinstance(each, offer)), None)
    return (None, None) if name is None else _chosen(artifact, name, dtype, registry)


def to_hf(artifact: Artifact, dtype: str = "", registry: Registry | None = None) -> Any:
    """Return a set as a Hugging Face ``datasets.Dataset``; see :meth:`attar.artifact.Artifact.to_hf`."""
    table, kind = _offered(artifact, Tabular, dtype, registry)
    if table is None:
        raise UsageError(
            f"a set of modality {artifact.manifest.data.modality!r} is no table for Hugging Face's datasets; "
            f"use decode()"
        )
    return table.dataset(artifact.decode(), artifact.info, kind)


def to_pyg(artifact: Artifact, dtype: str = "", registry: Registry | None = None) -> Any:
    """Return a set as a ``torch_geometric.data.Data``; see :meth:`attar.artifact.Artifact.to_pyg`."""
    linked, kind = _offered(artifact, AsGraph, dtype, registry)
    if linked is None:
        raise UsageError(
            f"a set of modality {artifact.manifest.data.modality!r} is no graph for PyTorch Geometric; "
            f"use decode()"
        )
    return linked.graph(artifact.decode(), artifact.info, kind)
