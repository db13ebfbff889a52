"""``attar demo``: the main job on small data that a modality brings with it."""

from __future__ import annotations

from pathlib import Path

from pydantic import RootModel

import attar
from attar.allocator import keep_memory
from attar.cli import tables
from attar.contracts import Task
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings, evaluate_sets
from attar.files import to_json
from attar.folders import check_free, staged_folder
from attar.jobs import default_workers
from attar.plugins import Demonstrates, DemoSpec, Modality
from attar.protocols import protocol
from attar.registry import Registry
from attar.reports import Report

__all__ = ["DIGITS", "DemoResult", "demo_of", "digits_demo", "run_demo"]

DIGITS = "digits"
"""Data that are demonstrated where a modality names no others."""


class DemoResult(RootModel[dict[str, Report]]):
    """What ``attar demo --json`` prints: an evaluation for each number of samples per class."""


def digits_demo(quick: bool) -> DemoSpec:
    """Return the demonstration of the modalities that know scikit-learn's digits."""
    return DemoSpec(
        data=DIGITS,
        samples="handwritten digits of 8 x 8 pixels from scikit-learn",
        per_class=(1, 10),
        seeds=1 if quick else 3,
        settings={"steps": 100 if quick else 1000},
        protocol={"networks": 1, "epochs": 100} if quick else {"networks": 2},
    )


def demo_of(modality: Modality, name: str, quick: bool) -> DemoSpec:
    """Return what is demonstrated of a modality: what it says itself, or digits where it knows them.

    Raises:
        UsageError: If it has no demonstration.
    """
    if isinstance(modality, Demonstrates):
        return modality.demo(quick)
    if DIGITS in modality.datasets():
        return digits_demo(quick)
    raise UsageError(f"the modality {name!r} has no demo; try another, as in 'attar demo tensor'")


def run_demo(
    modality: str, out: Path, *, force: bool, workers: int | None, quick: bool, show: bool, as_json: bool
) -> None:
    """Distill what a modality demonstrates, evaluate, write artifacts and pictures."""
    registry = Registry()
    spec = demo_of(registry.get("modalities", modality), modality, quick)
    check_free(out, force, "demo")
    keep_memory()
    task = attar.task(modality, data=spec.data, registry=registry, **spec.options)
    if show:
        sizes = " and ".join(f"{ipc * len(task.classes):,}" for ipc in spec.per_class)
        print(f"{task.name}: {task.size('train'):,} {spec.samples} become {sizes}.")
    settings = EvaluationSettings(
        protocol=protocol("", spec.protocol, task.protocols),
        workers=workers or spec.workers or default_workers(),
        show=show,
    )
    reports: dict[str, Report] = {}
    with staged_folder(out, force=force, kind="demo") as folder:
        for ipc in spec.per_class:
            report = _demonstrate(task, spec, ipc, settings, folder / f"ipc-{ipc}", registry)
            reports[f"ipc-{ipc}"] = report
            if not as_json:
                print(f"\n{ipc} per class ({report.bytes:,} bytes)")
                tables.print_report(report)
    if as_json:
        tables.print_json(DemoResult(reports))
        return
    first, *others = reports
    pictures = " and ".join([str(out / first / "artifact" / "preview.png"), *others])
    print(f"\nPicture{'s' if others else ''}: {pictures}; next: attar distill --help")


def _demonstrate(
    task: Task, spec: DemoSpec, ipc: int, settings: EvaluationSettings, folder: Path, registry: Registry
) -> Report:
    """Make sets of one size, keep the first, and evaluate them."""
    sets = [
        attar.distill(
            task,
            method=spec.method,
            ipc=ipc,
            seed=seed,
            show=settings.show,
            registry=registry,
            **spec.settings,
        )
        for seed in range(spec.seeds)
    ]
    report = evaluate_sets(task, sets, settings, registry)
    sets[0].save(folder / "artifact")
    (folder / "report.json").write_bytes(to_json(report.model_dump(mode="json")))
    return report
