"""Measure memory and time on a folder of very many images, against the same data in memory.

    python benchmarks/large_folder.py --folder DIR --images 100000 --classes 100

The folder is generated if it is not there: JPEG files of random shapes, so that sizes and
decoding are those of photographs. Each way of reading is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

WAYS = ("cold", "disk", "none", "memory")


def _draw(folder: Path, label: int, images: range, side: int) -> None:
    import numpy as np
    from PIL import Image, ImageDraw

    gen = np.random.default_rng([label, images.start])
    place = folder / f"class-{label:04d}"
    place.mkdir(parents=True, exist_ok=True)
    for index in images:
        noise = gen.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
        corner = gen.integers(0, side // 2, 2)
        box = [*corner.tolist(), *(corner + side // 3).tolist()]
        color = tuple(int(value) for value in np.random.default_rng(label).integers(0, 256, 3))
        ImageDraw.Draw(image).ellipse(box, fill=color)
        image.save(place / f"{index:06d}.jpg", quality=85)


def generate(folder: Path, images: int, classes: int, side: int) -> None:
    """Write the folder, unless it is there."""
    if (folder / "complete").is_file():
        return
    each = images // classes
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_draw, folder, images=range(each), side=side), range(classes)))
    (folder / "complete").write_text(f"{each * classes}\n")


def measure(way: str, folder: Path, size: int, steps: int) -> dict[str, float]:
    """Load the folder in one way, distill a few steps, and return seconds and gigabytes."""
    import attar
    import torch
    from attar.allocator import keep_memory

    keep_memory()
    start = time.perf_counter()
    cache = "none" if way == "none" else "disk"
    task = attar.task("image", data=folder, size=size, cache=cache, show=True)
    if way == "memory":
        rows = torch.arange(task.size("train"))
        pixels = torch.cat([task.train.read(part) for part in rows.split(1000)])
        held = torch.cat([task.test.read(part) for part in torch.arange(task.size("test")).split(1000)])
        task = attar.task(
            "image", data=(pixels, task.labels), test_data=(held, task.test.labels), validation=0
        )
    _ = task.fingerprint
    loaded = time.perf_counter()
    cpu = time.process_time()
    times: list[float] = []
    attar.distill(
        task,
        ipc=1,
        steps=steps,
        reuse=1,
        per_class=64,
        callbacks=[lambda record: times.append(time.perf_counter())],
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": task.size("train") + task.size("test") + task.size("validation"),
        "load_seconds": round(loaded - start, 1),
        # The first step also builds what later ones share.
        "step_seconds": round((times[-1] - times[0]) / (steps - 1), 2),
        "step_cpu_seconds": round((time.process_time() - cpu) / steps, 2),
        "peak_gigabytes": round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--side", type=int, default=128, help="pixels of the files")
    parser.add_argument("--size", type=int, default=64, help="pixels that they are brought to")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--way", choices=WAYS, help="measure this way, in this process")
    arguments = parser.parse_args()
    if arguments.way:
        found = measure(arguments.way, arguments.folder, arguments.size, arguments.steps)
        print(json.dumps(found))
        return
    generate(arguments.folder, arguments.images, arguments.classes, arguments.side)
    for way in WAYS:
        given = ["--folder", str(arguments.folder), "--size", str(arguments.size)]
        command = [sys.executable, __file__, *given, "--steps", str(arguments.steps), "--way", way]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(way, done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
