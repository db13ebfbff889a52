"""Laws of synthetic sets, of pictures, and of the secrecy of the test split."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from attar.api import distill
from attar.artifact import data_record
from attar.artifact.store import DATA
from attar.batch import Batch, map_values
from attar.contracts import Clock, LabelKind, SetSpec, SyntheticSet, Task
from attar.errors import UsageError
from attar.plugins import DataInfo, Export, HasCompanions, MadeAnew
from attar.rng import derive, scoped
from attar.testing.compare import equal_sets_of_tensors, global_rng_untouched, same_batch, surplus
from attar.testing.laws import LawBroken, require
from attar.testing.modality_case import ModalityCase
from attar.testing.shared import is_json
from attar.training import training_loss

__all__ = ["PLUGIN_LAWS", "SECRECY_LAWS", "SET_LAWS"]

_EXPORT_TYPES = ("uint8", "int16", "float16", "float32")
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


def law_known_data_are_described(case: ModalityCase) -> None:
    """Known data sets have names and a line each, and an unknown name is refused as a mistake."""
    known = dict(case.plugin.datasets())
    texts = all(isinstance(name, str) and isinstance(line, str) and line for name, line in known.items())
    require(texts, f"its data sets must be names with a line about each, but are {known!r:.200}")
    try:
        case.load("no-such-data")
    except UsageError:
        return
    raise LawBroken("it loads the unknown data 'no-such-data'")


def law_fingerprint_is_stable(case: ModalityCase) -> None:
    """Loading twice gives the same fingerprint, in hexadecimal."""
    one, again = case.task.fingerprint, case.load().fingerprint
    require(one == again, f"loading twice gave the fingerprints {one} and {again}")
    require(bool(one) and set(one) <= set("0123456789abcdef"), f"the fingerprint {one!r} is not hexadecimal")


def law_fingerprint_sees_validation(case: ModalityCase) -> None:
    """Holding out another part of the training data changes the fingerprint."""
    if "validation" not in case.settings_class.model_fields:
        return
    one, other = (case.load(validation=part).fingerprint for part in (0.1, 0.4))
    require(one != other, "the fingerprint does not change with the held-out part of the training data")


def law_render_gives_png(case: ModalityCase) -> None:
    """A batch is drawn as a PNG file."""
    _, syn = case.start()
    with torch.no_grad():
        batch: Batch = syn.decode()
    picture = case.plugin.render(batch, data_record(case.task).info)
    png = isinstance(picture, bytes) and picture.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in picture[-12:]
    require(png, f"its picture is no whole PNG file: {picture[:8]!r}")


def law_companions_are_files(case: ModalityCase) -> None:
    """What goes with a picture are files in one folder, each with a name of its own, the same each time."""
    if not isinstance(case.plugin, HasCompanions):
        return
    _, syn = case.start()
    with torch.no_grad():
        batch: Batch = syn.decode()
    info = data_record(case.task).info
    files = list(case.plugin.companions(batch, info))
    names = [name for name, _ in files]
    require(len(set(names)) == len(names), f"two companions are called {sorted(names)[0]!r} or alike")
    for name, content in files:
        require(name == Path(name).name and bool(name), f"its companion {name!r} is no name of a file")
        require(isinstance(content, bytes) and bool(content), f"its companion {name!r} holds no bytes")
    again = dict(case.plugin.companions(batch, info))
    require(again == dict(files), "its companions differ from one call to the next")


def law_domain_is_the_tasks(case: ModalityCase) -> None:
    """Without the data, the same augmentation and the same models are had as with them."""
    task = case.task
    domain = case.plugin.domain(data_record(task, task.options).info)
    require(
        repr(domain.augment) == repr(task.augment),
        f"its domain augments by {domain.augment!r}, its task by {task.augment!r}",
    )
    require(
        domain.architecture == task.architecture,
        f"its domain's architecture is {domain.architecture!r}, its task's {task.architecture!r}",
    )
    require(bool(task.protocols), "its task has no protocol that networks are trained by")
    for name, protocol in task.protocols.items():
        require(name == protocol.name, f"its protocol {name!r} calls itself {protocol.name!r}")
    require(
        list(domain.protocols.items()) == list(task.protocols.items()),
        f"its domain has the protocols {', '.join(domain.protocols)}, its task {', '.join(task.protocols)}",
    )
    one, other = (each.build("", derive(0, "domain")).state_dict() for each in (domain, task))
    same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    require(same, f"its domain builds another {domain.architecture!r} than its task")


def _exports(case: ModalityCase) -> Iterator[tuple[str, Export, Batch, DataInfo]]:
    """Yield each export with a batch, of every kind of labels, that it can hold."""
    info = data_record(case.task).info
    for syn in case.sets():
        with torch.no_grad():
            batch: Batch = syn.decode()
        for name, export in case.plugin.exports().items():
            try:
                export.rounded(batch, info, export.dtypes[0])
            except UsageError:
                continue
            yield f"its export {name!r}", export, batch, info


def law_exports_write_files(case: ModalityCase) -> None:
    """Each export has a line about it, types to write, JSON that says how to read it, and writes files."""
    for name, export, batch, info in _exports(case):
        require(bool(export.summary), f"{name} has no line about it")
        odd = set(export.dtypes) - set(_EXPORT_TYPES)
        require(not odd, f"{name} writes {sorted(odd)}, which is none of {', '.join(_EXPORT_TYPES)}")
        for dtype in export.dtypes:
            reading = export.reading(info, dtype)
            require(is_json(reading), f"{name} is read by what is not made of JSON values: {reading!r:.200}")
            with tempfile.TemporaryDirectory() as folder:
                try:
                    export.write(batch, info, dtype, Path(folder))
                except UsageError:
                    # What it needs is not installed.
                    continue
                files = [path for path in Path(folder).rglob("*") if path.is_file() and path.stat().st_size]
            require(bool(files), f"{name} writes no file of {dtype}")


def law_exports_say_what_rounding_changes(case: ModalityCase) -> None:
    """What a reader gets is as told: ``float32`` changes nothing, and rounding again changes nothing.

    That is so unless the export says that it makes what it writes anew.
    """
    for name, export, batch, info in _exports(case):
        if isinstance(export, MadeAnew) and export.made_anew:
            continue
        for dtype in export.dtypes:
            try:
                once = export.rounded(batch, info, dtype)
            except UsageError:
                # Values that the type cannot hold.
                continue
            require(
                same_batch(once, export.rounded(once, info, dtype), rtol=1e-5),
                f"{name} as {dtype} changes what was rounded before",
            )
            share = export.clipped(batch, info, dtype)
            require(0 <= share <= 1, f"{name} as {dtype} says that {share} of the values are cut off")
            if dtype == "float32":
                exact = same_batch(batch, once, rtol=1e-5) and share == 0
                require(exact, f"{name} as float32 changes the values")


PLUGIN_LAWS = (
    law_exports_write_files,
    law_exports_say_what_rounding_changes,
    law_domain_is_the_tasks,
    law_known_data_are_described,
    law_fingerprint_is_stable,
    law_fingerprint_sees_validation,
    law_render_gives_png,
    law_companions_are_files,
)


def _artifacts(case: ModalityCase, task: Task) -> dict[str, bytes]:
    """Return the bytes that a short run of a method and a selector write."""
    settings: dict[str, dict[str, Any]] = {"dm": {"steps": 2, "per_class": 4}, "herding": {}}
    contents = {}
    for method, chosen in settings.items():
        artifact = distill(task, method=method, ipc=1, registry=case.registry, **chosen)
        with tempfile.TemporaryDirectory() as folder:
            contents[method] = (artifact.save(Path(folder) / "artifact") / DATA).read_bytes()
    return contents


def law_fingerprint_ignores_test(case: ModalityCase) -> None:
    """With other test data the fingerprint of what is distilled from stays."""
    other = case.other_test()
    require(
        other.test_fingerprint != case.task.test_fingerprint,
        "its test fingerprint does not change with the test split",
    )
    require(other.fingerprint == case.task.fingerprint, "its fingerprint changes with the test split")


def law_artifact_ignores_test(case: ModalityCase) -> None:
    """With other test data the bytes of what is distilled and selected stay."""
    expected, found = _artifacts(case, case.task), _artifacts(case, case.other_test())
    changed = [method for method in expected if expected[method] != found[method]]
    require(not changed, f"the artifact of {' and '.join(changed)} changes with the test split")


def law_distilling_reads_no_test(case: ModalityCase) -> None:
    """Distilling and selecting never read a test sample."""
    _artifacts(case, case.sealed())


SECRECY_LAWS = (
    law_fingerprint_ignores_test,
    law_artifact_ignores_test,
    law_distilling_reads_no_test,
)
