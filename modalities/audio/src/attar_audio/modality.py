"""The modality ``audio``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.batch import Batch
from attar.errors import UsageError
from attar.plugins import DataInfo, DemoSpec, Exhibit, Export, LoadRequest
from attar.render import sample_picture
from attar.settings import parse, unknown
from attar.tensor import Standardize, TensorAugment, TensorModality, TensorTask
from attar.tensor.given import as_array
from attar.tensor.splits import Parts, split, split_by_group
from torch import Tensor

from attar_audio.augment import siamese
from attar_audio.clips import SOUNDS, fitted, waveform
from attar_audio.export import EXPORTS, file_names, sounds, wav
from attar_audio.form import AudioOptions, form_of
from attar_audio.front_end import FrontEnd
from attar_audio.networks import ARCHITECTURES
from attar_audio.public import PUBLIC, public_recordings
from attar_audio.render import spectrogram_picture
from attar_audio.sources import Recordings, generated, given_waves, mono, recordings_at

__all__ = ["AUDIO", "AudioModality", "AudioOptions"]

_TONES = "360 generated tones, chirps and noises of half a second, 6 classes"


class AudioModality(TensorModality):
    """Labeled sound: a folder of class subfolders, a table, Speech Commands, or waveforms."""

    category = "audio-classification"
    default_method = "dm"
    summary = "sound: your own folder of class subfolders, Speech Commands, Parquet, or waveforms"
    Options = AudioOptions
    architectures = ARCHITECTURES

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return a ConvNet, with as many blocks as the spectrogram is large, at most four."""
        side = min(feature[1:], default=0)
        return f"convnet,depth={max(1, min(4, int(np.log2(max(side, 1)))))},width=32"

    def augmentation(self, name: str, options: Any) -> TensorAugment | None:
        """Return the augmentation that the options ask for."""
        return siamese() if options.augment else None

    def datasets(self) -> Mapping[str, str]:
        """Return the known data sets."""
        return {"tones": _TONES, **{name: known.summary for name, known in PUBLIC.items()}}

    def load(self, request: LoadRequest) -> TensorTask:
        """Load a known data set, the user's own recordings, or waveforms given in Python.

        Own recordings are a folder of class subfolders, Parquet files with a column of encoded
        recordings and one of labels, or a folder that Hugging Face's ``save_to_disk`` wrote. A
        folder may have ``train`` and ``test`` parts; otherwise the test split is drawn, by
        groups where the options say what a group is.

        Raises:
            UsageError: If the data are unknown, missing, damaged, or do not fit.
        """
        options: AudioOptions = request.options
        return self._task(self._recordings(request, options), options)

    def _recordings(self, request: LoadRequest, options: AudioOptions) -> Recordings:
        if request.given is not None:
            return given_waves(request.given, request.data, options)
        if request.data == "tones":
            return generated(options)
        if request.data in PUBLIC:
            return public_recordings(request, options)
        path = Path(request.data)
        if path.exists():
            return recordings_at(path, options, request)
        known = unknown("data", request.data, self.datasets())
        raise UsageError(f"{known}, or give the path of a folder of class subfolders with --data")

    def _task(self, found: Recordings, options: AudioOptions) -> TensorTask:
        parts = _parts(found, options)
        return self.task(
            "audio",
            found.name,
            found.classes,
            parts,
            options,
            axes=("channel", "cepstrum" if options.features == "mfcc" else "band", "time"),
            preprocess=Standardize.fit(parts.train, axis=1),
            license=found.license,
            # Rate and length may have been chosen by the data.
            about={"front_end": found.form.model_dump(mode="json"), **found.about},
            fitted="" if options.rate and options.seconds else "the rate or length (data.rate, data.seconds)",
        )

    def read(self, raw: Any, info: DataInfo) -> Tensor:
        """Return spectrograms of new recordings: paths of files, or waveforms at the rate of the data.

        Raises:
            UsageError: If they are no recordings.
        """
        return _new_recordings(raw, form_of(info))

    def pixels(self, batch: Batch, info: DataInfo) -> Sequence[Any]:
        """Return the spectrograms ``(positions, frames)``, low frequencies at the bottom."""
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        values = preprocess.decode(batch.inputs.detach().cpu())
        return [sample[0].flip(0).numpy() for sample in values]

    def render(self, batch: Batch, info: DataInfo) -> bytes:
        """Return spectrograms with axes in seconds and Hz, a row per class, as PNG."""
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        values = preprocess.decode(batch.inputs.detach().cpu())[:, 0].numpy()
        return spectrogram_picture(values, batch.labels.tolist(), info.classes, form_of(info))

    def companions(self, batch: Batch, info: DataInfo) -> Iterator[tuple[str, bytes]]:
        """Yield each sample as a WAV file, with its name."""
        form = form_of(info)
        for name, samples in zip(file_names(batch, info), sounds(batch, info, form), strict=True):
            yield name, wav(samples, form.rate)

    def exhibits(self, batch: Batch, info: DataInfo) -> list[Exhibit]:
        """Return each spectrogram, low frequencies at the bottom, in one scale of colors, with its sound."""
        spectrograms = self.pixels(batch, info)
        form = form_of(info)
        limits = (np.percentile(spectrograms, 1), np.percentile(spectrograms, 99.5)) if spectrograms else None
        return [
            Exhibit(
                picture=sample_picture(values, limits=limits, colors="magma"), sound=wav(samples, form.rate)
            )
            for values, samples in zip(spectrograms, sounds(batch, info, form), strict=True)
        ]

    def exports(self) -> Mapping[str, Export]:
        """Return WAV files, NumPy arrays and Parquet."""
        return EXPORTS

    def demo(self, quick: bool) -> DemoSpec:
        """Return the generated sounds, distilled to one per class."""
        return DemoSpec(
            data="tones",
            samples="generated tones, chirps and noises",
            seeds=1 if quick else 3,
            settings={"steps": 100 if quick else 300, "per_class": 32},
            protocol={"networks": 1 if quick else 2, "epochs": 40 if quick else 100},
        )


