"""A small generated data set for demonstrations: tones, chirps and noises, one kind per class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from attar.rng import derive
from numpy.typing import NDArray
from torch import Generator, Tensor

__all__ = ["RATE", "tones"]

RATE = 8000
_SECONDS = 0.5
_EACH = 60


def _uniform(gen: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=gen))


def _tone(times: Tensor, gen: Generator) -> Tensor:
    return torch.sin(2 * math.pi * _uniform(gen, 300, 2000) * times)


def _chirp(times: Tensor, gen: Generator, low: float, high: float) -> Tensor:
    start, end = _uniform(gen, 0.8, 1.2) * low, _uniform(gen, 0.8, 1.2) * high
    return torch.sin(2 * math.pi * (start * times + (end - start) * times**2 / (2 * _SECONDS)))


def _rising(times: Tensor, gen: Generator) -> Tensor:
    return _chirp(times, gen, 400, 2400)


def _falling(times: Tensor, gen: Generator) -> Tensor:
    return _chirp(times, gen, 2400, 400)


def _noise(times: Tensor, gen: Generator) -> Tensor:
    return torch.randn(len(times), generator=gen)


def _clicks(times: Tensor, gen: Generator) -> Tensor:
    phase = (times * _uniform(gen, 6, 14) + _uniform(gen, 0, 1)) % 1
    return torch.randn(len(times), generator=gen) * (-phase * 40).exp()


def _warble(times: Tensor, gen: Generator) -> Tensor:
    pitch, speed = _uniform(gen, 700, 1500), _uniform(gen, 5, 9)
    return torch.sin(2 * math.pi * pitch * times + 30 * torch.sin(2 * math.pi * speed * times))


_KINDS: Mapping[str, Callable[[Tensor, Generator], Tensor]] = {
    "tone": _tone,
    "rising": _rising,
    "falling": _falling,
    "noise": _noise,
    "clicks": _clicks,
    "warble": _warble,
}


def tones() -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
    """Return generated clips ``(360, 4000)`` at 8,000 Hz in [-1, 1], their labels and class names.

    Each has a pitch, a loudness, a beginning and an amount of noise of its own.
    """
    times = torch.arange(round(_SECONDS * RATE)) / RATE
    clips, labels = [], []
    for label, (name, make) in enumerate(_KINDS.items()):
        for index in range(_EACH):
            gen = derive(0, "tones", name, index)
            sound = make(times, gen)
            sound = sound / sound.abs().amax() * _uniform(gen, 0.1, 0.6)
            begin = _uniform(gen, 0, 0.15)
            envelope = ((times - begin) * 40).clamp(0, 1) * ((_SECONDS - times) * 20).clamp(0, 1)
            noise = torch.randn(len(times), generator=gen) * _uniform(gen, 0.002, 0.02)
            clips.append(sound * envelope + noise)
            labels.append(label)
    return torch.stack(clips).to(torch.float32).numpy(), np.array(labels, dtype=np.int64), tuple(_KINDS)
