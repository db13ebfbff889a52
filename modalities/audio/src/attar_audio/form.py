"""How recordings are loaded, and what is known of them then."""

from __future__ import annotations

from collections.abc import Mapping

from attar.encoded import BadOptions
from attar.errors import UsageError
from attar.plugins import DataInfo
from attar.settings import parse
from attar.tensor.splits import GroupOptions
from pydantic import Field

from attar_audio.front_end import FrontEnd, KindName

__all__ = ["AudioOptions", "form_of"]


class AudioOptions(BadOptions, GroupOptions):
    """How recordings are loaded, and what networks see of them.

    Attributes:
        rate: Samples per second that recordings are brought to, in Hz; 0 takes their own, at
            most 16,000. Of waveforms given in Python, the rate that they have.
        seconds: Length that they are cut to, or filled up with silence; 0 covers 19 of 20.
        features: ``mel``, bands on the mel scale; ``stft``, the spectrum itself; or ``mfcc``,
            cepstral coefficients of mel bands; all in decibels.
        window: Length of the Hann window, in milliseconds.
        hop: Distance between two windows, in milliseconds.
        bands: Mel bands, or coefficients.
        augment: Whether networks are trained, and sets are matched, with time shift, masks,
            loudness and noise.
        audio_column: Column of a table that holds the recordings; "" chooses.
        label_column: Column of a table that holds the labels; "" chooses.
    """

    rate: int = Field(default=0, ge=0, le=192_000)
    seconds: float = Field(default=0.0, ge=0, le=60)
    features: KindName = "mel"
    window: float = Field(default=32.0, gt=0, le=1000)
    hop: float = Field(default=16.0, gt=0, le=1000)
    bands: int = Field(default=64, ge=4, le=512)
    augment: bool = True
    audio_column: str = ""
    label_column: str = ""

    def form(self, rate: int = 0, seconds: float = 0.0) -> FrontEnd:
        """Return the front end, with rate and length as given where the settings leave them open."""
        return FrontEnd(
            rate=self.rate or rate,
            seconds=self.seconds or seconds,
            features=self.features,
            window=self.window,
            hop=self.hop,
            bands=self.bands,
        ).check()


def form_of(info: DataInfo) -> FrontEnd:
    """Return the front end of the data that an artifact was made of.

    Raises:
        UsageError: If the artifact does not say, or what it says does not fit.
    """
    found = info.about.get("front_end")
    if not isinstance(found, Mapping):
        raise UsageError("the artifact does not say how its spectrograms were made; make it anew")
    return parse(FrontEnd, found, "about.front_end").check()
