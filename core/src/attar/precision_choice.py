"""What ``--precision auto`` becomes: decided once, before a run, and written down in its recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from attar.contracts import Task
from attar.devices import has_bf16
from attar.errors import UsageError
from attar.plugins import MethodSettings, StandsBf16
from attar.recipe import Precision, Resolved, stored_recipe
from attar.rng import derive, scoped
from attar.run_folder import RunSettings

__all__ = ["decided", "operations"]

_WORTHWHILE = 2e7
"""Operations on a sample from which bfloat16 shortens a step: of ConvNets, 7.7e6 (width 32, MNIST) gain
1.2 to 1.7 times, 2.7e7 (width 64) 1.4 and 1.0e8 (width 128) 1.7, and 5e6 on 8 × 8 pixels nothing."""


def operations(task: Task, arch: str) -> float:
    """Return the floating-point operations of a network's forward pass on one sample of a task.

    Products and convolutions count, a multiplication and an addition as two.

    Args:
        task: The real data.
        arch: Architecture, or "" for the task's default.
    """
    inputs: Any = task.view(torch.tensor([0, len(task.labels) - 1])).inputs
    model = task.build(arch, derive(0, "check"))
    # With gradients, so that networks that have a shorter way without them count in full.
    with scoped(derive(0, "check", "forward")), FlopCounterMode(display=False) as counter:
        model(inputs)
    return float(counter.get_total_flops()) / 2


def _chosen(task: Task, method: Any, settings: MethodSettings | None, device: torch.device) -> Precision:
    if settings is None or not isinstance(method, StandsBf16) or not method.stands_bf16:
        return "fp32"
    if not has_bf16(device):
        return "fp32"
    return "bf16" if operations(task, settings.model) >= _WORTHWHILE else "fp32"


def decided(task: Task, resolved: Resolved, settings: RunSettings) -> Resolved:
    """Return a recipe whose precision is no longer ``auto``.

    A run that is continued keeps what it was begun with. A new one takes ``bf16`` where three things
    come together: the device computes in it, the method was seen to lose nothing by it
    (:class:`~attar.plugins.StandsBf16`), and its network is large enough to gain. Nothing is timed,
    so that the same machine decides the same.

    Args:
        task: The real data.
        resolved: The recipe.
        settings: Where the run is, and on which device.
    """
    recipe = resolved.recipe
    if recipe.run.precision != "auto":
        return resolved
    found: Precision | None = None
    if settings.resume and settings.out is not None:
        try:
            found = stored_recipe(settings.out / "recipe.toml").run.precision
        except UsageError:
            # Said, with what to do, when the run is looked for.
            found = None
    found = found or _chosen(task, resolved.method, resolved.settings, settings.device)
    run = recipe.run.model_copy(update={"precision": settings.ranks.share(found)})
    return replace(resolved, recipe=recipe.model_copy(update={"run": run}))
