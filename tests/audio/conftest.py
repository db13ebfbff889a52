from __future__ import annotations

import numpy as np
import pytest
import soundfile


@pytest.fixture
def write():
    """Write a tone, or samples, as a sound file."""

    def write(path, samples=None, *, pitch=440.0, rate=8000, seconds=0.3, channels=1, **kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        if samples is None:
            tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
            samples = np.repeat(tone[:, None], channels, axis=1)
        soundfile.write(path, samples, rate, **kind)
        return path

    return write


@pytest.fixture
def folder(tmp_path, write):
    """Low and high tones, eight each by four speakers, who always say a class in one way."""
    for label, pitch in (("low", 300.0), ("high", 1500.0)):
        for index in range(8):
            speaker = index % 4
            path = tmp_path / "own" / label / f"{label}_{'abcd'[speaker]}_{index}.wav"
            write(path, pitch=pitch * (1 + speaker / 50), rate=(8000, 11025)[speaker % 2])
    return tmp_path / "own"
