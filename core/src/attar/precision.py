"""Which part of a run computes in bfloat16, and which never does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

__all__ = ["full_precision", "reduced_precision"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_REDUCED = (torch.bfloat16, torch.float16)
_DEVICES = ("cpu", "cuda", "mps")


def reduced_precision(device: torch.device, bf16: bool) -> AbstractContextManager[Any]:
    """Return a context in which models run in bfloat16, or one that changes nothing.

    Args:
        device: Where they run.
        bf16: Whether they are to.
    """
    # Not merely disabled without bf16: not every device has autocast in every version. Without its
    # cache, which keeps weights as they were when they were first used: models are trained in here.
    if not bf16:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function compute as if :func:`reduced_precision` were not in force.

    Models stand three digits of precision; sums over many samples, differences of what is nearly
    equal and solves do not. Tensors of reduced precision among the arguments, also in lists,
    arrive as float32.

    Args:
        function: What computes with the outputs of models.
    """

    @functools.wraps(function)
    def outside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _outside_autocast():
            raised: Any = _raised(args)
            named: Any = {name: _raised(value) for name, value in kwargs.items()}
            return function(*raised, **named)

    return outside


def _raised(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in _REDUCED:
        return value.float()
    if type(value) in (list, tuple):
        return type(value)(_raised(each) for each in value)
    return value


@contextmanager
def _outside_autocast() -> Iterator[None]:
    with ExitStack() as stack:
        for kind in _DEVICES:
            if is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
