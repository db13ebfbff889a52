"""Where recordings come from: a folder, a table, a public set, Python, or a generator."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.encoded import Columns, EncodedSource, about_bad, find_splits, heads, splits_of
from attar.errors import UsageError
from attar.plugins import GivenData, LoadRequest
from attar.tensor import ArrayItems, Items
from attar.tensor.given import as_array, read_given
from attar.tensor.items import sample_name
from attar.tensor.splits import groups_of
from numpy.typing import NDArray

from attar_audio.clips import SOUNDS, ClipDecoder, fitted, header
from attar_audio.form import AudioOptions
from attar_audio.front_end import FrontEnd
from attar_audio.tones import RATE, tones

__all__ = ["Recordings", "encoded", "generated", "given_waves", "in_memory", "recordings_at"]

_MOST_HEADS = 200
_MOST_RATE = 16_000
_MOST_SECONDS = 10.0
_COVERED = 0.95
_THREADS = min(8, os.cpu_count() or 1)
_AT_ONCE = 256
_LOUDEST = 1.5


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """Spectrograms as items.

    Attributes:
        name: What the data are called.
        classes: Names of the classes.
        train: Training spectrograms.
        test: Test spectrograms, or None to draw them from the training ones.
        validation: Held-out spectrograms, where the data name them.
        form: What recordings were brought to.
        groups: Group of each training and then each test recording, or None.
        license: License of the recordings as their owners state it, or ``unknown``.
        about: What else artifacts say of the data.
    """

    name: str
    classes: tuple[str, ...]
    train: Items
    test: Items | None
    validation: Items | None = None
    form: FrontEnd
    groups: tuple[str, ...] | None = None
    license: str = "unknown"
    about: Mapping[str, Any] = field(default_factory=dict)


def recordings_at(path: Path, options: AudioOptions, request: LoadRequest) -> Recordings:
    """Return the recordings at a path: class subfolders, Parquet, or a saved Hugging Face data set.

    Raises:
        UsageError: If there are none, or they do not fit.
    """
    found = find_splits(path, SOUNDS, Columns(options.audio_column, options.label_column))
    return encoded(found.name, found.train, found.test, options, request)


def encoded(
    name: str,
    train: EncodedSource,
    test: EncodedSource | None,
    options: AudioOptions,
    request: LoadRequest,
    *,
    validation: EncodedSource | None = None,
    license: str = "unknown",
) -> Recordings:
    """Return encoded recordings as spectrograms, decoded once and kept in the cache.

    Raises:
        UsageError: If a file is damaged, or names have no group.
    """
    form = options.form(*_suited(train, options))
    named = {"train": train, "validation": validation, "test": test}
    decoded = splits_of(
        {split: source for split, source in named.items() if source is not None},
        ClipDecoder(form),
        cache=request.cache,
        threads=_THREADS,
        show=request.show,
        bad=options.bad,
    )
    items = decoded.items
    groups = None
    if options.group_pattern:
        parts = [items[split] for split in ("train", "test") if split in items]
        names = [sample_name(part, row) for part in parts for row in range(len(part.labels))]
        groups = tuple(groups_of(names, options.group_pattern))
    return Recordings(
        name=name,
        classes=train.classes,
        train=items["train"],
        test=items.get("test"),
        validation=items.get("validation"),
        form=form,
        groups=groups,
        license=license,
        about={"form": _told(form, options), **about_bad(decoded.skipped)},
    )


def _told(form: FrontEnd, options: AudioOptions) -> str:
    """Return what recordings are brought to, and why, in words."""
    shape = f"{form.seconds:g} s at {form.rate:,} Hz"
    if options.rate and options.seconds:
        return shape
    return f"{shape}, by the recordings; data.seconds and data.rate choose others"


def _suited(source: EncodedSource, options: AudioOptions) -> tuple[int, float]:
    """Return rate and length that suit recordings, from the headers of some of them.

    The rate is the most common one, at most 16 kHz; the length covers 19 of 20 recordings.
    """
    if options.rate and options.seconds:
        return options.rate, options.seconds
    found = heads(source, header, _MOST_HEADS)
    rate = min(Counter(head.rate for head in found).most_common(1)[0][0], _MOST_RATE)
    lengths = sorted(head.seconds for head in found)
    covering = lengths[min(len(lengths) - 1, int(_COVERED * len(lengths)))]
    # In tenths, so that a few more recordings do not make another form; a hundredth may be cut.
    seconds = min(max(0.1, np.ceil((covering - 0.01) * 10) / 10), _MOST_SECONDS)
    return options.rate or rate, options.seconds or float(seconds)


def in_memory(waves: NDArray[Any], rate: int, form: FrontEnd) -> NDArray[Any]:
    """Return spectrograms of waveforms ``(n, samples)`` in [-1, 1] of one rate."""
    parts = []
    for start in range(0, len(waves), _AT_ONCE):
        part = torch.from_numpy(np.ascontiguousarray(waves[start : start + _AT_ONCE])).to(torch.float32)
        parts.append(form.of(fitted(part, rate, form)).numpy())
    return np.concatenate(parts)


def generated(options: AudioOptions) -> Recordings:
    """Return the generated tones, chirps and noises."""
    waves, labels, classes = tones()
    form = options.form(RATE, waves.shape[1] / RATE)
    return Recordings(
        name="tones",
        classes=classes,
        train=ArrayItems(in_memory(waves, RATE, form), labels, "tones"),
        test=None,
        form=form,
        license="cc0-1.0",
    )


def given_waves(given: GivenData, name: str, options: AudioOptions) -> Recordings:
    """Return waveforms given in Python.

    Raises:
        UsageError: If they are no waveforms, the rate is not given, or labels do not fit.
    """
    if not options.rate:
        raise UsageError(f"say at which rate {name!r} was sampled, in Hz, as in rate=16000")
    found = read_given(given, name, mono)
    waves = _waves(found.train[0], name)
    form = options.form(options.rate, waves.shape[1] / options.rate)
    test: Items | None = None
    if found.test is not None:
        held = f"{name} (test)"
        spectrograms = in_memory(_waves(found.test[0], held), options.rate, form)
        test = ArrayItems(spectrograms, found.test[1], held)
    train = ArrayItems(in_memory(waves, options.rate, form), found.train[1], name)
    return Recordings(name=name, classes=found.classes, train=train, test=test, form=form)


def _waves(values: NDArray[Any], name: str) -> NDArray[Any]:
    return np.stack([mono(each, f"sample {row} of {name!r}") for row, each in enumerate(values)])


def mono(sample: Any, where: str) -> NDArray[Any]:
    """Return one waveform ``(n,)`` or ``(channels, n)`` as one channel in [-1, 1], float32.

    Raises:
        UsageError: If it is none, or is louder than full scale.
    """
    values = as_array(sample, where)
    if values.ndim not in (1, 2) or not values.size:
        raise UsageError(f"{where} has shape {values.shape}; give waveforms (n,) or (channels, n)")
    if np.issubdtype(values.dtype, np.integer):
        values = values / float(np.iinfo(values.dtype).max)
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise UsageError(f"{where} holds NaN or infinite samples; remove or repair it")
    loudest = float(np.abs(values).max())
    if loudest > _LOUDEST:
        raise UsageError(f"{where} reaches {loudest:g}; give floats in [-1, 1], or integers of full scale")
    return values.mean(0) if values.ndim == 2 else values
