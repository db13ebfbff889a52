"""``attar demo``: the main job on handwritten digits that ship with scikit-learn."""

from __future__ import annotations

from pathlib import Path

from pydantic import RootModel

import attar
from attar.allocator import keep_memory
from attar.cli import tables
from attar.evaluation import EvaluationSettings, evaluate_sets
from attar.files import check_free, check_ours, staged_folder, to_json
from attar.jobs import default_workers
from attar.protocols import protocol
from attar.reports import Report

__all__ = ["DemoResult", "run_demo"]


class DemoResult(RootModel[dict[str, Report]]):
    """What ``attar demo --json`` prints: an evaluation for each number of samples per class."""


def run_demo(
    modality: str, out: Path, *, force: bool, workers: int | None, quick: bool, show: bool, as_json: bool
) -> None:
    """Distill digits at 1 and 10 samples per class, evaluate, write artifacts and pictures."""
    check_free(out, force)
    check_ours(out)
    keep_memory()
    task = attar.task(modality, data="digits")
    if show:
        print(
            f"{task.name}: {task.size('train'):,} handwritten digits of 8 x 8 pixels from scikit-learn "
            f"become 10 and 100."
        )
    seeds = range(1) if quick else range(3)
    chosen = protocol("cpu-1", {"networks": 1, "epochs": 100} if quick else {"networks": 2})
    settings = EvaluationSettings(protocol=chosen, workers=workers or default_workers(), show=show)
    reports: dict[str, Report] = {}
    with staged_folder(out, force=force) as folder:
        for ipc in (1, 10):
            sets = [
                attar.distill(task, ipc=ipc, seed=seed, steps=100 if quick else 1000, show=show)
                for seed in seeds
            ]
            report = evaluate_sets(task, sets, settings)
            reports[f"ipc-{ipc}"] = report
            sets[0].save(folder / f"ipc-{ipc}" / "artifact")
            (folder / f"ipc-{ipc}" / "report.json").write_bytes(to_json(report.model_dump(mode="json")))
            if not as_json:
                print(f"\n{ipc} per class ({report.bytes:,} bytes)")
                tables.print_report(report)
    if as_json:
        tables.print_json(DemoResult(reports))
    else:
        print(
            f"\nPictures: {out / 'ipc-1' / 'artifact' / 'preview.png'} and ipc-10; next: attar distill --help"
        )
