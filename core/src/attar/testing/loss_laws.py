"""Laws of a loss: what it may touch, where its gradient goes, and what it claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import nn
from torch.nn import functional

from attar.architectures import build, coupled
from attar.contracts import LabelKind, RealDraw
from attar.errors import UsageError
from attar.portions import BY_CLASS, rows_of
from attar.precision import reduced_precision
from attar.rng import derive
from attar.runner import check
from attar.tensor import TensorTask
from attar.testing.compare import global_rng_untouched, tensors_in
from attar.testing.laws import LawBroken, require
from attar.testing.objective_case import Moment, ObjectiveCase, _double

__all__ = ["CLAIMS", "LOSS_LAWS", "TOLERANCE"]

CLAIMS = frozenset({"zero_at_real", "order_free", BY_CLASS})
"""What a loss may claim: zero where the synthetic batch equals the real one; the order of the
samples of a class does not matter; it is a sum over the classes of the synthetic batch."""

TOLERANCE = 1e-4
"""Relative error that is left to float32 sums in another order."""

_SAME_DIRECTION = 0.9


def law_loss_says_what_it_needs(case: ObjectiveCase) -> None:
    """A loss states ``needs``, ``real`` and ``claims``, a method its kinds of labels."""
    kinds = get_args(LabelKind)
    own = case.plugin.label_kinds
    fits = isinstance(own, tuple) and len(own) > 0 and all(kind in kinds for kind in own)
    require(fits, f"its label_kinds must be some of {', '.join(kinds)}, the default first, but are {own!r}")
    objective = case.objective()
    for name in ("needs", "claims"):
        value = getattr(objective.loss, name, None)
        strings = isinstance(value, frozenset) and all(isinstance(each, str) for each in value)
        require(strings, f"its loss must have {name} as a frozenset of names, but has {value!r}")
    real = getattr(objective.loss, "real", "missing")
    require(
        real is None or isinstance(real, RealDraw), f"its loss has real = {real!r}: give a RealDraw or None"
    )


def law_claims_are_known(case: ObjectiveCase) -> None:
    """A loss claims only what there is a law for."""
    odd = sorted(case.objective().loss.claims - CLAIMS)
    require(not odd, f"its loss claims {', '.join(odd)}; known claims are {', '.join(sorted(CLAIMS))}")


def law_loss_is_a_finite_scalar(case: ObjectiveCase) -> None:
    """The loss is one finite number, on vectors, sequences and images."""
    for shape in case.shapes:
        loss = case.moment(case.task(shape)).loss()
        require(loss.ndim == 0, f"its loss on samples {shape} has shape {tuple(loss.shape)}, not ()")
        require(bool(torch.isfinite(loss)), f"its loss on samples {shape} is {float(loss.detach())}")


def law_gradient_reaches_the_set(case: ObjectiveCase) -> None:
    """Gradient reaches every parameter of the set, every sample of it, and what is learned."""
    for shape in case.shapes:
        moment = case.moment(case.task(shape))
        loss = moment.loss()
        require(loss.requires_grad, f"its loss on samples {shape} has no gradient")
        loss.backward()
        leaves = dict(moment.syn.named_parameters()) | dict(moment.learned)
        for name, leaf in leaves.items():
            grad = leaf.grad
            reached = grad is not None and bool(torch.isfinite(grad).all()) and bool(grad.any())
            require(reached, f"on samples {shape} no finite gradient other than zero reaches {name!r}")
            if grad is not None and grad.ndim > 0 and len(grad) == len(moment.syn.labels):
                rows = grad.reshape(len(grad), -1).any(1)
                dry = int((~rows).sum())
                require(dry == 0, f"on samples {shape} {dry} of {len(rows)} rows of {name!r} get no gradient")


def law_dtype_is_kept(case: ObjectiveCase) -> None:
    """In float32 the loss is float32, with everything in float64 it is float64."""
    moment = case.moment(case.task())
    single = moment.loss().dtype
    require(single == torch.float32, f"its loss of float32 data is {single}")
    double = moment.doubled().loss(_double(moment.syn.decode())).dtype
    require(double == torch.float64, f"its loss of float64 data is {double}")


def law_bfloat16_keeps_the_direction(case: ObjectiveCase) -> None:
    """With models in bfloat16, the gradient of the set points where it does in float32."""
    for shape in case.shapes:
        # A long training can turn round by what bfloat16 rounds, for some draws: one of three must not.
        cosine = max(_bfloat16_cosine(case, shape, seed) for seed in range(3))
        require(
            cosine > _SAME_DIRECTION,
            f"on samples {shape} its gradient in bfloat16 has a cosine of {cosine:.3f} with that in float32; "
            f"decorate what must not lose precision with attar.precision.full_precision",
        )


def _bfloat16_cosine(case: ObjectiveCase, shape: tuple[int, ...], seed: int) -> float:
    """Return the cosine between the gradients of the set with models in float32 and in bfloat16."""
    gradients = []
    for bf16 in (False, True):
        moment = case.moment(case.task(shape), seed=seed)
        with reduced_precision(torch.device("cpu"), bf16):
            moment.loss().backward()
        grads = [each.grad for each in moment.syn.parameters() if each.grad is not None]
        gradients.append(torch.cat([each.flatten().double() for each in grads]))
    return float(functional.cosine_similarity(gradients[0], gradients[1], dim=0))


def law_observe_gives_constants(case: ObjectiveCase) -> None:
    """What the real data show carries no gradient: it is cached from step to step."""
    moment = case.moment(case.task())
    # Weights that ask for gradient, as some sources need them, would let it in.
    moment.subject.model.requires_grad_(True)
    graphs = [tensor for tensor in tensors_in(moment.observe()) if tensor.requires_grad]
    require(not graphs, f"observe returned {len(graphs)} tensors that require gradient")


def law_loss_leaves_the_model_alone(case: ObjectiveCase) -> None:
    """Observing and comparing change no parameter, no buffer and no mode of the model."""
    moment = case.moment(case.task())
    model = moment.subject.model
    # The toy models have no buffers of their own; running statistics are the runner's affair.
    model.register_buffer("kit_buffer", torch.ones(1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = [module.training for module in model.modules()]
    moment.loss().backward()
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    require(not changed, f"its loss changed the model's {', '.join(changed)}")
    now = [module.training for module in model.modules()]
    require(now == training, "its loss left the model in another mode, training or evaluation")


def law_loss_leaves_global_rng(case: ObjectiveCase) -> None:
    """Observing and comparing draw from the context's generators only."""
    moment = case.moment(case.task())
    loss, batch = moment.objective.loss, moment.syn.decode()
    with global_rng_untouched("its loss"):
        stats = loss.observe(moment.subject, moment.real, moment.ctx)
        loss.compare(moment.subject, stats, batch, moment.ctx, moment.learned)


