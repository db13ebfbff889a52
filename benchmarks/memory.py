"""Measure how the memory of a run grows with its classes, and how a setting bounds it.

    python benchmarks/memory.py --folder DIR --side 256 --classes 10,100,1000 --at-once 1,10,0

Folders of JPEG files are generated in DIR, six images of a class; DM with one sample per class looks at
four of each in every step, and reads them from the cache on disk. Each point is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from large_folder import generate

EACH, SHOWN = 6, 4
STATUS = Path("/proc/self/status")


def resident(kind: str) -> float:
    """Return the resident memory of a kind in gigabytes, where Linux tells."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024 / 1e9


class Watch(threading.Thread):
    """Notes the most memory that is not pages of files, which the system may take back."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0.0, threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self.done.wait(0.05):
            self.most = max(self.most, resident("RssAnon"))


def measure(arguments: argparse.Namespace, classes: int, at_once: int) -> dict[str, Any]:
    """Take steps and return what they cost."""
    import attar
    from attar.allocator import keep_memory
    from attar.cost import peak_memory

    keep_memory()
    watch = Watch()
    watch.start()
    folder = arguments.folder / f"{arguments.side}-{classes}"
    task = attar.task("image", data=folder, size=arguments.side, validation=0, test=1 / EACH)
    marks: list[tuple[float, float]] = []
    artifact = attar.distill(
        task,
        ipc=1,
        steps=arguments.steps,
        reuse=1,
        per_class=SHOWN,
        model=arguments.model,
        augment=False,
        classes_at_once=at_once,
        callbacks=[lambda record: marks.append((time.process_time(), time.perf_counter()))],
    )
    watch.done.set()
    (cpu, wall), (last_cpu, last_wall), more = marks[0], marks[-1], max(1, len(marks) - 1)
    return {
        "classes": classes,
        "at_once": at_once or classes,
        "real_gb": round(task.size("train") * 3 * arguments.side**2 / 1e9, 2),
        "set_gb": round(artifact.manifest.size.bytes / 1e9, 3),
        "cpu_s": round((last_cpu - cpu) / more, 2),
        "wall_s": round((last_wall - wall) / more, 2),
        "peak_gb": round(peak_memory() / 1e9, 2),
        "without_files_gb": round(watch.most, 2),
    }


def numbers(text: str) -> list[int]:
    """Return the integers of a list."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Measure all points, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="pixels of a side")
    parser.add_argument("--classes", type=numbers, default=[10, 100, 1000])
    parser.add_argument(
        "--at-once", type=numbers, default=[1, 10, 0], help="classes in memory together; 0: all"
    )
    parser.add_argument("--model", default="convnet,width=32,depth=5")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--point", action="store_true", help="measure the only point here")
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(measure(arguments, arguments.classes[0], arguments.at_once[0])))
        return
    for classes in arguments.classes:
        generate(arguments.folder / f"{arguments.side}-{classes}", classes * EACH, classes, arguments.side)
        for at_once in arguments.at_once:
            point = ["--classes", str(classes), "--at-once", str(at_once), "--point"]
            given = [
                "--folder",
                str(arguments.folder),
                "--side",
                str(arguments.side),
                "--model",
                arguments.model,
            ]
            command = [sys.executable, __file__, *given, "--steps", str(arguments.steps), *point]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            failed = {"classes": classes, "at_once": at_once, "exit": done.returncode}
            print(done.stdout.strip() or json.dumps(failed), flush=True)


if __name__ == "__main__":
    main()
