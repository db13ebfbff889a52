"""Randomness that nobody else may know, from 256 bits of the operating system's.

The generators of PyTorch keep 32 bits of their seed, so that whoever can try all seeds can take their noise
away again. Draws here come from SHAKE-256 under a secret key: they look random to everyone without the key,
and each purpose has a stream of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

__all__ = ["Secret"]

_BYTES = 32
_LEAST = 16


@dataclass(frozen=True)
class Secret:
    """Key of draws that nobody else may know.

    Attributes:
        key: At least 16 bytes.

    Raises:
        ValueError: If the key is shorter.

    Example:
        >>> from attar_federated.noise import Secret
        >>> Secret.new().normal((2, 3), "look", 0).shape
        torch.Size([2, 3])
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < _LEAST:
            raise ValueError(f"a secret needs at least {_LEAST} bytes, not {len(self.key)}")

    @staticmethod
    def new() -> Secret:
        """Return a secret of 256 bits from the operating system."""
        return Secret(secrets.token_bytes(_BYTES))

    def uniform(self, n: int, *purpose: str | int) -> Tensor:
        """Return draws from the uniform distribution on (0, 1], float64 ``(n,)``, multiples of 2⁻⁵³.

        Args:
            n: How many.
            purpose: What they are for; another purpose has other draws.
        """
        stream = hashlib.shake_256(self.key + json.dumps(purpose).encode()).digest(8 * n)
        words = np.frombuffer(stream, "<u8") >> 11
        return torch.from_numpy((words.astype(np.float64) + 1.0) * 2.0**-53)

    def normal(self, shape: tuple[int, ...], *purpose: str | int) -> Tensor:
        """Return standard normal draws, float64 of a shape, by the method of Box and Muller (1958).

        None is larger than 8.6, which a normal draw is with a probability of 10⁻¹⁷.
        """
        n = math.prod(shape)
        u = self.uniform(2 * n, *purpose, "normal")
        return (torch.sqrt(-2.0 * torch.log(u[:n])) * torch.cos(2.0 * math.pi * u[n:])).reshape(shape)
