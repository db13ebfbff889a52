"""What a client does: distill what it has, or train the global network on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from attar.architectures import runs_code
from attar.contracts import Segment, SyntheticSet, Task
from attar.cost import Meter
from attar.errors import UsageError
from attar.optim import OptimSpec
from attar.plugins import Method, Shared, stands_in
from attar.recipe import Resolved, resolve
from attar.registry import Registry
from attar.rng import derive, scoped
from attar.runs import RunSettings, distill_recipe
from attar.training import train_step
from torch import Tensor

from attar_federated.around import Around, AroundMethod, load_weights
from attar_federated.records import Ask, LocalSettings, Share

__all__ = [
    "check_around",
    "check_models",
    "client_seed",
    "distill_share",
    "one_thread",
    "prepared",
    "train_locally",
]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, so that results do not depend on how many clients run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepared(task: Task, ask: Ask, *, leave_out: bool = False) -> Task:
    """Return a client's data with the classes and the preprocessing that all share.

    Args:
        task: The client's data.
        ask: What the server asks for.
        leave_out: Whether samples of classes that the server does not name are left out.

    Raises:
        UsageError: If they do not fit, or such data cannot be a part of others.
    """
    if task.classes == ask.classes and dict(task.preprocessing) == ask.preprocessing:
        return task
    if not isinstance(task, Shared):
        raise UsageError(
            f"the data {task.name!r} of a client have other classes or statistics than the server's, and "
            f"data of the modality {task.modality!r} cannot take them over; load the same data everywhere"
        )
    return task.shared(ask.classes, ask.preprocessing, leave_out=leave_out)


def check_models(task: Task, ask: Ask, trusted: Collection[str]) -> None:
    """Refuse architectures that are code, unless the client's owner named them.

    Args:
        task: The client's data.
        ask: What the server asks for.
        trusted: Architectures that are code and may be built, without settings.

    Raises:
        UsageError: Naming one that may not.
    """
    named = [ask.model, *(value for value in ask.recipe.objective.values() if isinstance(value, str))]
    for text in named:
        if text.partition(",")[0].strip() not in trusted and runs_code(text, task.architectures):
            raise UsageError(
                f"the server asks for the network {text!r}, which is code; if you trust it, name it with "
                f"--node-config 'models=\"{text.partition(',')[0]}\"'"
            )


def client_seed(ask: Ask, number: int) -> int:
    """Return the seed of a client's draws in a round."""
    gen = derive(ask.recipe.run.seed, "client", ask.round, number)
    return int(torch.randint(2**31, (1,), generator=gen))


def check_around(method: Method, name: str, settings: object) -> None:
    """Refuse a method that cannot be used on networks around a given one.

    Raises:
        UsageError: Naming it.
    """
    needed = getattr(method.build(settings).loss, "subjects", None)
    if stands_in(method) or needed is Segment:
        reason = "networks of its own" if stands_in(method) else "trajectories of experts"
        raise UsageError(
            f"the method {name!r} matches on {reason}, so it cannot match around the global network; choose "
            f"another --distiller, such as dm"
        )


def _around(resolved: Resolved, ask: Ask, weights: Mapping[str, Tensor] | None) -> Resolved:
    if ask.radius is None or weights is None or resolved.method is None:
        return resolved
    check_around(resolved.method, resolved.recipe.method, resolved.settings)
    around = Around(model=ask.model, weights=weights, radius=ask.radius)
    return replace(resolved, method=AroundMethod(resolved.method, around))


def distill_share(
    task: Task,
    ask: Ask,
    number: int,
    weights: Mapping[str, Tensor] | None = None,
    registry: Registry | None = None,
) -> tuple[SyntheticSet, Share]:
    """Return what a client distills from its data, and what it says of it.

    Args:
        task: The client's data.
        ask: What the server asks for.
        number: Number of the client, which its draws depend on.
        weights: State of the global network to match around, if any.
        registry: The plugins known.

    Raises:
        UsageError: If the data and what is asked for do not fit together.
    """
    registry = registry or Registry()
    meter = Meter()
    own = prepared(task, ask)
    seed = client_seed(ask, number)
    recipe = ask.recipe.model_copy(update={"run": ask.recipe.run.model_copy(update={"seed": seed})})
    resolved = _around(resolve(recipe, registry), ask, weights)
    artifact = distill_recipe(own, resolved, RunSettings(out=None), registry)
    share = Share(
        round=ask.round,
        set=artifact.syn.description(),
        counts=tuple(own.counts.tolist()),
        cpu=round(meter.read().cpu, 2),
    )
    return artifact.syn, share


def train_locally(
    task: Task,
    ask: Ask,
    number: int,
    weights: Mapping[str, Tensor],
    *,
    proximal: bool = False,
) -> tuple[dict[str, Tensor], int]:
    """Return the state of the global network after a client trained it, and the samples that it has.

    Args:
        task: The client's data.
        ask: What the server asks for.
        number: Number of the client, which its draws depend on.
        weights: State of the global network.
        proximal: Whether FedProx's proximal term is added.

    References:
        McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
        AISTATS 2017, algorithm 1; Li et al., "Federated Optimization in Heterogeneous Networks",
        MLSys 2020, equation 2, whose norm is squared.
    """
    own, local = prepared(task, ask), ask.local
    gen = derive(ask.recipe.run.seed, "local", ask.round, number)
    model = own.build(ask.model, gen)
    load_weights(model, weights)
    model.train()
    optimizer = _optimizer(own, local).build(model.parameters())
    if proximal:
        _pull(optimizer, local)
    augment = own.augment if local.augment else None
    with scoped(gen):
        for _ in range(local.epochs):
            for batch in own.epoch("train", local.batch, gen):
                train_step(model, optimizer, batch, "hard", augment, gen)
    return dict(model.state_dict()), len(own.labels)


def _optimizer(task: Task, local: LocalSettings) -> OptimSpec:
    if local.lr is None:
        return next(iter(task.protocols.values())).optimizer
    return OptimSpec(name="sgd", lr=local.lr, momentum=local.momentum, weight_decay=local.weight_decay)


def _pull(optimizer: torch.optim.Optimizer, local: LocalSettings) -> None:
    """Add the gradient of ``mu / 2 · ‖w − w_global‖²`` before each step."""
    center = [[each.detach().clone() for each in group["params"]] for group in optimizer.param_groups]

    def add(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        with torch.no_grad():
            for group, start in zip(optimizer.param_groups, center, strict=True):
                for parameter, before in zip(group["params"], start, strict=True):
                    if parameter.grad is not None:
                        parameter.grad.add_(parameter - before, alpha=local.mu)

    optimizer.register_step_pre_hook(add)
