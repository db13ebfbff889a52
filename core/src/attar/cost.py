"""What a piece of work cost: wall and CPU seconds, peak memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from attar.settings import Record

__all__ = ["Cost", "Meter", "peak_memory"]

_STATUS = Path("/proc/self/status")
"""Where Linux tells about this process."""


class Cost(Record):
    """A cost.

    Attributes:
        cpu: CPU seconds of all threads.
        wall: Wall seconds.
        peak_bytes: Peak resident memory of the process, in bytes.
    """

    cpu: float = 0.0
    wall: float = 0.0
    peak_bytes: int = 0

    def plus(self, other: Cost) -> Cost:
        """Return the cost of both, one after the other."""
        return Cost(
            cpu=self.cpu + other.cpu,
            wall=self.wall + other.wall,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
        )


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if _STATUS.is_file():
        # What getrusage tells began with the peak of the process that started this one.
        high = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), "")
        if high:
            return int(high.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


class Meter:
    """Measures from its making, on top of an earlier cost.

    Args:
        before: What an interrupted part of the same work cost.
    """

    def __init__(self, before: Cost | None = None) -> None:
        self._before = before or Cost()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def read(self) -> Cost:
        """Return the cost so far."""
        now = Cost(
            cpu=round(time.process_time() - self._cpu, 3),
            wall=round(time.perf_counter() - self._wall, 3),
            peak_bytes=peak_memory(),
        )
        return self._before.plus(now)
