"""Randomness: streams derived from a seed and a purpose, and the one place that seeds globally.

No generator's state is ever saved. A draw belongs to a path such as
``("augment", step, k)``, so a resumed run, or one spread over several processes, makes the
very draws that the uninterrupted run makes.

A run has so many paths that two of them would share a stream if streams had 32 bits, which is all that
PyTorch's CPU generator keeps of a seed: of 100,000 paths, two meet in 7 runs of 10. So the generator's whole
state, the 624 words of a Mersenne twister, comes from a hash of the path, as if seeded with 256 bits.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

__all__ = ["derive", "permutation", "scoped"]


_WORDS = slice(24, 24 + 8 * 624)
"""Bytes of a CPU generator's state that hold the words of its Mersenne twister, each in eight bytes."""


def derive(seed: int, *path: str | int) -> Generator:
    """Return a CPU generator that depends on `seed` and `path` alone.

    Args:
        seed: The run's seed, any integer.
        path: The purpose of the draws, such as ``("real", step, k)``.
    """
    words = json.dumps([int(seed), *(word if isinstance(word, str) else int(word) for word in path)])
    gen = Generator()
    gen.set_state(_state(words.encode()))
    return gen


def _state(content: bytes) -> torch.Tensor:
    """Return the state of a CPU generator that a content is hashed to."""
    words = np.frombuffer(hashlib.shake_256(content).digest(4 * 624), "<u4")
    state = _fresh().copy()
    state[_WORDS] = words.astype("<u8").view(np.uint8)
    # What the generator calls its seed.
    state[:8] = words[:2].view(np.uint8)
    return torch.from_numpy(state)


@cache
def _fresh() -> NDArray[np.uint8]:
    """Return the state of a generator that has drawn nothing."""
    fresh: NDArray[np.uint8] = Generator().manual_seed(0).get_state().numpy()
    return fresh


def permutation(n: int, gen: Generator) -> torch.Tensor:
    """Return a random order of ``range(n)``, int64 ``(n,)``."""
    return torch.randperm(n, generator=gen)


@contextmanager
def scoped(gen: Generator) -> Iterator[None]:
    """Seed the global generators from `gen`, and leave them afterwards as they were before.

    Library code that takes no generator (module initializers, dropout) runs inside. This is
    the only place in Attar that touches the global generators of PyTorch, NumPy and Python.
    """
    seed = torch.randint(256, (32,), generator=gen, device="cpu").to(torch.uint8).numpy()

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    apple_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    numpy_state = np.random.get_state()  # noqa: NPY002 - saved so that it can be put back
    python_state = random.getstate()
    with torch.random.fork_rng(devices=devices):
        try:
            # For other devices, whose generators keep 64 bits.
            torch.manual_seed(int.from_bytes(seed[:8].tobytes(), "little") >> 1)
            torch.set_rng_state(_state(seed.tobytes()))
            np.random.seed(seed.view(np.uint32))  # noqa: NPY002 - library code may draw from it
            random.seed(seed.tobytes())
            yield
        finally:
            if apple_state is not None:
                torch.mps.set_rng_state(apple_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
