"""What a state that was read must be before anything goes on from it: a file can say anything."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attar.contracts import State
from attar.errors import UsageError
from attar.optim import MEAN_NORM

__all__ = [
    "SavedStateError",
    "give_optimizer",
    "give_weights",
    "require",
    "same_form",
    "told_of_others",
    "whole",
]


class SavedStateError(UsageError):
    """A saved state that the work which is gone on with cannot have left."""


def require(condition: bool, what: str) -> None:
    """Refuse a saved state.

    Raises:
        SavedStateError: If the condition does not hold.
    """
    if not condition:
        raise SavedStateError(f"{what} of the saved state does not fit; start again with --force")


def whole(value: Any, least: int = 0, most: int | None = None) -> bool:
    """Return whether a value is a whole number in a range, and no truth value."""
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return fits and (most is None or value <= most)


def same_form(found: Any, wanted: Any) -> bool:
    """Return whether a tree has the keys, lengths, shapes and types of another, whatever its values.

    Whole and truth values in tensors, such as labels, are never learned, and are to be equal.
    """
    if isinstance(wanted, Tensor):
        alike = isinstance(found, Tensor) and found.shape == wanted.shape and found.dtype == wanted.dtype
        return alike and (wanted.is_floating_point() or torch.equal(found, wanted.to(found.device)))
    if isinstance(wanted, Mapping):
        keys = isinstance(found, Mapping) and found.keys() == wanted.keys()
        return keys and all(same_form(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        long = isinstance(found, list | tuple) and len(found) == len(wanted)
        return long and all(map(same_form, found, wanted))
    return type(found) is type(wanted)


def give_weights(model: nn.Module, found: Any) -> None:
    """Give a model the parameters and buffers of a saved state.

    Raises:
        SavedStateError: If they are not those of such a model.
    """
    own = model.state_dict()
    floats = {name: each for name, each in own.items() if each.is_floating_point()}
    # Counts of batches are whole numbers that change.
    counts = {name: each for name, each in own.items() if name not in floats}
    fits = isinstance(found, Mapping) and found.keys() == own.keys()
    fits = fits and same_form({name: found[name] for name in floats}, floats)
    require(fits and all(_alike(found[name], each) for name, each in counts.items()), "a network")
    model.load_state_dict(found)


def _alike(found: Any, wanted: Tensor) -> bool:
    return isinstance(found, Tensor) and found.shape == wanted.shape and found.dtype == wanted.dtype


def give_optimizer(optimizer: torch.optim.Optimizer, found: Any) -> None:
    """Give an optimizer what a saved one carried; its settings stay its own.

    Raises:
        SavedStateError: If that is nothing that such an optimizer carries.
    """
    own = optimizer.state_dict()
    require(isinstance(found, Mapping) and isinstance(found.get("state"), Mapping), "an optimizer")
    kept: dict[Any, Any] = found["state"]
    if kept:
        wanted = _stepped(optimizer)
        known = kept.keys() <= wanted.keys()
        require(known and all(_carried(each, wanted[key]) for key, each in kept.items()), "an optimizer")
    groups = found.get("param_groups")
    for place, group in enumerate(own["param_groups"]):
        if MEAN_NORM in group:
            alike = isinstance(groups, list) and place < len(groups) and isinstance(groups[place], Mapping)
            mean = groups[place].get(MEAN_NORM) if alike and groups is not None else None
            require(isinstance(mean, float) and math.isfinite(mean) and mean >= 0, "an optimizer")
            group[MEAN_NORM] = mean
    optimizer.load_state_dict({**own, "state": kept})


def _carried(found: Any, wanted: Any) -> bool:
    """Return whether what was carried for a parameter has its form and counts steps."""
    if not same_form(found, wanted):
        return False
    steps = found.get("step", torch.zeros(()))
    return bool(torch.isfinite(steps)) and float(steps) >= 0


def _stepped(optimizer: torch.optim.Optimizer) -> State:
    """Return what a copy of an optimizer carries for each parameter after a step."""
    twin = copy.deepcopy(optimizer)
    for group in twin.param_groups:
        for each in group["params"]:
            each.requires_grad_(True)
            each.grad = torch.zeros_like(each)
    twin.step()
    carried: State = twin.state_dict()["state"]
    return carried


def told_of_others(load: Callable[[], None]) -> None:
    """Load a saved state into what may be written by others, and may refuse it in any way.

    Raises:
        SavedStateError: If it fails in any way.
    """
    try:
        load()
    except SavedStateError:
        raise
    except Exception as error:
        raise SavedStateError(
            f"a part of the saved state does not fit ({type(error).__name__}: {error}); start again with "
            f"--force"
        ) from error
