"""Whether a model fits the data, found out before any work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from attar.architectures.adapt import capability
from attar.architectures.own import is_code, told
from attar.architectures.text import parse
from attar.batch import map_values
from attar.contracts import Task
from attar.devices import free_memory
from attar.errors import AttarError, UsageError
from attar.rng import derive, scoped

__all__ = ["Builder", "check_model", "check_network"]

_MOST_NAMED = 5
_LARGE = 1000
"""Settings from which on a network is measured before it is allocated."""
_PER_MODULE = 2**12
"""Bytes of a module beside its parameters."""


class Builder(Protocol):
    """What builds models: a task or a domain."""

    @property
    def architecture(self) -> str:
        """The architecture used where none is named."""

    @property
    def architectures(self) -> Mapping[str, Any]:
        """Those registered, by name."""

    def build(self, arch: str, gen: Generator) -> nn.Module:
        """Return a fresh model."""


def check_model(task: Task, text: str, seed: int = 0, needs: Collection[str] = (), copies: int = 1) -> None:
    """Build a model and show it two training samples.

    Args:
        task: The real data.
        text: Architecture, or "" for the task's default.
        seed: Seed of the initialization.
        needs: Methods beside ``forward`` that the model must have.
        copies: Such models that are in memory together.

    Raises:
        UsageError: If it cannot be built, is too large for the memory, lacks a method, fails on the
            samples, or gives something other than a logit per class.
    """
    inputs = task.view(torch.tensor([0, len(task.labels) - 1])).inputs
    check_network(task, text, inputs, len(task.classes), seed, needs, copies)


def check_network(
    builder: Builder,
    text: str,
    inputs: Any,
    classes: int,
    seed: int = 0,
    needs: Collection[str] = (),
    copies: int = 1,
) -> None:
    """Build a model and show it two samples.

    Args:
        builder: A task or a domain.
        text: Architecture, or "" for the default.
        inputs: Two samples as models take them.
        classes: Number of classes.
        seed: Seed of the initialization.
        needs: Methods beside ``forward`` that the model must have.
        copies: Such models that are in memory together.

    Raises:
        UsageError: As :func:`check_model`.
    """
    named = text or builder.architecture
    _check_size(builder, text, named, copies)
    model = builder.build(text, derive(seed, "check"))
    _check_memory(model, named, copies)
    _check_capable(builder, model, needs)
    code = is_code(named.partition(",")[0])
    if code:
        _check_fresh(model, builder.build(text, derive(seed, "check")), named)
    if "kernel" in needs:
        # An infinitely wide network compares samples and gives no logits.
        return
    shape = f" of shape {tuple(inputs.shape[1:])}" if isinstance(inputs, Tensor) else ""
    # An exception in what is registered is a bug of its authors, not the user's mistake.
    own = told(f"the model {named!r} fails on samples{shape}") if code else nullcontext()
    with torch.set_grad_enabled(code), scoped(derive(seed, "check", "forward")), own:
        before = _changes(inputs)
        logits = model(inputs)
        if _changes(inputs) != before:
            raise UsageError(
                f"the model {named!r} changes its inputs in place, which belong to the data; let it compute "
                f"new ones, as in inputs = inputs - inputs.mean()"
            )
        if not isinstance(logits, Tensor) or logits.shape != (2, classes) or not logits.is_floating_point():
            raise UsageError(
                f"the model {named!r} gives {_described(logits)} for 2 samples of {classes} classes, where "
                f"logits of shape {(2, classes)} are wanted; change what it returns"
            )
        if code:
            _check_trainable(model, logits, named)
        if "embed" in needs:
            embeddings = capability(model, "embed")(inputs)
            if not isinstance(embeddings, Tensor) or embeddings.ndim != 2 or len(embeddings) != 2:
                raise UsageError(
                    f"the model {named!r} embeds 2 samples as {_described(embeddings)}, where shape (2, d) "
                    f"is wanted; change what its method 'embed' returns"
                )


def _check_size(builder: Builder, text: str, named: str, copies: int) -> None:
    """Refuse a registered model of large settings that no memory is left for, before it is allocated."""
    name, settings = parse(named)
    if is_code(name) or not any(each.isdecimal() and int(each) >= _LARGE for each in settings.values()):
        return
    try:
        # Without memory for the values: shapes alone.
        with torch.device("meta"):
            model = builder.build(text, derive(0, "check"))
    except (RuntimeError, OverflowError, NotImplementedError):
        # What cannot be built so is built, or refused, as it is.
        return
    _check_memory(model, named, copies)


def _check_memory(model: nn.Module, named: str, copies: int) -> None:
    values = sum(each.numel() * each.element_size() for each in model.parameters())
    # A model is used with its gradient, and takes some memory even without parameters.
    wanted = copies * (2 * values + _PER_MODULE * sum(1 for _ in model.modules()))
    if wanted > (free := free_memory()):
        several = f"{copies:,} networks {named!r} take" if copies > 1 else f"the network {named!r} takes"
        raise UsageError(
            f"{several} {wanted / 2**30:,.1f} GB with gradients, and {free / 2**30:,.1f} GB of memory are "
            f"free; choose {'fewer or smaller ones' if copies > 1 else 'a smaller one'}"
        )


def _check_capable(builder: Builder, model: nn.Module, needs: Collection[str]) -> None:
    """Refuse a model that lacks a method, and name registered ones that have all."""
    try:
        for need in sorted(needs):
            capability(model, need)
    except UsageError as error:
        able = [name for name in sorted(builder.architectures) if _capable(builder, name, needs)]
        if not able:
            raise
        raise UsageError(f"{error}, such as {', '.join(able[:_MOST_NAMED])}") from error


def _capable(builder: Builder, name: str, needs: Collection[str]) -> bool:
    try:
        model = builder.build(name, derive(0, "check"))
    # Some do not fit the data, or take arguments.
    except AttarError:
        return False
    return all(callable(getattr(model, need, None)) for need in needs)


def _check_fresh(one: nn.Module, other: nn.Module, named: str) -> None:
    # Frozen parts may be shared; what is trained may not.
    mine = {id(parameter) for parameter in one.parameters() if parameter.requires_grad}
    if any(id(parameter) in mine for parameter in other.parameters()):
        raise UsageError(
            f"{named!r} returned a network that it had returned before; let it make a fresh one at each call"
        )


def _changes(inputs: Any) -> list[int]:
    """Return how often each tensor of inputs was changed in place so far."""
    found: list[int] = []

    def note(part: Tensor) -> Tensor:
        found.append(part._version)
        return part

    map_values(note, inputs)
    return found


def _check_trainable(model: nn.Module, logits: Tensor, named: str) -> None:
    """Refuse logits that no training changes."""
    learned = [each for each in model.parameters() if each.requires_grad]
    if not learned or not logits.requires_grad:
        raise UsageError(
            f"the logits of the model {named!r} do not depend on parameters that can be trained; leave out "
            f"what cuts them off, such as torch.no_grad or detach, or choose another architecture"
        )
    # Parameters that forward does not use are no mistake.
    torch.autograd.grad(logits.sum(), learned, allow_unused=True)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"
