"""Laws of a task's models and of its augmentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attar.architectures import coupled
from attar.batch import Batch, map_values
from attar.rng import derive, scoped
from attar.runner import frozen_buffers
from attar.testing.compare import equal_sets_of_tensors, floats, global_rng_untouched, same_batch
from attar.testing.laws import require
from attar.testing.modality_case import ModalityCase

__all__ = ["AUGMENT_LAWS", "MODEL_LAWS"]


def law_models_fit_the_task(case: ModalityCase) -> None:
    """Every architecture gives logits ``(n, classes)`` or a kernel, and 2-D embeddings where it has them."""
    batch, classes = case.task.view(case.few), len(case.task.classes)
    for name, model in case.models.items():
        kernel: Callable[[Any, Any], Tensor] | None = getattr(model, "kernel", None)
        if kernel is not None:
            found = kernel(batch.inputs, batch.inputs)
            symmetric = found.shape == (len(batch), len(batch)) and torch.allclose(found, found.T, rtol=1e-4)
            require(symmetric, f"{name} gives a kernel that is not symmetric for {len(batch)} rows")
            require(not list(model.parameters()), f"{name} has a kernel, and so must have no parameters")
            continue
        with torch.no_grad(), frozen_buffers(model), scoped(derive(0, "kit")):
            logits = model(batch.inputs)
            require(
                logits.shape == (len(batch), classes),
                f"{name} gives logits of shape {tuple(logits.shape)} for {len(batch)} rows",
            )
            embed = getattr(model, "embed", None)
            if embed is not None:
                found = embed(batch.inputs)
                require(
                    found.ndim == 2 and len(found) == len(batch),
                    f"{name} gives embeddings of shape {tuple(found.shape)} for {len(batch)} rows",
                )
            maps = getattr(model, "feature_maps", None)
            if maps is not None:
                found = maps(batch.inputs)
                require(
                    isinstance(found, list) and all(len(each) == len(batch) for each in found),
                    f"{name} gives feature maps that are no list of one entry per layer with a row each",
                )


def law_build_follows_generator(case: ModalityCase) -> None:
    """The generator decides a model's initialization: equal ones equal, others other models."""
    one, again, other = (case.task.build("", derive(seed, "kit", "build")).state_dict() for seed in (0, 0, 1))
    require(equal_sets_of_tensors(one, again), "two models built from equal generators differ")
    require(not one or not equal_sets_of_tensors(one, other), "models built from other generators are equal")


def law_build_leaves_global_rng(case: ModalityCase) -> None:
    """Building a model neither seeds nor draws from a global generator."""
    with global_rng_untouched("building a model"):
        case.task.build("", derive(0, "kit", "build"))


def law_coupled_is_honest(case: ModalityCase) -> None:
    """A model that says its rows are independent gives a row the same answer among other rows."""
    rows = case.all_rows[:4]
    others = torch.cat([rows[:1], case.all_rows[-3:]])[: len(rows)]
    for name, model in case.models.items():
        if coupled(model) or hasattr(model, "kernel"):
            continue
        model.train()
        answers = []
        for chosen in (rows, others):
            # Equal seeds and shapes give row 0 equal dropout, so that only the other rows differ.
            with torch.no_grad(), frozen_buffers(model), scoped(derive(0, "kit", "coupled")):
                answers.append(model(case.task.view(chosen).inputs)[0])
        require(
            torch.allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5),
            f"{name} says that it is not coupled, but a row's logits change with the other rows",
        )


MODEL_LAWS = (
    law_models_fit_the_task,
    law_build_follows_generator,
    law_build_leaves_global_rng,
    law_coupled_is_honest,
)


def _copy(batch: Batch) -> Batch:
    return batch.with_inputs(map_values(lambda tensor: tensor.clone(), batch.inputs))


def _apply(case: ModalityCase, batch: Batch, which: list[int] | Tensor, seed: int = 0, k: int = 0) -> Batch:
    augment: Any = case.task.augment
    chosen = torch.as_tensor(which)
    draws = augment.draw(k or max(int(chosen.max()) + 1, 1), derive(seed, "kit", "augment"))
    # On a copy: what an augmentation does to its input is the affair of one law only.
    changed: Batch = augment.apply(_copy(batch), draws, chosen)
    return changed


