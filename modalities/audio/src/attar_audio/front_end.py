"""From waveforms to what networks see, and back to sound.

All representations are of the short-time power spectrum in decibels, cut off at -80 dB: the
spectrum itself, its sum in bands of equal width on the mel scale, or the cepstrum of these.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from attar.errors import UsageError
from attar.rng import scoped
from attar.settings import Settings
from pydantic import Field
from torch import Generator, Tensor

__all__ = ["KINDS", "Cepstrum", "FrontEnd", "Kind", "KindName", "Mel", "Scale"]

KindName = Literal["mel", "stft", "mfcc"]

_FLOOR = -80.0
_ROUNDS = 32
_FEWEST_MELS = 64


def _decibels(power: Tensor) -> Tensor:
    return 10 * power.clamp(min=10 ** (_FLOOR / 10)).log10()


def _power(decibels: Tensor) -> Tensor:
    # Distilled values may lie above what any recording has; 100 dB is louder than all of them.
    return 10 ** (decibels.clamp(_FLOOR, 100.0) / 10)


@dataclass(frozen=True)
class Scale:
    """What the positions along the first axis of a sample are.

    Attributes:
        title: Name of the axis.
        places: Positions that are marked.
        labels: What is written there.
    """

    title: str
    places: tuple[float, ...]
    labels: tuple[str, ...]


class Kind(Protocol):
    """A representation of the power spectrum."""

    @property
    def count(self) -> int:
        """Positions along the first axis."""

    def of(self, power: Tensor) -> Tensor:
        """Return the representation ``(n, count, frames)`` of spectra ``(n, bins, frames)``."""

    def spectrum(self, values: Tensor) -> Tensor:
        """Return spectra ``(n, bins, frames)`` of which `values` are nearly the representation."""

    def scale(self) -> Scale:
        """Return what the positions are, for a picture."""


def _frequencies(positions: Tensor, highest: float) -> Scale:
    """Return marks at round frequencies, where `positions` are those of the axis in Hz."""
    marks = [hertz for hertz in (125, 250, 500, 1000, 2000, 4000, 8000, 16000) if hertz <= highest]
    places = [float((positions < hertz).sum()) - 0.5 for hertz in marks]
    return Scale("Hz", tuple(places), tuple(f"{hertz:,}" for hertz in marks))


@dataclass(frozen=True)
class Linear:
    """The spectrum itself.

    Attributes:
        rate: Samples per second.
        bins: Frequencies of the spectrum, from 0 to half the rate.
        bands: Not used: each frequency stands for itself.
    """

    rate: int
    bins: int
    bands: int

    @property
    def count(self) -> int:
        """Positions along the first axis."""
        return self.bins

    def of(self, power: Tensor) -> Tensor:
        """Return spectra in decibels."""
        return _decibels(power)

    def spectrum(self, values: Tensor) -> Tensor:
        """Return the spectra."""
        return _power(values)

    def scale(self) -> Scale:
        """Return frequencies."""
        return _frequencies(torch.linspace(0, self.rate / 2, self.bins), self.rate / 2)


@dataclass(frozen=True)
class Mel:
    """Sums in triangular bands of equal width on the mel scale.

    Attributes:
        rate: Samples per second.
        bins: Frequencies of the spectrum.
        bands: Number of bands.

    Raises:
        UsageError: If a band is narrower than the spectrum resolves.
    """

    rate: int
    bins: int
    bands: int

    def __post_init__(self) -> None:
        if bool((self.filters.sum(0) == 0).any()):
            raise UsageError(
                f"{self.bands} bands are more than a window resolves at {self.rate:,} Hz; lower data.bands "
                f"or raise data.window"
            )

    @cached_property
    def filters(self) -> Tensor:
        """Weights of the bands, ``(bins, bands)``."""
        from torchaudio import functional

        with warnings.catch_warnings():
            # Of bands without a frequency, which are refused above.
            warnings.simplefilter("ignore", UserWarning)
            weights: Tensor = functional.melscale_fbanks(
                self.bins, 0.0, self.rate / 2, self.bands, self.rate, norm=None, mel_scale="htk"
            )
        return weights

    @property
    def count(self) -> int:
        """Positions along the first axis."""
        return self.bands

    def of(self, power: Tensor) -> Tensor:
        """Return bands in decibels."""
        return _decibels(self.filters.T @ power)

    def spectrum(self, values: Tensor) -> Tensor:
        """Return spectra without negative power, by multiplicative updates.

        References:
            Lee and Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000, equation 4.
        """
        bands = _power(values)
        found = (self.filters / self.filters.sum(0)) @ bands
        for _ in range(_ROUNDS):
            found = (
                found * (self.filters @ bands) / (self.filters @ (self.filters.T @ found)).clamp(min=1e-12)
            )
        return found

    def scale(self) -> Scale:
        """Return frequencies."""
        mels = torch.linspace(0, 2595 * math.log10(1 + self.rate / 1400), self.bands + 2)[1:-1]
        return _frequencies(700 * (10 ** (mels / 2595) - 1), self.rate / 2)


@dataclass(frozen=True)
class Cepstrum:
    """Mel-frequency cepstral coefficients: an orthonormal cosine transform over mel bands.

    Attributes:
        rate: Samples per second.
        bins: Frequencies of the spectrum.
        bands: Number of coefficients; they are of at least 64 mel bands.
    """

    rate: int
    bins: int
    bands: int

    @cached_property
    def _mel(self) -> Mel:
        return Mel(self.rate, self.bins, max(_FEWEST_MELS, self.bands))

    @cached_property
    def _basis(self) -> Tensor:
        from torchaudio import functional

        basis: Tensor = functional.create_dct(self.bands, self._mel.bands, norm="ortho")
        return basis

    @property
    def count(self) -> int:
        """Positions along the first axis."""
        return self.bands

    def of(self, power: Tensor) -> Tensor:
        """Return coefficients."""
        return self._basis.T @ self._mel.of(power)

    def spectrum(self, values: Tensor) -> Tensor:
        """Return spectra; what lies beyond the last coefficient is lost."""
        return self._mel.spectrum(self._basis @ values)

    def scale(self) -> Scale:
        """Return numbers of coefficients."""
        step = max(1, self.bands // 4)
        numbers = range(0, self.bands, step)
        return Scale("coefficient", tuple(map(float, numbers)), tuple(map(str, numbers)))


KINDS: Mapping[KindName, type[Linear] | type[Mel] | type[Cepstrum]] = {
    "mel": Mel,
    "stft": Linear,
    "mfcc": Cepstrum,
}
"""Representations by name."""


class FrontEnd(Settings):
    """Waveforms of one rate and length to spectrograms, and back.

    Attributes:
        rate: Samples per second, in Hz.
        seconds: Length of a clip.
        features: Name of the representation.
        window: Length of the Hann window, in milliseconds.
        hop: Distance between two windows, in milliseconds.
        bands: Mel bands, or cepstral coefficients.
    """

    rate: int = Field(ge=1, le=192_000)
    seconds: float = Field(gt=0, le=60)
    features: KindName = "mel"
    window: float = Field(default=32.0, gt=0, le=1000)
    hop: float = Field(default=16.0, gt=0, le=1000)
    bands: int = Field(default=64, ge=4, le=512)

    def check(self) -> FrontEnd:
        """Return this front end if its settings go together.

        Raises:
            UsageError: If a window is too short, longer than a clip, or resolves fewer bands.
        """
        if self._window < 4 or self._hop < 1:
            raise UsageError(
                f"a window of {self.window:g} ms and a hop of {self.hop:g} ms are too short at "
                f"{self.rate:,} Hz; raise data.window and data.hop"
            )
        if self.samples < self._window:
            raise UsageError(
                f"clips of {self.seconds:g} s are shorter than a window of {self.window:g} ms; raise "
                f"data.seconds or lower data.window"
            )
        # Made here, so that what it refuses is refused before any file is read.
        _ = self.kind
        return self

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.rate)

    @property
    def _window(self) -> int:
        return round(self.window * self.rate / 1000)

    @property
    def _hop(self) -> int:
        return round(self.hop * self.rate / 1000)

    @property
    def _points(self) -> int:
        # Twice the window, rounded up to a power of two: low mel bands are narrow.
        return 1 << (2 * self._window - 1).bit_length()

    @cached_property
    def kind(self) -> Kind:
        """The representation."""
        return KINDS[self.features](self.rate, self._points // 2 + 1, self.bands)

    @property
    def feature(self) -> tuple[int, int, int]:
        """Shape of a sample, ``(1, positions, frames)``."""
        return (1, self.kind.count, 1 + self.samples // self._hop)

    @property
    def times(self) -> float:
        """Seconds between two frames."""
        return self._hop / self.rate

    def _taper(self) -> Tensor:
        return torch.hann_window(self._window)

    def of(self, waves: Tensor) -> Tensor:
        """Return spectrograms ``(n, 1, positions, frames)`` of waveforms ``(n, samples)`` in [-1, 1]."""
        taper = self._taper()
        spectra = torch.stft(
            waves,
            self._points,
            hop_length=self._hop,
            win_length=self._window,
            window=taper,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectra.abs() ** 2 / (taper**2).sum()
        return self.kind.of(power)[:, None]

    def sound(self, values: Tensor, gen: Generator) -> Tensor:
        """Return waveforms ``(n, samples)`` in [-1, 1] whose spectrograms are nearly `values`.

        Phases are found by the fast Griffin-Lim algorithm from random ones.

        Args:
            values: Spectrograms ``(n, 1, positions, frames)`` in decibels.
            gen: Draws the phases that it starts at.

        References:
            Perraudin, Balazs and Søndergaard, "A Fast Griffin-Lim Algorithm", WASPAA 2013.
        """
        from torchaudio import functional

        taper = self._taper()
        power = self.kind.spectrum(values[:, 0].to(torch.float32)) * (taper**2).sum()
        with scoped(gen):
            waves: Tensor = functional.griffinlim(
                power,
                taper,
                self._points,
                self._hop,
                self._window,
                power=2.0,
                n_iter=_ROUNDS,
                momentum=0.99,
                length=self.samples,
                rand_init=True,
            )
        # Louder than full scale would be clipped.
        return waves / waves.abs().amax(1, keepdim=True).clamp(min=1.0)
