"""Print the accuracy that a method reaches against the CPU seconds it was given.

    python benchmarks/accuracy_vs_cpu.py --modality image --data mnist --root DIR --ipc 10 \
        --steps 50,100,200,500,1000

Each line is made of runs of its own from the start, so its seconds are all that a set cost.
"""

from __future__ import annotations

import common
from attar.allocator import keep_memory


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--steps", default="50,100,200,500,1000")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the method")
    arguments = parser.parse_args()
    keep_memory()
    task = common.task(arguments)
    settings = dict(change.split("=", 1) for change in arguments.set)
    print(
        "| steps | CPU s a set | peak memory, GB | validation, % | test, % |\n"
        "| ---: | ---: | ---: | ---: | ---: |",
        flush=True,
    )
    for steps in map(int, arguments.steps.split(",")):
        made = common.sets(arguments, task, {**settings, "steps": steps})
        costs = [each.manifest.cost for each in made]
        cpu = sum(cost.cpu for cost in costs) / len(costs)
        peak = max(cost.peak_bytes for cost in costs) / 1e9
        found = common.report(arguments, task, made)
        print(f"| {steps} | {cpu:.1f} | {peak:.2f} | {found.validation} | {found.accuracy} |", flush=True)


if __name__ == "__main__":
    main()
