"""Randomness: streams derived from a seed and a purpose, and the one place that seeds globally.

No generator's state is ever saved. A draw belongs to a path such as
``("augment", step, k)``, so a resumed run, or one spread over several processes, makes the
very draws that the uninterrupted run makes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator

__all__ = ["derive", "permutation", "scoped"]


def derive(seed: int, *path: str | int) -> Generator:
    """Return a CPU generator that depends on `seed` and `path` alone.

    Args:
        seed: The run's seed, any integer.
        path: The purpose of the draws, such as ``("real", step, k)``.
    """
    words = json.dumps([int(seed), *(word if isinstance(word, str) else int(word) for word in path)])
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def permutation(n: int, gen: Generator) -> torch.Tensor:
    """Return a random order of ``range(n)``, int64 ``(n,)``."""
    return torch.randperm(n, generator=gen)


@contextmanager
def scoped(gen: Generator) -> Iterator[None]:
    """Seed the global generators from `gen`, and leave them afterwards as they were before.

    Library code that takes no generator (module initializers, dropout) runs inside. This is
    the only place in Attar that touches the global generators of PyTorch, NumPy and Python.
    """
    seed = int(torch.randint(2**62, (1,), generator=gen, device="cpu"))
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    apple_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    numpy_state = np.random.get_state()  # noqa: NPY002 - saved so that it can be put back
    python_state = random.getstate()
    with torch.random.fork_rng(devices=devices):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - library code may draw from it
            random.seed(seed)
            yield
        finally:
            if apple_state is not None:
                torch.mps.set_rng_state(apple_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
