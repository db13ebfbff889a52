"""Measure what differentiating training on a set costs, and how far the published shortcut is from it.

    python benchmarks/unrolling.py --steps 10 --steps 50 --steps 100
    python benchmarks/unrolling.py --distance

The first prints peak memory and CPU seconds of one gradient of the trajectory loss, for all inner steps
in memory (plain), each taken again on the way back (adjoint) and TESLA's constant memory (stopped); each
in a process of its own. The second prints how far TESLA's gradient is from the exact one, for numbers of
steps and step sizes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

STRATEGIES = ("plain", "adjoint", "stopped")


def gradient(strategy: str, steps: int, rate: float, width: int, ipc: int, double: bool) -> dict[str, object]:
    """Return the gradient of one trajectory loss with respect to the set, and what it cost."""
    import torch
    from attar.batch import Batch
    from attar.contracts import Clock, Context, Segment
    from attar.cost import peak_memory
    from attar.nets import ConvNet
    from attar.objectives.mtt import UNROLLS
    from attar.objectives.rates import FixedRate
    from attar.objectives.trajectories import TrajectoryMatch
    from attar.testing import toy_task

    torch.set_num_threads(1)
    feature = (1, 28, 28)
    torch.manual_seed(0)
    kind = torch.float64 if double else torch.float32
    model = ConvNet(feature, 10, width=width).to(kind).requires_grad_(False)
    values = torch.randn(10 * ipc, *feature, dtype=kind, requires_grad=True)
    syn = Batch(values, torch.arange(10).repeat_interleave(ipc))
    # Where an expert might be: as far from the start as the steps themselves lead, another way.
    goal = tuple(
        each + rate * steps * 0.1 * torch.randn_like(each) * each.std() for each in model.parameters()
    )
    ctx = Context(toy_task(feature, classes=10), 0, Clock(0, 1))
    loss = TrajectoryMatch(steps=steps, rates=FixedRate(rate), augment=False, unroll=UNROLLS[strategy])
    before, started = peak_memory(), time.process_time()
    loss.compare(Segment(model, 0, goal), None, syn, ctx, {}).backward()
    assert values.grad is not None
    return {
        "strategy": strategy,
        "steps": steps,
        "cpu_seconds": round(time.process_time() - started, 1),
        "peak_mb": round((peak_memory() - before) / 1e6),
        "gradient": values.grad.flatten() if double else None,
    }


def measure(steps: list[int], width: int, ipc: int) -> None:
    """Print a row for each number of steps and strategy."""
    for count in steps:
        for strategy in STRATEGIES:
            call = [sys.executable, __file__, "--one", strategy, "--steps", str(count)]
            call += ["--width", str(width), "--ipc", str(ipc)]
            found = subprocess.run(call, capture_output=True, text=True, check=True)
            print(found.stdout.strip(), flush=True)


def distances(width: int, ipc: int) -> None:
    """Print, for steps and step sizes, how far TESLA's gradient is from the exact one."""
    import torch

    for rate in (0.01, 0.03, 0.1):
        for count in (1, 2, 5, 10, 20, 50):
            exact, short = (
                gradient(strategy, count, rate, width, ipc, double=True)["gradient"]
                for strategy in ("adjoint", "stopped")
            )
            assert isinstance(exact, torch.Tensor)
            assert isinstance(short, torch.Tensor)
            row = {
                "rate": rate,
                "steps": count,
                "relative_error": float((short - exact).norm() / exact.norm()),
                "cosine": float((short @ exact) / short.norm() / exact.norm()),
            }
            print(json.dumps({key: round(value, 4) for key, value in row.items()}), flush=True)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, action="append")
    parser.add_argument("--width", type=int, default=32, help="width of the ConvNet")
    parser.add_argument("--ipc", type=int, default=1, help="synthetic samples of each of ten classes")
    parser.add_argument("--distance", action="store_true", help="compare gradients instead")
    parser.add_argument("--one", choices=STRATEGIES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    steps = arguments.steps or [10, 20, 50, 100]
    if arguments.one:
        found = gradient(arguments.one, steps[0], 0.02, arguments.width, arguments.ipc, double=False)
        print(json.dumps({key: value for key, value in found.items() if key != "gradient"}))
    elif arguments.distance:
        distances(arguments.width, arguments.ipc)
    else:
        measure(steps, arguments.width, arguments.ipc)


if __name__ == "__main__":
    main()