def _parts(found: Recordings, options: AudioOptions) -> Parts:
    if found.groups is not None:
        both = [found.train] if found.test is None else [found.train, found.test]
        return split_by_group(both, found.groups, found.classes, options)
    if options.group_pattern:
        raise UsageError(f"the recordings of {found.name!r} have no file names; leave out data.group_pattern")
    if options.test_groups:
        raise UsageError(
            "data.test_groups names groups, but nothing says what a group is; add data.group_pattern"
        )
    if found.validation is not None and found.test is not None:
        return Parts(train=found.train, validation=found.validation, test=found.test)
    return split(found.train, found.test, len(found.classes), options)


def _new_recordings(raw: Any, form: FrontEnd) -> Tensor:
    """Return spectrograms of recordings: paths of files, or waveforms at the rate of the form."""
    several = raw if isinstance(raw, list | tuple) else [raw]
    if several and all(isinstance(each, str | Path) for each in several):
        waves = [fitted(*_file(Path(each), form.seconds), form) for each in several]
        return form.of(torch.stack(waves))
    if isinstance(raw, list | tuple):
        found = [mono(each, "the input") for each in raw]
    else:
        values = as_array(raw, "the input")
        found = [mono(each, "the input") for each in (values[None] if values.ndim == 1 else values)]
    return form.of(torch.stack([fitted(torch.from_numpy(each), form.rate, form) for each in found]))


def _file(path: Path, seconds: float) -> tuple[Tensor, int]:
    try:
        with open(path, "rb") as file:
            data = file.read(SOUNDS.most_bytes)
    except OSError as error:
        raise UsageError(
            f"the recording {str(path)!r} cannot be read ({error.strerror}); check the path"
        ) from error
    return waveform(data, repr(str(path)), seconds)


AUDIO = AudioModality()
"""The audio modality."""
