"""Measure time and memory of condensing generated graphs of growing size.

    python benchmarks/large_graph.py --nodes 10000 --nodes 100000 --nodes 1000000

A generated graph has ten edges per node, most of them within a class, and 100 features. Each size
and method is measured in a process of its own; without ``--evaluate`` no network is trained.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time


def generated(nodes: int, classes: int, features: int) -> dict[str, object]:
    """Return the arrays of a graph in which three edges of four stay within a class."""
    import torch

    gen = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (nodes,), generator=gen)
    sources = torch.randint(nodes, (10 * nodes,), generator=gen)
    targets = torch.randint(nodes, (10 * nodes,), generator=gen)
    # Within a class: another node of it, found by its place in the order of labels.
    order = labels.argsort(stable=True)
    counts = labels.bincount(minlength=classes)
    starts = counts.cumsum(0) - counts
    own = labels[sources]
    near = order[starts[own] + targets % counts[own].clamp(min=1)]
    within = torch.rand(10 * nodes, generator=gen) < 0.75
    centers = torch.randn(classes, features, generator=gen)
    values = torch.randn(nodes, features, generator=gen).mul_(60).add_(centers[labels])
    return {
        "features": values.numpy(),
        "edges": torch.stack([sources, torch.where(within, near, targets)]).numpy(),
        "labels": labels.numpy(),
    }


def measure(nodes: int, method: str, steps: int, evaluate: bool) -> dict[str, object]:
    """Condense one graph and return seconds and gigabytes."""
    import attar
    from attar.allocator import keep_memory

    keep_memory()
    arrays = generated(nodes, classes=10, features=100)
    before = time.perf_counter()
    task = attar.task("graph", data=arrays, train=nodes // 100, validation=0, test=nodes // 10)
    del arrays
    loaded = time.perf_counter()
    cpu = time.process_time()
    artifact = attar.distill(task, method=method, ipc=10, steps=steps)
    condensed = time.perf_counter()
    found: dict[str, object] = {
        "nodes": nodes,
        "method": method,
        "load_seconds": round(loaded - before, 1),
        "condense_seconds": round(condensed - loaded, 1),
        "condense_cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_gigabytes": _peak(),
    }
    if evaluate:
        protocol = attar.protocol("nodes-1", {"networks": 1}, task.protocols)
        report = attar.evaluate(artifact, task, protocol=protocol, baselines=("random",), workers=1)
        found["accuracy"] = report.accuracy.mean
        found["random"] = report.baselines["random"].mean
        found["evaluate_seconds"] = round(time.perf_counter() - condensed, 1)
        found["peak_gigabytes_with_evaluation"] = _peak()
    return found


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, action="append", help="nodes of a graph; may be repeated")
    parser.add_argument("--method", action="append", help="may be repeated")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--evaluate", action="store_true", help="train networks and test them as well")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    arguments = parser.parse_args()
    methods = arguments.method or ["gcond-x"]
    sizes = arguments.nodes or [10_000, 100_000, 1_000_000]
    if arguments.here:
        print(json.dumps(measure(sizes[0], methods[0], arguments.steps, arguments.evaluate)))
        return
    for nodes in sizes:
        for method in methods:
            given = ["--nodes", str(nodes), "--method", method, "--steps", str(arguments.steps)]
            command = [sys.executable, __file__, *given, *(["--evaluate"] * arguments.evaluate), "--here"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
