"""Say what distilling very large data takes: bytes, operations and hours, from steps counted on few classes.

    python benchmarks/sizing.py --classes 1000 --images 1281167 --side 64 --model convnet,width=128,depth=4 \
        --rate 100

A step is taken with two and with four classes, and with one and with three samples of a class; what it
costs with more follows, since a step is a sum over classes and samples. Operations count a
multiplication and an addition as two, by the plain way of computing. `rate` is in 10⁹ operations a
second; `python benchmarks/speed.py` measures that of a processor.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from speed import Case, apart

FEW, MORE = 2, 4


@dataclass(frozen=True)
class Plan:
    """A method as its paper runs it, but for fewer real samples a step.

    Attributes:
        method: Its name.
        steps: Steps of the published schedule.
        settings: Settings that decide what a step costs.
        passes: Passes over the whole training data that experts make first.
    """

    method: str
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    passes: int = 0


def plans(real: int) -> list[Plan]:
    """Return what is sized, with that many real samples of a class in a step."""
    brief = {"count": 1, "epochs": 2, "span": 1, "latest": 1, "batch_expert": 32, "lr_expert": 0.01}
    return [
        Plan("dm", 20_000, {"per_class": real, "reuse": 1}),
        Plan("dsa", 10_000, {"per_class": real, "outer": 10, "inner": 50}),
        Plan("frepo", 500_000, {"per_class": real}),
        Plan("tesla", 5_000, {**brief, "inner": 30}, passes=100 * 50),
    ]


def operations(plan: Plan, model: str, side: int, classes: int, ipc: int) -> float:
    """Return the operations of one step.

    Raises:
        SystemExit: If the step failed.
    """
    case = Case(
        plan.method,
        plan.method,
        {**plan.settings, "model": model},
        ipc=ipc,
        classes=classes,
        side=side,
        width=0,
        steps=3,
        plain=True,
    )
    found = apart(asdict(case), threads=2)
    if "error" in found:
        raise SystemExit(f"{plan.method}: {found['error']}")
    return float(found["flops"])


def forward(model: str, side: int) -> float:
    """Return the operations of a network's forward pass on one image."""
    import attar
    import numpy as np
    from attar.precision_choice import operations as of

    pixels, labels = np.zeros((8, side, side, 3), dtype=np.uint8), np.arange(8) % 2
    return of(attar.task("image", data=(pixels, labels), validation=0, test=0.25), model)


def scaled(plan: Plan, model: str, side: int, classes: int, sizes: list[int]) -> list[float]:
    """Return the operations of a step on many classes, for each number of samples of a class."""
    few = {ipc: operations(plan, model, side, FEW, ipc) for ipc in (1, 3)}
    many = {ipc: operations(plan, model, side, MORE, ipc) for ipc in (1, 3)}
    each = {ipc: (many[ipc] - few[ipc]) / (MORE - FEW) for ipc in (1, 3)}
    a_sample = (each[3] - each[1]) / 2
    fixed = few[1] - FEW * each[1]
    return [fixed + classes * (each[1] + a_sample * (ipc - 1)) for ipc in sizes]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--model", default="convnet,width=128,depth=4")
    parser.add_argument("--real", type=int, default=32, help="real samples of a class in a step")
    parser.add_argument("--rate", type=float, default=100.0, help="10⁹ operations a second")
    parser.add_argument("--ipc", default="1,10,50")
    parser.add_argument("--only", action="append", help="a method; may be given again")
    arguments = parser.parse_args()
    sizes = [int(each) for each in arguments.ipc.split(",")]
    values = arguments.classes * 3 * arguments.side**2
    print(
        "set, GB as float32: " + ", ".join(f"{ipc} per class {4 * ipc * values / 1e9:.2f}" for ipc in sizes)
    )
    print(f"real data, GB as bytes: {3 * arguments.images * arguments.side**2 / 1e9:.0f}\n")
    print("| | steps | " + " | ".join(f"{ipc} per class: 10¹² a step | hours" for ipc in sizes) + " |")
    print("| --- | ---: |" + " ---: | ---: |" * len(sizes), flush=True)
    for plan in plans(arguments.real):
        if arguments.only and plan.method not in arguments.only:
            continue
        found = scaled(plan, arguments.model, arguments.side, arguments.classes, sizes)
        hours = [each * plan.steps / arguments.rate / 1e9 / 3600 for each in found]
        cells = [f"{each / 1e12:.1f} | {hour:,.0f}" for each, hour in zip(found, hours, strict=True)]
        print(f"| `{plan.method}` | {plan.steps:,} | " + " | ".join(cells) + " |", flush=True)
        if plan.passes:
            # The way back takes twice what the way there does.
            whole = 3 * forward(arguments.model, arguments.side) * arguments.images * plan.passes
            print(f"| its experts | | {whole / arguments.rate / 1e9 / 3600:,.0f} hours |")


if __name__ == "__main__":
    main()
