"""Laws of a modality as a plugin: its data, pictures and exports, and the secrecy of the test split."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from attar.api import distill
from attar.artifact import data_record
from attar.artifact.store import DATA
from attar.batch import Batch
from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import DataInfo, Describes, Exhibits, Export, HasCompanions, MadeAnew
from attar.rng import derive
from attar.testing.compare import same_batch
from attar.testing.laws import LawBroken, require
from attar.testing.modality_case import ModalityCase
from attar.testing.shared import is_json

__all__ = ["PLUGIN_LAWS", "SECRECY_LAWS"]

_EXPORT_TYPES = ("uint8", "int16", "float16", "float32")


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


def _decoded(case: ModalityCase) -> tuple[Batch, DataInfo]:
    _, syn = case.start()
    with torch.no_grad():
        batch: Batch = syn.decode()
    return batch, data_record(case.task).info


def law_render_gives_png(case: ModalityCase) -> None:
    """A batch is drawn as a PNG file."""
    picture = case.plugin.render(*_decoded(case))
    png = isinstance(picture, bytes) and picture.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in picture[-12:]
    require(png, f"its picture is no whole PNG file: {picture[:8]!r}")


def law_companions_are_files(case: ModalityCase) -> None:
    """What goes with a picture are files in one folder, each with a name of its own, the same each time."""
    if not isinstance(case.plugin, HasCompanions):
        return
    batch, info = _decoded(case)
    files = list(case.plugin.companions(batch, info))
    names = [name for name, _ in files]
    require(len(set(names)) == len(names), f"two companions are called {sorted(names)[0]!r} or alike")
    for name, content in files:
        require(name == Path(name).name and bool(name), f"its companion {name!r} is no name of a file")
        require(isinstance(content, bytes) and bool(content), f"its companion {name!r} holds no bytes")
    again = dict(case.plugin.companions(batch, info))
    require(again == dict(files), "its companions differ from one call to the next")


def law_exhibits_show_each_sample(case: ModalityCase) -> None:
    """What shows samples one by one is as many as they are, each a PNG file, a WAV file or both."""
    if not isinstance(case.plugin, Exhibits):
        return
    batch, info = _decoded(case)
    shown = case.plugin.exhibits(batch, info)
    if shown is None:
        return
    require(len(shown) == len(batch), f"it shows {len(shown)} of {len(batch)} samples")
    for each in shown:
        require(bool(each.picture or each.sound), "a sample is shown neither as a picture nor as a sound")
        png = not each.picture or each.picture.startswith(b"\x89PNG\r\n\x1a\n")
        require(png, f"the picture of a sample is no PNG file: {each.picture[:8]!r}")
        wav = not each.sound or (each.sound[:4], each.sound[8:12]) == (b"RIFF", b"WAVE")
        require(wav, f"the sound of a sample is no WAV file: {each.sound[:12]!r}")


def law_words_tell_each_sample(case: ModalityCase) -> None:
    """Samples told in words are as many texts, or one sentence that says what lacks for it."""
    if not isinstance(case.plugin, Describes):
        return
    batch, info = _decoded(case)
    try:
        told = case.plugin.described(batch, info)
    except UsageError:
        return
    if told is None:
        return
    require(len(told) == len(batch), f"it tells {len(told)} of {len(batch)} samples in words")
    require(all(isinstance(text, str) for text in told), "what tells a sample in words is no text")


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
    law_exhibits_show_each_sample,
    law_words_tell_each_sample,
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
