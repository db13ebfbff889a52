"""Where tensors live."""

from __future__ import annotations

import torch

from attar.errors import UsageError

__all__ = ["find_device"]


def find_device(name: str) -> torch.device:
    """Return the device meant by ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        UsageError: If it does not exist or cannot be used.
    """
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        # Copying there and back tells what can be computed with.
        torch.zeros(1).to(device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"the device {name!r} cannot be used here; choose cpu") from error
    return device
