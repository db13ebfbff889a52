"""From the bytes of a sound file to a waveform of one rate and length."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from attar.encoded import Media
from attar.errors import UsageError
from numpy.typing import NDArray
from torch import Tensor

from attar_audio.front_end import FrontEnd

__all__ = ["SOUNDS", "ClipDecoder", "Header", "fitted", "header", "waveform"]

logger = logging.getLogger(__name__)

SOUNDS = Media(
    noun="recording",
    suffixes=frozenset(".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .m4a .mp4 .aac .wma .webm".split()),
    # A minute of 24 bits in stereo at 192 kHz; of what is longer, only the beginning is read.
    most_bytes=2**26,
    columns=("audio", "sound", "speech", "recording", "file"),
    distribution="attar-audio",
    cut=True,
)
"""Files that hold a recording."""

_LOUDEST = 2.0**32
"""Largest sample: sound lies between -1 and 1, or is integers of 32 bits that somebody saved as floats."""
_LONG = 10.0
"""Times the length of a clip from which on a recording is said to be cut."""


@dataclass(frozen=True)
class Header:
    """What a sound file says of itself.

    Attributes:
        rate: Samples per second.
        seconds: Length; that of the part that was read, where a very long file was cut.
    """

    rate: int
    seconds: float


class _Bytes(io.BytesIO):
    """Bytes of which a damaged header may ask for a place before the first, without a traceback for it."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; nowhere if there is no such."""
        try:
            return super().seek(offset, whence)
        except (OverflowError, ValueError):
            return self.tell()


@contextmanager
def _opened(data: bytes, where: str) -> Iterator[Any]:
    """Open a sound file with libsndfile, turning what is wrong into one sentence about `where`."""
    import soundfile

    if not data:
        raise UsageError(f"{where} is empty; remove it")
    try:
        with soundfile.SoundFile(_Bytes(data)) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UsageError(f"{where} cannot be read as sound; remove or repair it") from error


def _foreign(data: bytes) -> bool:
    """Return whether data are in a container that libsndfile does not read: MPEG-4, ADTS, Matroska, ASF."""
    return (
        data[4:8] == b"ftyp"
        or data[:2] in (b"\xff\xf1", b"\xff\xf9")
        or data[:4] in (b"\x1aE\xdf\xa3", b"0&\xb2u")
    )


def _foreign_samples(data: bytes, where: str, seconds: float | None) -> tuple[Tensor, int]:
    """Return samples ``(channels, n)`` and their rate, through torchcodec."""
    try:
        from torchcodec.decoders import AudioDecoder
    except (ImportError, RuntimeError, OSError) as error:
        # Without FFmpeg's libraries, importing it raises errors of other kinds.
        raise UsageError(
            f"{where} needs a decoder that is not installed: install FFmpeg and pip install "
            f"'attar-audio[codecs]', or convert it to wav or flac"
        ) from error
    try:
        found = AudioDecoder(data).get_samples_played_in_range(0.0, seconds)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{where} cannot be read as sound; remove or repair it") from error
    return found.data, int(found.sample_rate)


def _check_whole(data: bytes, where: str) -> None:
    """Refuse a RIFF file that announces more bytes than it has; libsndfile reads it as a shorter one."""
    if len(data) >= SOUNDS.most_bytes or data[:4] != b"RIFF" or len(data) < 8:
        return
    announced = int.from_bytes(data[4:8], "little")
    # What is written as a stream does not know its length.
    if announced not in (0, 0xFFFFFFFF) and announced + 8 > len(data) + 1:
        raise UsageError(f"{where} is cut short; remove or repair it")


def header(data: bytes, where: str) -> Header:
    """Return rate and length of a sound file.

    Raises:
        UsageError: If it is none.
    """
    if _foreign(data):
        samples, rate = _foreign_samples(data, where, None)
        return Header(rate, samples.shape[1] / rate)
    with _opened(data, where) as file:
        return Header(int(file.samplerate), file.frames / file.samplerate)


def waveform(data: bytes, where: str, seconds: float) -> tuple[Tensor, int]:
    """Return the beginning of a recording as one channel, float32 ``(n,)``, and its rate.

    Args:
        data: The bytes of the file.
        where: What it is called in errors.
        seconds: How much is wanted.

    Raises:
        UsageError: If the bytes are no sound, are cut short, hold nothing, or hold NaN or samples far
            from -1 to 1.
    """
    if _foreign(data):
        found, rate = _foreign_samples(data, where, seconds)
        samples = found.mean(0)
    else:
        _check_whole(data, where)
        with _opened(data, where) as file:
            rate = int(file.samplerate)
            wanted = min(file.frames, round(seconds * rate) + 1)
            read = file.read(frames=wanted, dtype="float32", always_2d=True)
            if len(read) < wanted and len(data) < SOUNDS.most_bytes:
                raise UsageError(f"{where} is cut short; remove or repair it")
            if file.frames / rate > _LONG * seconds:
                logger.warning(
                    "%s lasts %.0f s; only its first %g s are read", where, file.frames / rate, seconds
                )
        samples = torch.from_numpy(read).mean(1)
    if not len(samples):
        raise UsageError(f"{where} holds no sound; remove it")
    if not bool(torch.isfinite(samples).all()):
        raise UsageError(f"{where} holds NaN or infinite samples; remove or repair it")
    if float(samples.abs().max()) > _LOUDEST:
        raise UsageError(
            f"{where} holds samples of {float(samples.abs().max()):.2g}, where sound lies between -1 and 1; "
            f"remove or repair it"
        )
    return samples, rate


@lru_cache(maxsize=16)
def _resampler(before: int, after: int) -> Any:
    from torchaudio.transforms import Resample

    return Resample(before, after)


def fitted(samples: Tensor, rate: int, form: FrontEnd) -> Tensor:
    """Return samples ``(..., n)`` at the rate of a form, cut or followed by silence to its length."""
    if rate != form.rate:
        samples = _resampler(rate, form.rate)(samples)
    samples = samples[..., : form.samples]
    return torch.nn.functional.pad(samples, (0, form.samples - samples.shape[-1]))


@dataclass(frozen=True)
class ClipDecoder:
    """Decodes recordings to spectrograms for :func:`attar.encoded.items_of`.

    Attributes:
        to: What they are brought to.
    """

    to: FrontEnd

    noun = "recording"
    dtype = np.float32

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of a sample."""
        return self.to.feature

    @property
    def form(self) -> str:
        """All settings of the front end."""
        return self.to.model_dump_json()

    @property
    def versions(self) -> str:
        """Versions of what decodes."""
        return ", ".join(
            f"{name} {version(name)}" for name in ("attar-audio", "soundfile", "torch", "torchaudio")
        )

    @property
    def nbytes(self) -> int:
        """Bytes of a clip: 16 bits per sample, or the spectrogram where that is smaller."""
        return min(2 * self.to.samples, 4 * int(np.prod(self.feature)))

    def __call__(self, data: bytes, where: str) -> NDArray[Any]:
        """Return a spectrogram, float32 ``(1, positions, frames)``."""
        samples, rate = waveform(data, where, self.to.seconds)
        values: NDArray[Any] = self.to.of(fitted(samples, rate, self.to)[None])[0].numpy()
        return values
