"""Laws of synthetic sets."""

from __future__ import annotations

import torch

from attar.batch import map_values
from attar.contracts import Clock, LabelKind, SetSpec, SyntheticSet
from attar.errors import UsageError
from attar.rng import derive, scoped
from attar.testing.compare import equal_sets_of_tensors, global_rng_untouched, same_batch, surplus
from attar.testing.laws import require
from attar.testing.modality_case import ModalityCase
from attar.testing.shared import is_json
from attar.training import training_loss

__all__ = ["SET_LAWS"]

# Relative error of a value that has passed through each storage type.
_PRECISION = {"float32": 0.0, "float16": 2e-3, "bfloat16": 2e-2}


def law_set_decodes_to_its_labels(case: ModalityCase) -> None:
    """A set starts with the labels given, and decodes to a batch of them, whole or in part."""
    init, syn = case.start()
    batch = syn.decode()
    require(torch.equal(syn.labels, init.labels), "its set has other labels than what it starts at")
    require(
        set(batch.labels.tolist()) == set(init.labels.tolist()),
        f"its set decodes to the labels {sorted(set(batch.labels.tolist()))}",
    )
    rows = torch.arange(len(batch)).flip(0)[:2]
    require(
        same_batch(syn.decode(rows), batch.take(rows)),
        "decoding some rows differs from taking them afterwards",
    )


def law_targets_fit_label_kind(case: ModalityCase) -> None:
    """Hard labels have no targets; the other kinds have ``(n, classes)`` and the role ``labels``."""
    for syn in case.sets():
        targets = syn.decode().targets
        if syn.label_kind == "hard":
            require(targets is None, "a set of hard labels decodes to targets")
            continue
        shape = None if targets is None else tuple(targets.shape)
        expected = (len(syn.decode()), len(case.task.classes))
        require(shape == expected, f"{syn.label_kind} targets have shape {shape}, not {expected}")
        require("labels" in syn.groups(), f"a set of {syn.label_kind} labels has no role 'labels'")


def law_roles_cover_parameters(case: ModalityCase) -> None:
    """Each parameter of a set has one role, and the roles active at a step are among them."""
    for syn in case.sets():
        groups = syn.groups()
        grouped = [id(parameter) for group in groups.values() for parameter in group]
        own = [id(parameter) for parameter in syn.parameters()]
        require(
            sorted(grouped) == sorted(own), f"the roles {sorted(groups)} do not cover each parameter once"
        )
        odd = syn.active(Clock(0, 10)) - groups.keys()
        require(not odd, f"the roles {sorted(odd)} are active but have no parameters")


def law_gradient_reaches_every_leaf(case: ModalityCase) -> None:
    """Training a model on the decoded set sends gradient to every parameter of the set."""
    model = case.models[case.task.architecture]
    for syn in case.sets():
        batch = syn.decode()
        with scoped(derive(0, "kit")):
            training_loss(model(batch.inputs), batch, syn.label_kind).backward()
        for role, group in syn.groups().items():
            for parameter in group:
                reached = parameter.grad is not None and bool(parameter.grad.any())
                require(
                    reached, f"no gradient reaches a parameter of role {role!r} ({syn.label_kind} labels)"
                )


def law_synthesize_leaves_its_start_alone(case: ModalityCase) -> None:
    """A set owns its values: stepping it changes neither the batch it started at nor other sets."""
    init = case.task.gather(case.few)
    before = init.with_inputs(map_values(lambda tensor: tensor.clone(), init.inputs))
    with global_rng_untouched("synthesizing"):
        syn = case.task.synthesize(init, SetSpec(), derive(0, "kit", "set"))
    with torch.no_grad():
        for parameter in syn.parameters():
            parameter.add_(1.0)
    require(same_batch(init, before), "stepping a set changed the batch that it started at")


def _kept(case: ModalityCase, kind: LabelKind, dtype: str) -> tuple[SyntheticSet, SyntheticSet] | None:
    """Return a set and what storage makes of it, or None if the modality refuses the kind."""
    try:
        syn = case.start(kind, dtype)[1].bake()
    except UsageError:
        if kind == "hard" and dtype == "float32":
            raise
        return None
    return syn, case.plugin.restore(syn.description(), syn.stored())


