"""Where tensors live."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from attar.errors import UsageError

__all__ = ["default_device", "find_device", "free_memory", "has_bf16", "has_float64", "processor_lines"]

_CONTAINER = Path("/sys/fs/cgroup")
_BF16 = {"amx_bf16", "avx512_bf16"}


def default_device() -> str:
    """Return what ``auto`` means here: ``cuda``, else ``mps``, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64; Apple's GPUs (``mps``) do not.

    Statistics of the data are gathered in float64 on the CPU on every machine. What must be
    solved in float64 is moved there from a device that has none.
    """
    return device.type != "mps"


def has_bf16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 faster than in float32.

    That is so for processors with AMX or AVX512-BF16, where Linux tells, and for GPUs of NVIDIA from
    compute capability 8.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and bool(_BF16 & set(processor_lines().get("flags", "").split()))


def free_memory() -> int:
    """Return the bytes of memory that this process may still take: of the machine, and of its own limits."""
    import psutil

    found = [int(psutil.virtual_memory().available)]
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            found.append(most - int(psutil.Process().memory_info().vms))
    with suppress(OSError, ValueError):
        # The limit of a container; without one there is a word instead of a number.
        most, taken = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(most - taken)
    return max(0, min(found))


def processor_lines() -> dict[str, str]:
    """Return what Linux says of its first processor, by lower-case name; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return {}
    first = text.partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def find_device(name: str) -> torch.device:
    """Return the device meant by ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        UsageError: If it does not exist or cannot be used.
    """
    name = default_device() if name == "auto" else name
    try:
        device = torch.device(name)
        # Copying there and back tells what can be computed with. The type is stated because
        # a default of float64 would rule out devices that lack it.
        torch.zeros(1, dtype=torch.float32).to(device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"the device {name!r} cannot be used here; choose cpu") from error
    return device
