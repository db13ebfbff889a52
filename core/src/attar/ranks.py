"""One run in several processes, each of which takes some parts of every step.

``torchrun --nproc-per-node 2 -m attar distill …`` starts them. All hold the same set and the same
models and make the same draws, so that draws do not depend on their number; what they divide are the
classes of a loss that is a sum over classes, and the models of a step. Their gradients are added, and
all take the same optimizer step.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from attar.errors import UsageError

__all__ = [
    "ALONE",
    "Alone",
    "Processes",
    "Ranks",
    "first",
    "joined",
    "launched",
    "own_device",
    "summed_gradients",
]

T = TypeVar("T")


class Ranks(Protocol):
    """The processes of a run, as one of them sees them."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def add(self, values: Tensor) -> None:
        """Replace values ``(n,)`` by their sum over all processes, in place."""

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""

    def share(self, value: T) -> T:
        """Return what the first process has: plain values and tensors."""


@dataclass(frozen=True)
class Alone:
    """A run in one process."""

    rank: int = 0
    size: int = 1

    def add(self, values: Tensor) -> None:
        """Leave the values as they are."""

    def any(self, flag: bool) -> bool:
        """Return the flag."""
        return flag

    def share(self, value: T) -> T:
        """Return the value."""
        return value


ALONE = Alone()


@dataclass(frozen=True)
class Processes:
    """The processes of PyTorch's default group."""

    rank: int
    size: int
    device: torch.device

    def add(self, values: Tensor) -> None:
        """Replace values ``(n,)`` by their sum over all processes, in place."""
        torch.distributed.all_reduce(values)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        count = torch.tensor([int(flag)], device=self.device)
        torch.distributed.all_reduce(count)
        return bool(count.item())

    def share(self, value: T) -> T:
        """Return what the first process has: plain values and tensors."""
        found = [value]
        torch.distributed.broadcast_object_list(found, device=self.device)
        return found[0]


def own_device(device: torch.device) -> torch.device:
    """Return the device of this process: of several on a machine, each has a GPU of its own."""
    if str(device) == "cuda" and launched():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def launched() -> bool:
    """Return whether this is one of several processes that ``torchrun`` started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ


def first() -> bool:
    """Return whether this process is the only one or the first, which writes and tells."""
    return not launched() or os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, or be alone where it started none.

    Args:
        device: Where this one computes. GPUs talk by NCCL, all others by Gloo.

    Raises:
        UsageError: If this PyTorch cannot.
    """
    if not launched():
        yield ALONE
        return
    if not torch.distributed.is_available():
        raise UsageError("this PyTorch has no torch.distributed; start one process, without torchrun")
    # Its functions keep the group that is there when it is first imported, as other parts of PyTorch do
    # sooner or later. A group that is kept has threads when the interpreter ends, some of which abort it.
    importlib.import_module("torch.distributed.nn")
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend)
    try:
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        yield Processes(rank, size, device)
    finally:
        torch.distributed.destroy_process_group()


def summed_gradients(ranks: Ranks, parameters: Sequence[Tensor], loss: float) -> float:
    """Add the gradients of all processes, and return the sum of their losses.

    Parameters that have a gradient in no process keep none.
    """
    if ranks.size == 1:
        return loss
    first = parameters[0]
    # Which parameters have a gradient anywhere, and the loss, in float64 as it was summed.
    facts = torch.tensor(
        [loss, *(float(each.grad is not None) for each in parameters)], dtype=torch.float64
    ).to(first.device)
    ranks.add(facts)
    total, *present = facts.tolist()
    for each, count in zip(parameters, present, strict=True):
        if count:
            own = torch.zeros_like(each) if each.grad is None else each.grad.contiguous()
            ranks.add(own)
            each.grad = own
    return float(total)
