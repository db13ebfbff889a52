"""Print the accuracy that a method reaches against the CPU seconds it was given.

    python benchmarks/accuracy_vs_cpu.py --modality image --data mnist --root DIR --ipc 10 \
        --steps 50,100,200,500,1000

Each line is a run of its own from the start, so its seconds are all that it cost.
"""

from __future__ import annotations

import argparse

import attar
from attar.allocator import keep_memory
from attar.protocols import protocol


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modality", default="tensor")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root")
    parser.add_argument("--method", default="dm")
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--steps", default="50,100,200,500,1000")
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the method")
    arguments = parser.parse_args()
    keep_memory()
    task = attar.task(arguments.modality, data=arguments.data, root=arguments.root)
    chosen = protocol("cpu-1", {"networks": arguments.networks})
    settings = dict(change.split("=", 1) for change in arguments.set)
    print("| steps | CPU s | wall s | test accuracy, % |\n| ---: | ---: | ---: | ---: |", flush=True)
    for steps in map(int, arguments.steps.split(",")):
        artifact = attar.distill(
            task, method=arguments.method, ipc=arguments.ipc, **{**settings, "steps": steps}
        )
        report = attar.evaluate(artifact, task, protocol=chosen, baselines=())
        cost = artifact.manifest.cost
        print(f"| {steps} | {cost.cpu:.0f} | {cost.wall:.0f} | {report.accuracy} |", flush=True)


if __name__ == "__main__":
    main()
