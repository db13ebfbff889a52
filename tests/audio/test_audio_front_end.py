"""Spectrograms against the definition, and sound made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.rng import derive
from attar_audio import FrontEnd
from attar_audio.front_end import KINDS

RATE = 8000


def tone(pitch, seconds=0.5, amplitude=1.0):
    return amplitude * torch.sin(2 * math.pi * pitch * torch.arange(round(seconds * RATE)) / RATE)[None]


def form(**changes):
    return FrontEnd(**{"rate": RATE, "seconds": 0.5, **changes})


@pytest.mark.parametrize("features", KINDS)
def test_the_shape_is_announced(features):
    made = form(features=features)
    assert tuple(made.of(tone(440)).shape) == (1, *made.feature)
    assert made.feature[1] == (257 if features == "stft" else 64)
    assert made.feature[2] == 1 + 4000 // 128


def test_a_frame_is_the_power_of_a_windowed_discrete_fourier_transform():
    wave = torch.randn(1, 4000, generator=derive(0, "wave")) / 4
    made = form(features="stft")
    frame = 7
    # A window of 256 samples about sample 128 · frame, from the definition.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    part = wave[0, 128 * frame - 128 : 128 * frame + 128].double().numpy() * window
    turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(256)) / 512)
    power = np.abs(turns @ part) ** 2 / (window**2).sum()
    expected = 10 * np.log10(np.maximum(power, 1e-8))
    assert np.allclose(made.of(wave)[0, 0, :, frame].numpy(), expected, atol=0.02)


def test_half_the_amplitude_is_six_decibels_less():
    made = form()
    loud, soft = made.of(tone(1000)), made.of(tone(1000, amplitude=0.5))
    heard = loud > -40
    assert torch.allclose((loud - soft)[heard], torch.tensor(20 * math.log10(2)), atol=1e-3)


def test_silence_is_the_floor():
    assert form().of(torch.zeros(1, 4000)).eq(-80).all()


@pytest.mark.parametrize("pitch", [300, 1000, 2500])
def test_a_tone_is_loudest_in_the_band_of_its_pitch(pitch):
    made = form(features="mel", bands=40)
    loudest = int(made.of(tone(pitch))[0, 0].mean(1).argmax())
    # Centers of bands lie evenly on the mel scale.
    mels = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42)[1:-1]
    nearest = int(np.abs(mels - 2595 * np.log10(1 + pitch / 700)).argmin())
    assert abs(loudest - nearest) <= 1


def test_all_cepstral_coefficients_are_the_mel_bands_again():
    wave = torch.randn(2, 4000, generator=derive(0, "wave")) / 4
    mel, cepstrum = form(features="mel").of(wave), form(features="mfcc", bands=64).of(wave)
    numbers = np.arange(64)
    basis = np.cos(np.pi / 64 * (numbers[None] + 0.5) * numbers[:, None]) * np.sqrt(2 / 64)
    basis[0] /= np.sqrt(2)
    assert np.allclose(cepstrum[:, 0].numpy(), basis @ mel[:, 0].numpy(), atol=1e-2)


@pytest.mark.parametrize("features", KINDS)
def test_sound_has_the_spectrogram_that_it_was_made_of(features):
    made = form(features=features)
    wave = tone(700, amplitude=0.3) + tone(1900, amplitude=0.1)
    given = made.of(wave)
    sound = made.sound(given, derive(0, "phases"))
    assert tuple(sound.shape) == (1, 4000)
    assert bool(torch.isfinite(sound).all())
    assert float(sound.abs().max()) <= 1
    spectrum = form(features="stft")
    loud = spectrum.of(wave) > -20
    assert float((spectrum.of(sound) - spectrum.of(wave))[loud].abs().mean()) < 6


def test_sound_is_the_same_each_time_and_leaves_global_draws_alone():
    given = form().of(tone(700))
    before = torch.get_rng_state()
    one, other = (form().sound(given, derive(0, "phases")) for _ in range(2))
    assert one.equal(other)
    assert torch.get_rng_state().equal(before)


def test_sound_louder_than_full_scale_is_made_softer_not_clipped():
    sound = form().sound(form().of(tone(700)) + 30, derive(0, "phases"))
    assert float(sound.abs().max()) == pytest.approx(1)
    assert float((sound.abs() > 0.999).double().mean()) < 0.1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"window": 600.0}, "clips of 0.5 s are shorter than a window of 600 ms; raise data.seconds"),
        ({"window": 0.2}, "too short at 8,000 Hz; raise data.window and data.hop"),
        ({"bands": 200}, "200 bands are more than a window resolves at 8,000 Hz; lower data.bands"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        form(**changes).check()


def test_marks_are_round_frequencies_at_their_places():
    scale = form(features="stft").kind.scale()
    assert scale.title == "Hz"
    assert dict(zip(scale.labels, scale.places, strict=True))["1,000"] == pytest.approx(64, abs=1)
    assert form(features="mfcc", bands=20).kind.scale().title == "coefficient"
