"""What ``--precision auto`` becomes: decided once, before a run, and written down in its recipe."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from attar.contracts import Task
from attar.devices import has_bf16
from attar.errors import UsageError
from attar.first_step import take_first_step
from attar.plugins import StandsBf16
from attar.recipe import Precision, Resolved, stored_recipe
from attar.registry import Registry
from attar.rng import derive, scoped
from attar.run_folder import RunSettings

__all__ = ["decided", "operations"]

logger = logging.getLogger(__name__)

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


def _problem(task: Task, resolved: Resolved, device: torch.device, registry: Registry) -> str:
    """Return why a method's step cannot be taken in bfloat16, or "" where it can."""
    try:
        take_first_step(task, resolved, device, True, registry)
    # An operation without a kernel for bfloat16 raises one of these.
    except (RuntimeError, TypeError) as error:
        return " ".join(str(error).split())
    return ""


def _chosen(task: Task, resolved: Resolved, device: torch.device, registry: Registry) -> Precision:
    method: Any = resolved.method
    settings = resolved.settings
    if settings is None or not isinstance(method, StandsBf16) or not method.stands_bf16:
        return "fp32"
    if not has_bf16(device) or operations(task, settings.model) < _WORTHWHILE:
        return "fp32"
    problem = _problem(task, resolved, device, registry)
    if problem:
        named = settings.model or task.architecture
        logger.info("the network %r computes in float32, since it cannot in bfloat16 (%s)", named, problem)
    return "fp32" if problem else "bf16"


def decided(
    task: Task, resolved: Resolved, settings: RunSettings, registry: Registry | None = None
) -> Resolved:
    """Return a recipe whose precision is no longer ``auto``.

    A run that is continued keeps what it was begun with. A new one takes ``bf16`` where four things
    come together: the device computes in it, the method was seen to lose nothing by it
    (:class:`~attar.plugins.StandsBf16`), its network is large enough to gain, and a first step of the
    method on that network and a few samples goes through in it. Nothing is timed, so that the same
    machine decides the same.

    Args:
        task: The real data.
        resolved: The recipe.
        settings: Where the run is, and on which device.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If ``bf16`` is asked for and the network does not compute in it.
    """
    registry = registry or Registry()
    recipe = resolved.recipe
    if recipe.run.precision != "auto":
        if recipe.run.precision == "bf16" and resolved.settings is not None:
            _check_bf16(task, resolved, settings.device, registry)
        return resolved
    found: Precision | None = None
    if settings.resume and settings.out is not None:
        try:
            found = stored_recipe(settings.out / "recipe.toml").run.precision
        except UsageError:
            # Said, with what to do, when the run is looked for.
            found = None
    found = found or _chosen(task, resolved, settings.device, registry)
    run = recipe.run.model_copy(update={"precision": settings.ranks.share(found)})
    return replace(resolved, recipe=recipe.model_copy(update={"run": run}))


def _check_bf16(task: Task, resolved: Resolved, device: torch.device, registry: Registry) -> None:
    """Refuse bfloat16 where the network of a run does not compute in it.

    Raises:
        UsageError: Saying what fails.
    """
    problem = _problem(task, resolved, device, registry)
    if problem and resolved.settings is not None:
        raise UsageError(
            f"the network {resolved.settings.model or task.architecture!r} does not compute in bfloat16 here "
            f"({problem}); choose --precision auto or fp32"
        )