def law_augment_repeats_its_draw(case: ModalityCase) -> None:
    """The same draws on the same rows give the same result: that is what siamese means."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    draws = case.task.augment.draw(len(batch), derive(0, "kit", "augment"))
    which = torch.arange(len(batch))
    one, again = (case.task.augment.apply(_copy(batch), draws, which) for _ in range(2))
    require(same_batch(one, again), "applying the same draws twice gave two results")


def law_augment_follows_generator(case: ModalityCase) -> None:
    """The generator alone decides the draws."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    which = torch.arange(len(batch))
    one, again, other = (_apply(case, batch, which, seed) for seed in (0, 0, 1))
    require(same_batch(one, again), "draws from equal generators differ")
    require(not same_batch(one, other), "draws from different generators are equal")


def law_augment_leaves_global_rng(case: ModalityCase) -> None:
    """Drawing and applying neither seed nor draw from a global generator."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    with global_rng_untouched("augmenting"):
        _apply(case, batch, torch.arange(len(batch)))


def law_augment_leaves_input_alone(case: ModalityCase) -> None:
    """The batch given is not changed."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    before = _copy(batch)
    draws = case.task.augment.draw(len(batch), derive(0, "kit", "augment"))
    case.task.augment.apply(batch, draws, torch.arange(len(batch)))
    require(same_batch(batch, before), "augmenting changed the batch that it was given")


def law_augment_is_differentiable(case: ModalityCase) -> None:
    """Gradient passes through to the values given."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    grown = batch.with_inputs(map_values(lambda tensor: tensor.clone().requires_grad_(), batch.inputs))
    changed = _apply(case, grown, torch.arange(len(batch)))
    total = sum((tensor**2).sum() for tensor in floats(changed) if tensor.requires_grad)
    require(isinstance(total, Tensor), "no gradient passes through the augmentation")
    if isinstance(total, Tensor):
        total.backward()
    reached = [leaf.grad is not None and bool(leaf.grad.any()) for leaf in floats(grown) if leaf.is_leaf]
    require(any(reached), "the gradient that passes through the augmentation is zero")


def law_augment_follows_which(case: ModalityCase) -> None:
    """Row i uses draw ``which[i]``, for zeros, labels and ``arange`` alike; rows keep their labels."""
    if case.task.augment is None:
        return
    batch = case.task.gather(case.few)
    k = max(len(batch), len(case.task.classes))
    choices = {
        "zeros": torch.zeros(len(batch), dtype=torch.int64),
        "the labels": batch.labels,
        "arange": torch.arange(len(batch)),
    }
    for name, which in choices.items():
        changed = _apply(case, batch, which, k=k)
        require(torch.equal(changed.labels, batch.labels), f"with {name}, rows changed their labels")
    # Equal rows, so that only the draws can tell results apart.
    equal = case.task.gather(case.few[:1]).take(torch.zeros(8, dtype=torch.int64))
    forward = _apply(case, equal, torch.arange(8))
    backward = _apply(case, equal, torch.arange(8).flip(0))
    require(
        same_batch(forward.take(torch.arange(8).flip(0)), backward, rtol=1e-5),
        "reversing which did not reverse what equal rows become",
    )
    siamese = _apply(case, equal, torch.zeros(8, dtype=torch.int64), k=8)
    first = siamese.take(torch.zeros(8, dtype=torch.int64))
    require(same_batch(siamese, first, rtol=1e-5), "equal rows with one draw became different")
    require(not same_batch(siamese, forward), "one draw for all and one draw per row gave the same")


def law_augment_names_its_settings(case: ModalityCase) -> None:
    """An augmentation's ``repr`` is a value: cached results depend on it."""
    if case.task.augment is None:
        return
    text = repr(case.task.augment)
    require(re.search(r" at 0x[0-9a-fA-F]+", text) is None, f"its repr holds an address: {text:.100}")


AUGMENT_LAWS = (
    law_augment_repeats_its_draw,
    law_augment_follows_generator,
    law_augment_leaves_global_rng,
    law_augment_leaves_input_alone,
    law_augment_is_differentiable,
    law_augment_follows_which,
    law_augment_names_its_settings,
)
