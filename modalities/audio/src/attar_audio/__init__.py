"""Labeled sound: recordings as spectrograms, networks and augmentation, and sound from what is distilled."""

from attar_audio.augment import Loudness, Mask, TimeShift, siamese
from attar_audio.clips import SOUNDS, ClipDecoder
from attar_audio.form import AudioOptions
from attar_audio.front_end import FrontEnd
from attar_audio.modality import AUDIO, AudioModality
from attar_audio.networks import ARCHITECTURES, Recurrent, TemporalConvNet
from attar_audio.tones import tones

__all__ = [
    "ARCHITECTURES",
    "AUDIO",
    "SOUNDS",
    "AudioModality",
    "AudioOptions",
    "ClipDecoder",
    "FrontEnd",
    "Loudness",
    "Mask",
    "Recurrent",
    "TemporalConvNet",
    "TimeShift",
    "siamese",
    "tones",
]
