"""What a method costs until networks that are trained on its set reach a stated accuracy; see speed.py."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Goal:
    """What is distilled, and how good the set is to become.

    Attributes:
        name: What it is called in the table.
        method: Name of the method.
        accuracy: Percent of held-out data, the mean of two networks by the data's default protocol.
        settings: Settings of the method; those of ``recipes/``, but for the samples that it starts at.
        modality: Kind of data.
        data: Their name.
        ipc: Samples per class.
        every: Steps between two looks.
        steps: Steps after which it is given up.
    """

    name: str
    method: str
    accuracy: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    modality: str = "image"
    data: str = "digits"
    ipc: int = 1
    every: int = 10
    steps: int = 500


_NARROW = {"model": "convnet,depth=2,width=32", "lr_expert": 0.02, "batch_expert": 32, "rate": 0.05}
_QUICK = {"outer": 5, "model": "sgc,width=64", "init": "k-means"}

# Random real samples, at which all but the graph's nodes start, reach 71 % of the held-out digits.
GOALS = (
    Goal("dm", "dm", 88.0, {"lr": 5.0, "per_class": 64}),
    Goal("dsa", "dsa", 88.0, {"lr": 1.0, "per_class": 64, "outer": 1}),
    Goal("mtt", "mtt", 88.0, {**_NARROW, "count": 5}),
    Goal("tesla", "tesla", 88.0, {**_NARROW, "count": 5, "lr": 0.03}),
    Goal("frepo", "frepo", 88.0, {"lr": 0.02, "per_class": 64, "labels": "hard"}),
    Goal("gcond", "gcond", 80.0, _QUICK, modality="graph", data="cora", ipc=10, every=20),
)


class _Reached(Exception):
    """Ends a run whose set is good enough."""


def reach(goal: Goal) -> dict[str, float]:
    """Distill in this process until the goal is reached, and return what that cost.

    Returns:
        Steps, CPU and wall seconds with everything that the method prepares, but without the networks
        that judge; peak memory in GB; and the accuracy in percent, below the goal where it was given up.
    """
    import attar
    import torch
    from attar.allocator import keep_memory
    from attar.held_out import held_out_accuracy

    keep_memory()
    task = attar.task(goal.modality, data=goal.data, root=os.environ.get("ATTAR_TEST_DATA"))
    judging = [0.0, 0.0]
    found: dict[str, float] = {}

    def look(step: Any) -> None:
        if step.step % goal.every and step.step != step.steps:
            return
        cpu, wall = step.cost.cpu - judging[0], step.cost.wall - judging[1]
        started = time.process_time(), time.perf_counter()
        with torch.no_grad():
            stored = step.syn.bake()
        accuracy = held_out_accuracy(task, stored, "", 0, "until", torch.device("cpu"))
        judging[0] += time.process_time() - started[0]
        judging[1] += time.perf_counter() - started[1]
        memory = step.cost.peak_bytes / 1e9
        found.update(steps=step.step, cpu=cpu, wall=wall, peak=memory, accuracy=accuracy)
        if accuracy >= goal.accuracy:
            raise _Reached

    try:
        attar.distill(
            task, method=goal.method, ipc=goal.ipc, steps=goal.steps, callbacks=[look], **goal.settings
        )
    except _Reached:
        pass
    return found
