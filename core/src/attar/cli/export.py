"""``attar export`` and ``attar push``: a set handed on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attar import exports, hub
from attar.allocator import keep_memory
from attar.artifact import load
from attar.artifact.remote import is_remote, parse_address
from attar.cli import tables
from attar.cli.work import Source, below, data_of, options_of
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings
from attar.exports import AccuracyChange, ExportRecord
from attar.jobs import parse_workers
from attar.protocols import protocol
from attar.registry import Registry

__all__ = ["ExportResult", "Source", "export", "push"]


class ExportResult(ExportRecord):
    """What ``attar export --json`` prints.

    Attributes:
        accuracy: What rounding costs in accuracy, where it was asked for.
    """

    accuracy: AccuracyChange | None = None


def _beside(run: str, format: str) -> Path:
    """Return the folder beside a run that its export goes to."""
    if is_remote(run):
        return Path(f"{parse_address(run).repo.partition('/')[2]}-{format}")
    place = Path(run) if Path(run).name not in ("", "..") else Path(run).resolve()
    return place.with_name(f"{place.name}-{format}")


def export(
    run: str,
    *,
    format: str,
    dtype: str,
    out: Path | None,
    force: bool,
    accuracy: bool,
    test: bool,
    source: Source,
    protocol_name: str,
    model: str | None,
    seed: int,
    changes: Mapping[str, str],
    workers: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export a set and say what that changed."""
    keep_memory()
    odd = [key for key in changes if not key.startswith(("protocol.", "data."))]
    if odd:
        raise UsageError(f"unknown setting {odd[0]!r}: --accuracy has settings 'protocol.…' and 'data.…'")
    if not accuracy and (model or below("protocol.", changes)):
        raise UsageError("--model and --set protocol.… say how accuracy is measured; add --accuracy")
    if not (accuracy or test) and (source.data or changes):
        raise UsageError("the real data are used with --accuracy or --test; add one of them")
    registry = Registry()
    artifact = load(run, registry=registry)
    shown = not quiet and not as_json
    # What is wrong with the data is said before anything is written.
    task = None
    if accuracy or test:
        task = source.load(data_of(artifact, registry, options_of(changes)), shown)
    settings = EvaluationSettings(
        protocol=protocol(protocol_name, below("protocol.", changes), artifact.domain(registry).protocols),
        model=model or "",
        seed=seed,
        workers=parse_workers(workers),
        show=shown,
    )
    record = exports.export(
        artifact,
        out or _beside(run, format),
        format,
        dtype=dtype,
        force=force,
        test=task if test else None,
        registry=registry,
    )
    change = None
    if task is not None and accuracy:
        change = exports.accuracy_change(
            artifact, task, format, dtype=dtype, settings=settings, registry=registry
        )
    result = ExportResult(**record.model_dump(), accuracy=change)
    if as_json:
        tables.print_json(result)
    else:
        tables.print_pairs(_rows(result))


def _rows(result: ExportResult) -> dict[str, str]:
    """Return what people are told."""
    rows = {
        "folder": result.folder,
        "format": f"{result.format}, values as {result.dtype}",
        "written": f"{result.samples:,} samples in {result.files:,} files, {result.bytes:,} bytes",
        "rounding": f"changes values by {result.mean:.2g} on average and {result.largest:.2g} at most, in "
        f"standard deviations of the real data",
    }
    if result.clipped:
        rows["cut off"] = f"{result.clipped:.1%} of the values lie outside of what {result.dtype} holds"
    found = result.accuracy
    if found is not None:
        rows["accuracy"] = (
            f"{found.stored} % as stored, {found.exported} % as exported: {found.change:+.1f} points"
        )
    elif result.mean > 0.01:
        rows["accuracy"] = "measure what that costs with --accuracy"
    return rows


def push(run: str, repo: str, *, private: bool, license: str, message: str, as_json: bool) -> None:
    """Publish an artifact and say where it is, and what it may reveal."""
    record = hub.push(load(run), repo, private=private, license=license, message=message)
    if as_json:
        tables.print_json(record)
        return
    tables.print_pairs(
        {
            "data set": record.url + (" (private)" if record.private else ""),
            "load it": f'attar.load("hf://{record.repo}")',
            "license": record.license,
            "note": record.note,
        }
    )
