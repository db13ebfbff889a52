"""Measure what a step of the methods costs, how that grows, and how near it comes to this machine's limits.

    python benchmarks/speed.py                          # the methods, at their published schedules
    python benchmarks/speed.py --grow                   # with more samples, classes, pixels, steps, nodes
    python benchmarks/speed.py --variants --only dm     # the same work in several ways, alternating
    python benchmarks/speed.py --until                  # seconds to a stated accuracy
    python benchmarks/speed.py --only dm --only gcond --threads 2 --repeat 3

Data are generated, or come with Attar, so that nothing is downloaded; `--until` reads Cora in
$ATTAR_TEST_DATA besides, where that is. Each row is a process of its own: CPU seconds of a step are the
median of those after the first ones, in which kernels and memory are warmed up; experts and other
preparations are not in it, but in what an accuracy costs. Floating-point operations are those of one step, as
PyTorch counts them, and their rate is set beside that of a matrix product of this machine in the same
precision.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from until import GOALS, Goal, reach

WARM = 2
"""Steps before the first one that is measured."""


@dataclass(frozen=True)
class Case:
    """What is distilled, and how.

    Attributes:
        name: What it is called in the table.
        method: Name of the method.
        settings: Its settings.
        ipc: Samples per class.
        classes: Number of classes.
        side: Pixels of a side; of graphs, 0.
        nodes: Nodes of the graph; of images, 0.
        width: Width of the network; 0 for the data's own.
        steps: Steps that are measured.
        precision: ``fp32`` or ``bf16``.
        plain: Whether networks take the plain path alone; see :mod:`attar.forward_only`.
    """

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    ipc: int = 10
    classes: int = 10
    side: int = 28
    nodes: int = 0
    width: int = 128
    steps: int = 5
    precision: str = "fp32"
    plain: bool = False


TRAJECTORY = {"count": 1, "epochs": 2, "span": 1, "latest": 1, "batch_expert": 256, "lr_expert": 0.01}
CASES = (
    Case("dm", "dm", {"per_class": 256, "reuse": 1}, steps=7),
    Case("dsa, 1 per class", "dsa", {"per_class": 256, "outer": 1}, ipc=1),
    Case("dsa, 10 per class", "dsa", {"per_class": 256, "outer": 10, "inner": 50}, steps=3),
    Case("mtt", "mtt", {**TRAJECTORY, "inner": 10}, ipc=1),
    Case("tesla", "tesla", {**TRAJECTORY, "inner": 10}, ipc=1),
    Case("frepo", "frepo", {}, ipc=10),
    Case("gcond", "gcond", {}, ipc=10, classes=7, side=0, nodes=2708, width=0, steps=20),
)


def growth() -> Iterator[Case]:
    """Yield the cases again with one thing larger than in the one before."""
    dm, dsa, _, mtt, tesla, frepo, gcond = (replace(case, width=32) if case.width else case for case in CASES)
    for ipc in (1, 10, 50):
        for case in (dm, dsa, frepo):
            yield replace(case, name=f"{case.method}, {ipc} per class", ipc=ipc)
    for classes in (10, 100):
        yield replace(dm, name=f"dm, {classes} classes", classes=classes, ipc=1)
    for per_class in (64, 256, 1024):
        settings = {**dm.settings, "per_class": per_class}
        yield replace(dm, name=f"dm, {per_class} real samples of a class", settings=settings)
    for unrolled in (10, 20, 50):
        for case in (mtt, tesla):
            settings = {**case.settings, "inner": unrolled}
            yield replace(case, name=f"{case.method}, {unrolled} steps unrolled", settings=settings)
    for side in (16, 32, 64, 128):
        yield replace(dm, name=f"dm, {side} pixels a side", side=side, ipc=1)
    for nodes in (1000, 10_000, 100_000):
        yield replace(gcond, name=f"gcond, {nodes} nodes", nodes=nodes)


def variants(case: Case) -> Iterator[Case]:
    """Yield a case in the ways in which the same work can be done."""
    yield replace(case, name=f"{case.name}: plain", plain=True)
    yield replace(case, name=f"{case.name}: as it is")
    yield replace(case, name=f"{case.name}: bf16", precision="bf16")


def _images(case: Case) -> Any:
    import attar
    import numpy as np

    rng = np.random.default_rng(0)
    each = max(int(case.settings.get("per_class", 256)), 256) + 16
    labels = np.arange(case.classes * each) % case.classes
    # A mean of its own for each class, so that there is something to learn.
    values = rng.integers(0, 192, (len(labels), case.side, case.side, 1), dtype=np.uint8)
    values += (labels * 64 // case.classes).astype(np.uint8)[:, None, None, None]
    return attar.task("image", data=(values, labels), validation=0, test=16 / each, augment="siamese")


def _graph(case: Case) -> Any:
    import attar
    from large_graph import generated

    arrays = generated(case.nodes, classes=case.classes, features=1433 if case.nodes < 10_000 else 100)
    return attar.task("graph", data=arrays, train=20 * case.classes, validation=0, test=case.nodes // 10)


def measure(case: Case) -> dict[str, Any]:
    """Distill for a few steps in this process and return what a step cost."""
    import attar
    from attar import forward_only
    from attar.allocator import keep_memory
    from attar.cost import peak_memory
    from torch.utils.flop_counter import FlopCounterMode

    keep_memory()
    if case.plain:
        forward_only.allowed = lambda inputs, width: False
    task = _graph(case) if case.nodes else _images(case)
    settings = {**case.settings, **({"model": f"convnet,width={case.width}"} if case.width else {})}
    seconds: list[tuple[float, float]] = []
    peaks: list[int] = []
    counter = FlopCounterMode(display=False)

    def record(step: Any) -> None:
        seconds.append((step.cost.cpu, step.cost.wall))
        # The last step is counted, which slows it down and takes memory, so it is not measured.
        if step.step == step.steps - 1:
            peaks.append(peak_memory())
            counter.__enter__()
        elif step.step == step.steps:
            counter.__exit__(None, None, None)

    total = WARM + case.steps + 1
    how = {"precision": case.precision, "callbacks": [record], **settings}
    attar.distill(task, method=case.method, ipc=case.ipc, steps=total, **how)
    timed = seconds[WARM - 1 : -1]
    apart = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(timed)]
    return {
        "cpu": statistics.median(cpu for cpu, _ in apart),
        "wall": statistics.median(wall for _, wall in apart),
        "peak": peaks[0] / 1e9,
        "flops": counter.get_total_flops(),
    }


def _seconds(work: Callable[[], object], repeat: int) -> float:
    """Return CPU seconds of some work, the least of several."""
    work()
    found = []
    for _ in range(repeat):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def limits() -> dict[str, float]:
    """Return what this machine reaches in a CPU second: GFLOP of products and convolutions, copied GB."""
    import torch

    torch.manual_seed(0)
    found = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        square = torch.randn(2048, 2048).to(kind)
        images, kernel = torch.randn(64, 128, 16, 16).to(kind), torch.randn(128, 128, 3, 3).to(kind)
        convolve = partial(torch.nn.functional.conv2d, images, kernel, padding=1)
        found[f"product {name}"] = 2 * 2048**3 / _seconds(partial(torch.mm, square, square), 5) / 1e9
        found[f"convolution {name}"] = 2 * 9 * 128**2 * 64 * 16**2 / _seconds(convolve, 5) / 1e9
    block = torch.randn(64, 2**20)
    other = torch.empty_like(block)
    found["copy"] = 2 * block.numel() * 4 / _seconds(partial(other.copy_, block), 5) / 1e9
    return found


def apart(work: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Return what this script prints for some work in a process of its own."""
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    call = [sys.executable, __file__, "--one", json.dumps(work)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["it was ended"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(case: Case, runs: Sequence[Mapping[str, Any]], peak: float) -> str:
    """Return a row of the table: the median of the runs of a case."""
    failed = next((run["error"] for run in runs if "error" in run), None)
    if failed is not None:
        return f"| {case.name} | {failed[:100]} | | | | | |"
    cpu, wall, memory, flops = (
        statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "peak", "flops")
    )
    rate = flops / cpu / 1e9 if cpu else 0.0
    share = f"{100 * rate / peak:.0f}"
    return (
        f"| {case.name} | {cpu:.3f} | {wall:.3f} | {memory:.2f} | {flops / 1e9:.1f} | {rate:.0f} | {share} |"
    )


def table(cases: Sequence[Case], threads: int, repeat: int) -> None:
    """Print a row for each case, whose runs alternate."""
    machine = apart({"limits": True}, threads)
    print("; ".join(f"{name} {value:.0f}" for name, value in machine.items()), "(GFLOP or GB a CPU second)\n")
    print("| | CPU s | wall s | peak memory, GB | GFLOP | GFLOP a CPU s | % of a product |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    runs: dict[str, list[Mapping[str, Any]]] = {case.name: [] for case in cases}
    for _ in range(repeat):
        for case in cases:
            runs[case.name].append(apart(asdict(case), threads))
            if len(runs[case.name]) == repeat:
                print(_row(case, runs[case.name], machine[f"product {case.precision}"]), flush=True)


def table_of_goals(goals: Sequence[Goal], threads: int) -> None:
    """Print a row for each goal: what it cost, or what was reached where it was given up."""
    print("| | held-out accuracy, % | steps | CPU s | wall s | peak memory, GB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for goal in goals:
        done = apart({"goal": asdict(goal)}, threads)
        if "error" in done:
            print(f"| {goal.name} | {done['error'][:100]} | | | | |", flush=True)
            continue
        sign = "" if done["accuracy"] >= goal.accuracy else f", not {goal.accuracy:g}"
        print(
            f"| {goal.name} | {done['accuracy']:.1f}{sign} | {done['steps']} | {done['cpu']:.1f} | "
            f"{done['wall']:.1f} | {done['peak']:.2f} |",
            flush=True,
        )


def one(work: Mapping[str, Any]) -> dict[str, Any]:
    """Return what this process measures: limits, a goal, or a case."""
    if "limits" in work:
        return limits()
    return reach(Goal(**work["goal"])) if "goal" in work else measure(Case(**work))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", help="name of a case; may be given again")
    parser.add_argument("--grow", action="store_true", help="measure how costs grow")
    parser.add_argument("--variants", action="store_true", help="measure the ways of doing the same work")
    parser.add_argument("--until", action="store_true", help="measure what a stated accuracy costs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each case, alternating")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one)))
        return
    if arguments.until:
        goals = [goal for goal in GOALS if not arguments.only or goal.name in arguments.only]
        table_of_goals(goals, arguments.threads)
        return
    cases = list(growth()) if arguments.grow else list(CASES)
    cases = [case for case in cases if not arguments.only or {case.name, case.method} & {*arguments.only}]
    if arguments.variants:
        cases = [each for case in cases for each in variants(case)]
    table(cases, arguments.threads, arguments.repeat)


if __name__ == "__main__":
    main()