def law_set_survives_storage(case: ModalityCase) -> None:
    """What is restored from storage decodes to the same, up to the storage type, and stores the same."""
    kinds: tuple[LabelKind, ...] = ("hard", "probability", "regression")
    for kind in kinds:
        for dtype, precision in _PRECISION.items():
            kept = _kept(case, kind, dtype)
            if kept is None:
                continue
            syn, restored = kept
            how = f"a set of {kind} labels stored as {dtype}"
            require(
                same_batch(syn.decode(), restored.decode(), rtol=precision),
                f"{how} decodes to something else once it is restored",
            )
            require(restored.label_kind == kind, f"{how} is restored with {restored.label_kind} labels")
            require(
                equal_sets_of_tensors(syn.stored(), restored.stored()),
                f"{how} is not stored as it was once it is restored",
            )


def law_kept_samples_are_those(case: ModalityCase) -> None:
    """A baked set that can give up samples keeps those it is told to, in the same form."""
    for syn in case.sets():
        baked = syn.bake()
        rows = torch.tensor([len(baked.labels) - 1, 0])
        try:
            kept = baked.keep(rows)
        except UsageError:
            continue
        whole, found = baked.decode(), kept.decode()
        require(
            torch.equal(kept.labels, baked.labels[rows]), "a set that keeps some samples has other labels"
        )
        own = whole.take(rows)
        same = case.keys(found) == case.keys(own) and torch.equal(found.labels, own.labels)
        require(same, "a set that keeps some samples decodes to others")
        fit = own.targets is None or (found.targets is not None and torch.equal(found.targets, own.targets))
        require(fit, "a set that keeps some samples has other targets")


def law_softened_labels_are_those(case: ModalityCase) -> None:
    """A baked set that can have probabilities as labels has those it is given, and the same samples."""
    classes = len(case.task.classes)
    for syn in case.sets():
        baked = syn.bake()
        given = torch.rand(len(baked.decode()), classes, generator=derive(0, "kit", "soft")) + 0.1
        given = given / given.sum(1, keepdim=True)
        try:
            soft = baked.softened(given)
        except UsageError:
            continue
        found = soft.decode()
        fit = found.targets is not None and bool(torch.isclose(found.targets, given, atol=1e-5).all())
        require(
            fit and soft.label_kind == "probability",
            "a set with probabilities as labels has other ones than it was given",
        )
        require(
            case.keys(found) == case.keys(baked.decode()) and torch.equal(soft.labels, baked.labels),
            "a set with probabilities as labels has other samples than before",
        )


def law_stored_tensors_are_plain(case: ModalityCase) -> None:
    """Stored tensors are finite, contiguous, on the CPU and without gradient."""
    for syn in case.sets():
        for name, tensor in syn.stored().items():
            finite = not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
            plain = tensor.is_contiguous() and tensor.device.type == "cpu" and not tensor.requires_grad
            require(
                finite and plain,
                f"the stored tensor {name!r} is not finite, contiguous, on the CPU and constant",
            )


def law_bytes_are_honest(case: ModalityCase) -> None:
    """``nbytes`` counts every stored tensor in its storage type."""
    for dtype in _PRECISION:
        kept = _kept(case, "hard", dtype)
        if kept is None:
            continue
        counted = kept[0].nbytes()
        stored = sum(tensor.numel() * tensor.element_size() for tensor in kept[0].stored().values())
        require(counted == stored, f"a set stored as {dtype} says {counted} bytes and stores {stored}")


def law_description_is_json(case: ModalityCase) -> None:
    """A set's description is made of JSON values, since the artifact stores it."""
    for syn in case.sets():
        values = syn.bake().description()
        require(is_json(values), f"its description is not made of JSON values: {values!r:.200}")


def law_set_epoch_covers_it_once(case: ModalityCase) -> None:
    """A pass over a set gives every decoded sample once."""
    _, syn = case.start()
    wanted = case.keys(syn.decode())
    for gen in (None, derive(0, "kit", "set epoch")):
        found = [key for batch in syn.epoch(4, gen) for key in case.keys(batch)]
        twice, never = surplus(found, wanted), surplus(wanted, found)
        require(not twice and not never, f"a pass over a set left out {never} samples, repeated {twice}")


SET_LAWS = (
    law_set_decodes_to_its_labels,
    law_targets_fit_label_kind,
    law_roles_cover_parameters,
    law_gradient_reaches_every_leaf,
    law_synthesize_leaves_its_start_alone,
    law_set_survives_storage,
    law_kept_samples_are_those,
    law_softened_labels_are_those,
    law_stored_tensors_are_plain,
    law_bytes_are_honest,
    law_description_is_json,
    law_set_epoch_covers_it_once,
)
