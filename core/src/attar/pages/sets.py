"""What a page says of a set: for a person who decides whether to use it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attar.artifact import Artifact, Manifest, load
from attar.artifact.decisions import decisions
from attar.errors import UsageError
from attar.files import read_json
from attar.pages.blocks import Block, Code, Facts, Part, Section, Table, Told
from attar.pages.evaluations import accuracy_section, classes_section, headline, verdict
from attar.pages.samples import Beside, samples_section
from attar.protocols import Protocol
from attar.registry import Registry
from attar.reports import Report

__all__ = ["ReadSet", "evaluation_blocks", "read_set", "set_part"]

_FOLDED = 6


@dataclass(frozen=True)
class ReadSet:
    """A set and what is known of it.

    Attributes:
        name: Name of its folder.
        artifact: The set.
        reports: Its evaluations, the newest first.
    """

    name: str
    artifact: Artifact
    reports: tuple[Report, ...]


def read_set(run: Path, registry: Registry) -> ReadSet:
    """Read a run, or an artifact, which has no evaluations.

    Raises:
        UsageError: If it is none, is damaged, or one of its evaluations is.
    """
    artifact = load(run, registry=registry)
    found = sorted((run / "evaluations").glob("*.json"), key=lambda path: -path.stat().st_mtime)
    reports = []
    for path in found:
        try:
            reports.append(Report.model_validate(read_json(path)))
        except ValidationError as error:
            raise UsageError(f"the evaluation {str(path)!r} is damaged; evaluate the run again") from error
    # A run may be given as "." or end with "..".
    return ReadSet(run.resolve().name, artifact, tuple(reports))


def evaluation_blocks(read: ReadSet) -> tuple[Block, ...]:
    """Return what the newest evaluation of a set says, for pages that are of more than the set."""
    if not read.reports:
        return ()
    newest = read.reports[0]
    by_class = classes_section(newest, read.artifact.manifest.data.classes)
    more = () if by_class is None else by_class.blocks
    return (headline(newest), *verdict(newest), *accuracy_section(newest).blocks, *more)


def _how(manifest: Manifest) -> str:
    ways = {
        "distilled": f"distilled by {manifest.method.name}",
        "selected": f"chosen by {manifest.method.name}",
        "given": "given as arrays",
    }
    return ways[manifest.kind]


def set_part(read: ReadSet, registry: Registry, beside: Beside | None = None) -> Part:
    """Return what a page says of a set.

    Args:
        read: The set.
        registry: The plugins known.
        beside: What its samples are shown beside, if anything.

    Raises:
        UsageError: If neighbors are asked for of data that have no names.
    """
    manifest = read.artifact.manifest
    data, size = manifest.data, manifest.size
    each = f", {size.ipc} of each class" if size.ipc else ""
    lede = (
        f"{size.decoded:,} samples{each}, {_how(manifest)}, that stand for {data.training_samples} "
        f"of {data.name}."
    )
    if size.decoded != size.stored:
        lede += f" They are decoded from {size.stored:,} stored ones."
    newest = read.reports[0] if read.reports else None
    sections = [Section("At a glance", tuple(_glance(manifest, newest)))]
    if newest is not None:
        sections.append(accuracy_section(newest))
        by_class = classes_section(newest, data.classes)
        if by_class is not None:
            sections.append(by_class)
    sections += [
        samples_section(read.artifact, registry, beside),
        _cost(read),
        _use(manifest),
        _provenance(manifest),
        _repeating(read, registry),
    ]
    return Part(f"{data.name}: {read.name}", f"{data.modality} set, {_how(manifest)}", lede, tuple(sections))


def _glance(manifest: Manifest, report: Report | None) -> list[Block]:
    if report is None:
        size, cost = manifest.size, manifest.cost
        values = {
            "samples": f"{size.decoded:,}",
            "bytes": f"{size.bytes:,}",
            "CPU seconds to make": f"{cost.cpu:,.0f}",
        }
        return [
            Facts(values, large=True),
            Told("It was not evaluated, so that nothing is known of how well networks learn from it.", True),
            Code(f"attar evaluate RUN{_data_option(manifest, None)}", "Evaluate it beside real samples"),
        ]
    return [headline(report), *verdict(report)]


def _cost(read: ReadSet) -> Section:
    manifest = read.artifact.manifest
    size, cost, machine = manifest.size, manifest.cost, manifest.environment
    values = {
        "CPU seconds": f"{cost.cpu:,.1f}",
        "wall seconds": f"{cost.wall:,.1f}",
        "peak memory": f"{cost.peak_bytes / 2**20:,.0f} MiB",
        "made on": f"{machine.machine}, {machine.device}, {machine.precision}, {machine.threads} threads",
        "bytes of all tensors": f"{size.bytes:,}",
        "bytes on disk": f"{size.bytes_on_disk:,}",
    }
    blocks: list[Block] = [Facts(values)]
    if len(read.reports) > 1:
        rows = tuple(
            (each.protocol.name, each.architecture, str(each.accuracy), str(each.accuracy.n))
            for each in read.reports
        )
        columns = ("protocol", "architecture", "test accuracy, %", "runs")
        blocks.append(Table("All evaluations of it, the newest first", columns, rows))
    return Section("What it cost", tuple(blocks))


def _use(manifest: Manifest) -> Section:
    lines = (
        "import attar",
        "",
        'artifact = attar.load("ARTIFACT")',
        "batch = artifact.decode()          # batch.inputs, batch.labels",
        "inputs = artifact.preprocess(raw)  # new inputs as networks take them",
    )
    blocks: list[Block] = [
        Code("\n".join(lines), "In Python"),
        Code("attar train RUN --out network.safetensors", "Train a network on it, without the real data"),
        Code("attar export RUN --format npz", "Files for other software"),
    ]
    if manifest.data.license == "unknown":
        blocks.append(
            Told("The license of the real data is unknown: ask their owner before you share the set.", True)
        )
    blocks.append(
        Told(
            "The samples were made from real ones and can reveal them, persons included: no anonymity is "
            "implied, and no formal privacy guarantee is given."
        )
    )
    return Section("Using it", tuple(blocks))


def _text(value: Any) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _provenance(manifest: Manifest) -> Section:
    data, method, machine = manifest.data, manifest.method, manifest.environment
    values = {
        "real data": f"{data.name} ({data.modality})",
        "license of these": data.license,
        "fingerprint of these": data.fingerprint,
        **decisions(manifest),
        "method": method.name,
        "source": method.reference,
        "made for": method.model or "no architecture",
        "steps": f"{method.steps:,}",
        "seed": str(manifest.seed),
        "made with": f"attar-core {machine.attar}, torch {machine.torch}, Python {machine.python}",
        "SHA-256": manifest.sha256,
    }
    if method.choice:
        values["chosen"] = method.choice
    if method.feature_space:
        values["chosen in"] = f"the feature space {method.feature_space}"
    settings = {**method.settings, **{f"data.{key}": value for key, value in data.options.items()}}
    rows = tuple((name, _text(value)) for name, value in settings.items())
    own = zip(data.classes, data.counts, strict=True) if any(data.counts) else ()
    counts = tuple((name, f"{count:,}") for name, count in own)
    blocks: tuple[Block, ...] = (
        Facts(values),
        Table("Training samples by class", ("class", "samples"), counts, folded=len(counts) > _FOLDED),
        Table("All settings", ("setting", "value"), rows, folded=True),
    )
    if method.validated:
        judged = tuple((f"{step:,}", f"{score:.1f}") for step, score in method.validated)
        title = "Accuracy on held-out data along the way"
        blocks += (Table(title, ("step", "%"), judged, folded=len(judged) > _FOLDED),)
    return Section("Where it comes from", blocks)


def _data_option(manifest: Manifest, registry: Registry | None) -> str:
    """Return the option that names data which are not known by name."""
    data = manifest.data
    known = (registry or Registry()).get("modalities", data.modality).datasets()
    return "" if data.name in known else f" --data {shlex.quote(f'PATH-OF-{data.name}')}"


def _changes(now: Mapping[str, Any], then: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what changes settings of one kind into others, as options."""
    said: list[str] = []
    for key, value in now.items():
        before = then.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            said += _changes(value, before, f"{prefix}.{key}")
        elif value != before and key != "name":
            said.append(f"--set {shlex.quote(f'{prefix}.{key}={value}')}")
    return said