def _only(inner: nn.Module, methods: frozenset[str]) -> nn.Module:
    """Return a model that answers as `inner` does, but has only ``forward`` and `methods`."""

    def delegate(name: str) -> Callable[..., Any]:
        return lambda self, *given: getattr(self.inner, name)(*given)

    kind = type("Narrow", (nn.Module,), {name: delegate(name) for name in methods | {"forward"}})
    model: nn.Module = kind()
    model.inner = inner
    model.coupled = coupled(inner)  # type: ignore[assignment]
    return model


def _narrow(task: TensorTask, text: str, methods: frozenset[str]) -> TensorTask:
    known = task.architectures

    def factory(feature: tuple[int, ...], classes: int) -> nn.Module:
        return _only(build(text, known, feature, classes, derive(0, "kit", "narrow")), methods)

    return replace(task, architectures={"narrow": factory}, architecture="narrow")


def law_needs_are_honest(case: ObjectiveCase) -> None:
    """A model without a method that is needed is refused; one with no other methods serves."""
    task, needs = case.task(), case.objective().loss.needs
    text = case.settings().model or task.architecture
    for need in sorted(needs):
        lacking = _narrow(task, text, needs - {need})
        try:
            check(lacking, case.objective(model="narrow"), "narrow", 0)
        except UsageError:
            continue
        raise LawBroken(f"a model without {need!r} is not refused")
    enough = _narrow(task, text, needs)
    check(enough, case.objective(model="narrow"), "narrow", 0)
    try:
        case.moment(enough, model="narrow").loss()
    except (AttributeError, UsageError) as error:
        raise LawBroken(f"beside forward it needs more than {sorted(needs)}: {error}") from error


def _far(moment: Moment) -> float:
    """Return the loss away from the real data, which a claim of zero is measured against."""
    return max(abs(float(moment.loss().detach())), 1e-12)


def law_zero_at_real(case: ObjectiveCase) -> None:
    """If claimed: the loss is zero where the synthetic batch equals the real one."""
    if "zero_at_real" not in case.objective().loss.claims:
        return
    for shape in case.shapes:
        moment = case.moment(case.task(shape))
        require(moment.real is not None, "it claims zero_at_real but wants no real data")
        near = abs(float(moment.loss(moment.real).detach()))
        far = _far(moment)
        require(near <= TOLERANCE * far, f"its loss on samples {shape} is {near:g} at the real data")


def law_order_free(case: ObjectiveCase) -> None:
    """If claimed: the order of the samples, real and synthetic, does not matter."""
    if "order_free" not in case.objective().loss.claims:
        return
    for shape in case.shapes:
        moment = case.moment(case.task(shape))
        batch = moment.syn.decode()
        expected = float(moment.loss(batch).detach())
        turned = batch.take(torch.arange(len(batch)).flip(0))
        real = moment.real
        if real is not None:
            order = torch.randperm(len(real), generator=derive(0, "kit", "order"))
            real = real.take(order)
        found = float(replace(moment, real=real).loss(turned).detach())
        close = abs(found - expected) <= TOLERANCE * max(abs(expected), 1e-12)
        require(close, f"its loss on samples {shape} is {expected:g}, and {found:g} in another order")


def law_by_class(case: ObjectiveCase) -> None:
    """If claimed: the loss is the sum of what it is on parts of the classes."""
    if BY_CLASS not in case.objective().loss.claims:
        return
    for shape in case.shapes:
        moment = case.moment(case.task(shape))
        batch = moment.syn.decode()
        expected = float(moment.loss(batch).detach())
        labels = batch.labels.unique().tolist()
        found = 0.0
        for part in (labels[:1], labels[1:]):
            real = moment.real
            if real is not None:
                real = real.take(rows_of(real, part))
            some = replace(moment, real=real)
            found += float(some.loss(batch.take(rows_of(batch, part))).detach())
        close = abs(found - expected) <= TOLERANCE * max(abs(expected), 1e-12)
        require(close, f"its loss on samples {shape} is {expected:g}, and {found:g} class by class")


LOSS_LAWS: tuple[Callable[[ObjectiveCase], None], ...] = (
    law_loss_says_what_it_needs,
    law_claims_are_known,
    law_loss_is_a_finite_scalar,
    law_gradient_reaches_the_set,
    law_dtype_is_kept,
    law_bfloat16_keeps_the_direction,
    law_observe_gives_constants,
    law_loss_leaves_the_model_alone,
    law_loss_leaves_global_rng,
    law_needs_are_honest,
    law_zero_at_real,
    law_order_free,
    law_by_class,
)
