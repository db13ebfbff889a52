"""Compare settings of a method on validation data, and keep every trial.

    python benchmarks/tune.py --modality image --data mnist --root DIR --ipc 10 \
        --grid lr=1,5,20 --grid per_class=256 --out benchmarks/tuning/mnist-dm-ipc10.csv

Only validation accuracies are read and written: test data take no part in a choice.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import common
from attar.allocator import keep_memory


def _pairs(texts: list[str]) -> list[list[tuple[str, str]]]:
    grid = []
    for text in texts:
        key, _, values = text.partition("=")
        grid.append([(key, value) for value in values.split(",")])
    return grid


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--grid", action="append", default=[], help="setting=value,value or data.KEY=…")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    keep_memory()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    new = not arguments.out.exists()
    with open(arguments.out, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["data", "method", "ipc", "settings", "validation", "std", "n", "cpu_seconds"])
        for trial in itertools.product(*_pairs(arguments.grid)):
            data = {key.removeprefix("data."): value for key, value in trial if key.startswith("data.")}
            settings = {key: value for key, value in trial if not key.startswith("data.")}
            task = common.task(arguments, data)
            made = common.sets(arguments, task, settings)
            report = common.report(arguments, task, made)
            if report.validation is None:
                raise SystemExit("these data have no validation part")
            text = " ".join(f"{key}={value}" for key, value in trial)
            row = [report.data, arguments.method, arguments.ipc, text, report.validation.mean]
            writer.writerow([*row, report.validation.std, report.validation.n, round(report.seconds.cpu)])
            file.flush()
            print(f"{text}: {report.validation}", flush=True)


if __name__ == "__main__":
    main()