def _evaluation(report: Report, known: Mapping[str, Protocol], model: str) -> list[str]:
    """Return the options that repeat an evaluation."""
    name = report.protocol.name.rstrip("*")
    said = [f"--protocol {name}"]
    if name in known:
        now, then = report.protocol.model_dump(mode="json"), known[name].model_dump(mode="json")
        said += _changes(now, then, "protocol")
    if report.architecture != model:
        said.append(f"--model {shlex.quote(report.architecture)}")
    said += [f"--architecture {shlex.quote(name)}" for name in report.architectures]
    if report.equal_bytes is not None:
        said.append("--equal-bytes")
    return said


def _repeating(read: ReadSet, registry: Registry) -> Section:
    manifest = read.artifact.manifest
    data = _data_option(manifest, registry)
    if not read.artifact.recipe:
        return Section(
            "Repeating it",
            (Told("It has no recipe: it was not made by a run of Attar, or by an older one."),),
        )
    blocks: list[Block] = [
        Code(f"attar run recipe.toml{data} --out again", "Make it again, from the recipe below"),
    ]
    if read.reports:
        newest = read.reports[0]
        options = _evaluation(newest, read.artifact.domain(registry).protocols, manifest.method.model)
        blocks.append(
            Code(" ".join([f"attar evaluate again{data}", *options]), "Evaluate it as it was evaluated here")
        )
        if newest.n_sets > 1:
            blocks.append(
                Told(
                    f"The figures are of {newest.n_sets} sets, which differ in their seeds: repeat the first "
                    f"command with --set run.seed=… for each, and name all of them in the second."
                )
            )
    blocks.append(
        Told(
            "The same type of machine, versions, device, precision and number of threads give the same "
            "bytes; others give figures that differ a little."
        )
    )
    blocks.append(Code(read.artifact.recipe, "recipe.toml", folded=True))
    return Section("Repeating it", tuple(blocks))
