"""Work through a queue of long runs in short pieces, on whatever machine is there for a while.

    python benchmarks/run_queue.py benchmarks/queue/mnist.toml --root DATA --out runs/queue --minutes 9

A queue is a TOML file with a table per job: ``recipe``, a file beside the queue or under
``recipes/``, ``data``, ``seeds``, and, if it is to be evaluated, ``evaluate`` with further options
of ``attar evaluate``. Recipes below ``continual/`` are those of ``attar continual run``, which has
its seeds and its evaluation in itself. Each call continues where the last one stopped, works for so
many minutes, saves and says what is left; what is complete is not touched again.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ATTAR = [sys.executable, "-c", "from attar.cli import main; main()"]
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Step:
    """A command that can be stopped and continued.

    Attributes:
        name: What it is called.
        done: File that stands once it is complete.
        command: Its arguments.
    """

    name: str
    done: Path
    command: list[str]


def steps(queue: Path, out: Path, root: Path, device: str) -> Iterator[Step]:
    """Yield the steps of a queue in order."""
    for name, job in tomllib.loads(queue.read_text("utf-8")).items():
        places = [place / job["recipe"] for place in (queue.parent, ROOT / "recipes")]
        recipe = next(place for place in places if place.is_file())
        data = ["--data", job["data"], "--root", str(root)]
        if recipe.parent.name == "continual":
            resume = ["--resume"] if (out / name / "recipe.toml").is_file() else []
            given = ["continual", "run", "--recipe", str(recipe), *data, "--out", str(out / name), "--quiet"]
            yield Step(name, out / name / "result.json", [*given, *resume])
            continue
        runs = [out / f"{name}-seed{seed}" for seed in job["seeds"]]
        for seed, run in zip(job["seeds"], runs, strict=True):
            resume = ["--resume"] if (run / "recipe.toml").is_file() else []
            given = ["run", str(recipe), *data, "--set", f"run.seed={seed}", "--device", device]
            yield Step(
                f"{name} seed {seed}",
                run / "artifact" / "manifest.json",
                [*given, "--out", str(run), "--quiet", *resume],
            )
        if "evaluate" in job:
            report = out / f"{name}.json"
            yield Step(
                f"{name} evaluation",
                report,
                ["evaluate", *map(str, runs), *data, *job["evaluate"], "--json", "--quiet"],
            )


def carry_out(step: Step, seconds: float) -> bool:
    """Run a step for at most so many seconds; return whether it is complete."""
    process = subprocess.Popen([*ATTAR, *step.command], stdout=subprocess.PIPE, text=True)
    try:
        told, _ = process.communicate(timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        # The first request saves and stops; what networks have been trained is kept anyway.
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    if process.returncode == 0 and step.done.suffix == ".json" and not step.done.exists():
        step.done.parent.mkdir(parents=True, exist_ok=True)
        step.done.write_text(told, "utf-8")
    if process.returncode not in (0, 130):
        raise SystemExit(f"{step.name} ended with {process.returncode}; see what it said above")
    return step.done.exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("queue", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of known data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    waiting = [
        step
        for step in steps(arguments.queue, arguments.out, arguments.root, arguments.device)
        if not step.done.exists()
    ]
    for index, step in enumerate(waiting):
        left = end - time.monotonic()
        if left < 5 or not carry_out(step, left):
            print(f"{len(waiting) - index} steps are left, from {step.name!r}: call again to continue")
            return
        print(f"{step.name}: done", flush=True)
    print("the queue is complete")


if __name__ == "__main__":
    main()
