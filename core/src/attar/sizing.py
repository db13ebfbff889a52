"""How many samples each class gets, and what they start at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attar.batch import Batch, map_values
from attar.contracts import SetSpec, SyntheticSet, Task
from attar.devices import free_memory
from attar.errors import UsageError
from attar.labels import label_kind
from attar.plugins import NamesAxes, ParameterizationPlugin
from attar.recipe import Resolved, SizeRecipe
from attar.registry import Registry
from attar.rng import derive
from attar.rows import RowsByClass
from attar.selectors.use import select
from attar.settings import Settings, parse, unknown

__all__ = ["allocate", "initial_batch", "set_spec", "start", "storage_settings"]

# Standard deviation, in units of preprocessed data, of what tells repeated samples apart.
_JITTER = 0.05
_MOST = 2**40
"""Samples of a set, at most."""


def _proportional(counts: Tensor, total: int) -> list[int]:
    """Share `total` by largest remainder, with at least one for each class that has samples."""
    present = counts > 0
    rest = total - int(present.sum())
    exact = counts.to(torch.float64) / counts.sum() * rest
    share = exact.floor().to(torch.int64)
    order = (exact - share).argsort(descending=True, stable=True)
    share[order[: rest - int(share.sum())]] += 1
    return (share + present.to(torch.int64)).tolist()


def _balanced(counts: Tensor, total: int) -> list[int]:
    present = (counts > 0).nonzero()[:, 0]
    each, more = divmod(total, len(present))
    share = torch.zeros_like(counts)
    share[present] = each
    share[present[:more]] += 1
    return share.tolist()


def allocate(
    size: SizeRecipe,
    counts: Tensor,
    sample_bytes: Callable[[], int],
    *,
    names: Sequence[str],
    everything: int | None = None,
) -> list[int]:
    """Return the number of stored samples of each class.

    Args:
        size: What was asked for.
        counts: Training samples per class, int64 ``(C,)``.
        sample_bytes: Returns the stored bytes of one sample; called for byte budgets only.
        names: Names of the classes, for errors.
        everything: What a ratio refers to; by default the training samples.

    Raises:
        UsageError: If the classes cannot give what is asked for.
    """
    present = int((counts > 0).sum())
    if size.ipc is not None:
        wanted = [size.ipc if n else 0 for n in counts.tolist()]
    else:
        if size.total is not None:
            total = size.total
        elif size.ratio is not None:
            total = round(size.ratio * (everything or int(counts.sum())))
        else:
            total = (size.bytes or 0) // sample_bytes()
        if total > _MOST:
            raise UsageError(f"a set of {total:.3g} samples is larger than any can be; ask for a smaller one")
        if total < present:
            raise UsageError(
                f"a set of {total} samples cannot hold one of each of the {present} classes; make it larger"
            )
        share = _proportional if size.balance == "proportional" else _balanced
        wanted = share(counts, total)
    for label, (want, have) in enumerate(zip(wanted, counts.tolist(), strict=True)):
        if want <= have:
            continue
        if size.policy == "error":
            raise UsageError(
                f"{want} samples of class {names[label]!r} are asked for, but it has {have} for training; "
                f"ask for fewer, or choose --ipc-policy cap or repeat"
            )
        if size.policy == "cap":
            wanted[label] = have
    return wanted


def storage_settings(plugin: ParameterizationPlugin, values: Mapping[str, Any], task: Task) -> Settings:
    """Return the settings of a parameterization for samples of a task.

    Raises:
        UsageError: If a value does not fit.
    """
    settings = parse(plugin.Settings, values, "parameterization")
    return settings.placed(task.axes) if isinstance(settings, NamesAxes) else settings


def set_spec(task: Task, resolved: Resolved, registry: Registry) -> SetSpec:
    """Return what kind of set a recipe makes.

    Raises:
        UsageError: If the settings of the parameterization do not fit.
    """
    settings = resolved.settings
    name = "plain" if settings is None else settings.parameterization
    plugin = registry.get("parameterizations", name)
    stored = storage_settings(plugin, resolved.recipe.parameterization, task)
    return SetSpec(
        parameterization=name,
        settings=stored.model_dump(mode="json", exclude_none=True),
        label_kind="hard"
        if resolved.method is None or settings is None
        else label_kind(resolved.method, settings),
        dtype=resolved.recipe.run.dtype,
        structure="" if settings is None else settings.structure,
        learned=settings is not None,
    )


def start(task: Task, resolved: Resolved, registry: Registry) -> tuple[SyntheticSet, list[int]]:
    """Return the set that a recipe starts at, and its samples per class.

    Raises:
        UsageError: If the size cannot be had from the data.
    """
    recipe = resolved.recipe
    spec, seed = set_spec(task, resolved, registry), recipe.run.seed
    plugin = registry.get("parameterizations", spec.parameterization)
    each = plugin.packs(parse(plugin.Settings, spec.settings, spec.parameterization), task.feature)

    def sample_bytes() -> int:
        # One sample of each class, since labels of many classes take more bytes than of few.
        one = [each if n else 0 for n in task.counts.tolist()]
        init = initial_batch(task, "real", one, seed, registry)
        stored = task.synthesize(init, spec, derive(seed, "size"))
        return -(-stored.nbytes() // len(stored.labels))

    kind = "real" if resolved.settings is None else resolved.settings.init

    def made(per_class: Sequence[int]) -> SyntheticSet:
        # Twice, since a set starts at a copy.
        wanted = 2 * 4 * each * sum(per_class) * math.prod(task.feature)
        if wanted > (free := free_memory()):
            raise UsageError(
                f"a set of {sum(per_class):,} samples takes {wanted / 2**30:,.1f} GB while it is made, and "
                f"{free / 2**30:,.1f} GB of memory are free; ask for a smaller one"
            )
        init = initial_batch(task, kind, [n * each for n in per_class], seed, registry)
        return task.synthesize(init, spec, derive(seed, "synthesize"))

    per_class = allocate(recipe.size, task.counts, sample_bytes, names=task.classes)
    syn = made(per_class)
    # A sample of a larger set may take more bytes than one of a small one: bases are shared.
    while recipe.size.bytes is not None and syn.nbytes() > recipe.size.bytes:
        fewer = min(sum(per_class) - 1, sum(per_class) * recipe.size.bytes // syn.nbytes())
        smaller = recipe.size.model_copy(update={"bytes": None, "total": fewer})
        per_class = allocate(smaller, task.counts, sample_bytes, names=task.classes)
        syn = made(per_class)
    return syn, per_class


def initial_batch(task: Task, kind: str, per_class: Sequence[int], seed: int, registry: Registry) -> Batch:
    """Return what a synthetic set starts at, class by class.

    A class with fewer samples than are asked for repeats them with a little noise.

    Args:
        task: The real data.
        kind: ``real`` for random samples, ``noise`` for standard normal values, or the name
            of a selector, which works on preprocessed inputs.
        per_class: Samples of each class.
        seed: The run's seed.
        registry: Where selectors are looked up.

    Raises:
        UsageError: If `kind` is unknown.
    """
    if kind in ("real", "noise"):
        own = RowsByClass(task.labels, len(task.classes))
        rows = [own.draw(n, derive(seed, "init", label), [label]) for label, n in enumerate(per_class) if n]
        whole = task.gather(torch.cat(rows))
    else:
        known = registry.names("selectors")
        if kind not in known:
            raise UsageError(unknown("init", kind, ["real", "noise", *known]))
        selector = registry.get("selectors", kind)
        whole = select(task, selector, per_class, None, seed, kind).batch(task)
    wanted = [(label, n) for label, n in enumerate(per_class) if n]
    pieces = [_repeat(whole.of(label), n, seed) for label, n in wanted]
    batch = Batch.cat(pieces)
    return _noise(batch, seed) if kind == "noise" else batch


def _normal(like: Tensor, gen: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=gen).to(like)


def _noise(batch: Batch, seed: int) -> Batch:
    gen = derive(seed, "init", "noise")
    return batch.with_inputs(map_values(lambda part: _normal(part, gen), batch.inputs))


def _repeat(piece: Batch, n: int, seed: int) -> Batch:
    missing = n - len(piece)
    if missing <= 0:
        return piece
    extra = piece.take(torch.arange(missing) % len(piece))
    gen = derive(seed, "init", "repeat", int(piece.labels[0]))
    jittered = map_values(lambda part: part + _JITTER * _normal(part, gen), extra.inputs)
    return Batch.cat([piece, extra.with_inputs(jittered)])
