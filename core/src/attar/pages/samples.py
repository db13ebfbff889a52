"""The samples of a set as a page shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attar.artifact import Artifact
from attar.batch import Batch
from attar.contracts import Task
from attar.errors import UsageError
from attar.neighbors import SampleInfo, sample_infos
from attar.pages.blocks import Block, Gallery, GalleryClass, GallerySample, Picture, Section, Told
from attar.plugins import Exhibit, Exhibits
from attar.registry import Registry

__all__ = ["Beside", "samples_section"]

_MOST_OF_A_CLASS = 10
_MOST_CLASSES = 60
_FEW_POINTS = 100
_MADE = (
    "They were made so that networks learn from them, not to look like anything: odd textures and noises "
    "are to be expected. They can still reveal the real samples that they were made of."
)
_CHOSEN = "They are real samples, chosen from the training data."


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What samples are shown beside.

    Attributes:
        task: The real data, to name those that are nearest to each sample; None names none.
        nearest: How many of these.
        options: The modality's settings that samples are told by; None for those that the data
            were loaded with.
    """

    task: Task | None = None
    nearest: int = 3
    options: Mapping[str, Any] | None = None


def samples_section(artifact: Artifact, registry: Registry, beside: Beside | None = None) -> Section:
    """Return the samples of a set: seen, heard or read one by one, as far as their modality can.

    Args:
        artifact: The set.
        registry: The plugins known.
        beside: What they are shown beside, if anything.

    Raises:
        UsageError: If neighbors are asked for of data that have no names.
    """
    data = artifact.manifest.data
    modality = registry.get("modalities", data.modality)
    batch = artifact.decode()
    shown = batch.take(_shown(batch.labels.tolist()))
    exhibits = modality.exhibits(shown, artifact.info) if isinstance(modality, Exhibits) else None
    blocks: list[Block] = [Told(_CHOSEN if artifact.manifest.kind == "selected" else _MADE)]
    infos, missing = _told(artifact, shown, modality, beside or Beside())
    if missing:
        blocks.append(Told(f"They are not told in words here: {missing}.", warning=True))
    named = exhibits is not None or any(each.described or each.nearest for each in infos)
    if exhibits is None:
        blocks.append(_whole(artifact, modality))
    if named:
        blocks += _gallery(data.classes, _counts(batch), exhibits, infos)
    left = len(batch) - len(shown)
    if left and named:
        blocks.append(Told(f"{left:,} of {len(batch):,} samples are left out here; the artifact has all."))
    return Section("The samples", tuple(blocks))


def _told(
    artifact: Artifact, shown: Batch, modality: Any, beside: Beside
) -> tuple[tuple[SampleInfo, ...], str]:
    """Return what samples are like, and what is missing to tell them in words, or ""."""
    own = artifact.info
    info = own if beside.options is None else replace(own, options=beside.options)
    try:
        return sample_infos(shown, info, modality, beside.task, beside.nearest), ""
    except UsageError as error:
        if beside.task is not None:
            raise
        # An encoder that is not at hand, say: a page without words is better than none.
        return tuple(SampleInfo(label=info.classes[label]) for label in shown.labels.tolist()), str(error)


def _counts(batch: Batch) -> Mapping[int, int]:
    return Counter(batch.labels.tolist())


def _shown(labels: Sequence[int]) -> Tensor:
    """Return the rows that are shown: the first of each class, of the first classes."""
    rows: list[int] = []
    seen: dict[int, int] = {}
    for row, label in enumerate(labels):
        if label < _MOST_CLASSES and seen.get(label, 0) < _MOST_OF_A_CLASS:
            seen[label] = seen.get(label, 0) + 1
            rows.append(row)
    rows.sort(key=lambda row: labels[row])
    return torch.tensor(rows, dtype=torch.int64)


def _whole(artifact: Artifact, modality: Any) -> Picture:
    """Return the picture of all samples together."""
    content = artifact.preview or modality.render(artifact.decode(), artifact.info)
    size, classes = artifact.manifest.size, artifact.manifest.data.classes
    return Picture(content, alt=f"The {size.decoded:,} samples of {len(classes)} classes in one picture")


def _gallery(
    classes: Sequence[str],
    counts: Mapping[int, int],
    exhibits: Sequence[Exhibit] | None,
    infos: Sequence[SampleInfo],
) -> list[Block]:
    groups: dict[str, list[GallerySample]] = {}
    for row, each in enumerate(infos):
        own = groups.setdefault(each.label, [])
        own.append(
            GallerySample(
                name=f"{each.label}, sample {len(own) + 1}",
                exhibit=Exhibit() if exhibits is None else exhibits[row],
                words=each.described or "",
                nearest=tuple(f"{near.caption} ({near.label})" for near in each.nearest),
            )
        )
    found = {classes[label]: count for label, count in counts.items()}
    shown = tuple(GalleryClass(name, tuple(own), more=found[name] - len(own)) for name, own in groups.items())
    return [Gallery(shown, small=_small(exhibits or ()))]


def _small(exhibits: Sequence[Exhibit]) -> bool:
    """Return whether all are pictures of few points and nothing else."""
    # The width of a PNG file stands in the 16th to 19th byte.
    return bool(exhibits) and all(
        not each.sound and int.from_bytes(each.picture[16:20], "big") <= _FEW_POINTS for each in exhibits
    )
