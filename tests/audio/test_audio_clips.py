"""Sound files of every kind, and what is wrong with them in one sentence."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar_audio import FrontEnd
from attar_audio.clips import SOUNDS, ClipDecoder, fitted, header, waveform

FORM = FrontEnd(rate=8000, seconds=0.3)


def read(path, seconds=0.3):
    return waveform(path.read_bytes(), repr(path.name), seconds)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_formats_are_read(tmp_path, write, name):
    samples, rate = read(write(tmp_path / name, rate=16000))
    assert rate == 16000
    assert float(samples.abs().max()) == pytest.approx(0.5, abs=0.05)
    assert header((tmp_path / name).read_bytes(), name).seconds == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_width_of_a_sample_means_the_same(tmp_path, write, subtype):
    samples, _ = read(write(tmp_path / "a.wav", subtype=subtype))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2400) / 8000)
    assert np.abs(samples.numpy() - expected).max() < 0.03


def test_channels_are_averaged(tmp_path, write):
    eight = np.stack([np.full(2400, 0.1 * channel) for channel in range(8)], axis=1)
    samples, _ = read(write(tmp_path / "a.wav", eight))
    assert torch.allclose(samples, torch.tensor(0.35), atol=1e-3)


def test_rates_are_brought_to_one(tmp_path, write):
    one = fitted(*read(write(tmp_path / "a.wav", rate=8000)), FORM)
    other = fitted(*read(write(tmp_path / "b.wav", rate=44100)), FORM)
    assert one.shape == other.shape == (2400,)
    assert float((one - other)[200:-200].abs().max()) < 0.01


def test_short_recordings_are_followed_by_silence(tmp_path, write):
    samples = fitted(*read(write(tmp_path / "a.wav", seconds=0.1)), FORM)
    assert samples[900:].eq(0).all()
    assert not samples[:800].eq(0).all()


def test_a_clip_of_one_sample_is_mostly_silence(tmp_path, write):
    values = ClipDecoder(FORM)(write(tmp_path / "a.wav", np.array([0.5])).read_bytes(), "a")
    assert np.isfinite(values).all()
    assert (values == -80).mean() > 0.8


def test_silence_is_a_recording(tmp_path, write):
    assert (ClipDecoder(FORM)(write(tmp_path / "a.wav", np.zeros(2400)).read_bytes(), "a") == -80).all()


def test_of_a_long_recording_the_beginning_is_read_and_that_is_said(tmp_path, write, caplog):
    path = write(tmp_path / "a.wav", seconds=20)
    with caplog.at_level(logging.WARNING):
        samples, _ = read(path)
    assert len(samples) == 2401
    assert "'a.wav' lasts 20 s; only its first 0.3 s are read" in caplog.text


def test_of_a_very_large_file_the_beginning_is_read(tmp_path, write, caplog):
    """Five hours, as a file with a hole, of which 64 MiB are read."""
    path = write(tmp_path / "own" / "talk" / "a.wav", seconds=1)
    write(tmp_path / "own" / "song" / "b.wav", seconds=1)
    size = 44 + 2 * 8000 * 5 * 3600
    with open(path, "r+b") as file:
        file.seek(4)
        file.write((size - 8).to_bytes(4, "little"))
        file.seek(40)
        file.write((size - 44).to_bytes(4, "little"))
        file.truncate(size)
    from attar.encoded import items_of, read_folder

    with caplog.at_level(logging.WARNING):
        items = items_of(read_folder(tmp_path / "own", SOUNDS), ClipDecoder(FORM), cache="disk", threads=1)
    assert items.read(torch.tensor([0, 1])).isfinite().all()
    assert "only its first 0.3 s are read" in caplog.text


def _truncated(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("a.wav", lambda _: b"these are words", "'a.wav' cannot be read as sound; remove or repair it"),
        ("a.wav", lambda _: b"", "'a.wav' is empty; remove it"),
        ("a.wav", _truncated, "'a.wav' is cut short; remove or repair it"),
        ("a.flac", _truncated, r"'a.flac' (is cut short|cannot be read as sound); remove or repair it"),
        ("a.wav", lambda data: data[:30], r"'a.wav' (is cut short|cannot be read as sound); remove"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, write, name, damage, sentence):
    path = write(tmp_path / name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=sentence):
        read(path)


def test_a_recording_of_no_samples_is_refused(tmp_path, write):
    with pytest.raises(UsageError, match=r"'a\.wav' holds no sound; remove it"):
        read(write(tmp_path / "a.wav", np.zeros(0)))


def test_nan_is_refused(tmp_path, write):
    samples = np.zeros(2400)
    samples[7] = np.nan
    with pytest.raises(UsageError, match=r"'a\.wav' holds NaN or infinite samples; remove or repair it"):
        read(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_samples_whose_power_overflows_are_refused(tmp_path, write):
    with pytest.raises(
        UsageError, match=r"'a\.wav' holds samples of 3e\+38, where sound lies between -1 and 1"
    ):
        read(write(tmp_path / "a.wav", np.full(2400, 3e38), subtype="FLOAT"))


def test_integers_saved_as_floats_are_read(tmp_path, write):
    read(write(tmp_path / "a.wav", np.full(2400, 2.0**31), subtype="FLOAT"))


def test_a_missing_decoder_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(UsageError, match=r"needs a decoder that is not installed: install FFmpeg"):
        waveform(b"\0\0\0\x20ftypM4A \0\0", "'a.m4a'", 0.3)
