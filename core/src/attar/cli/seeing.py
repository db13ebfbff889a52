"""``attar show``: what a set is, its picture, how it came about, and plots of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from attar.artifact import Artifact, Manifest, load
from attar.cli import tables
from attar.cli.work import Source, data_of, options_of
from attar.errors import UsageError
from attar.evolution import animation, frame_paths
from attar.files import read_json, to_json, write_file
from attar.folders import staged_folder
from attar.neighbors import SampleInfo, sample_infos
from attar.plots import accuracy_plot, confusion_plot
from attar.plugins import HasCompanions
from attar.registry import Registry
from attar.reports import Report
from attar.settings import unknown

__all__ = ["PLOTS", "Shown", "show"]


class Shown(Manifest):
    """What ``attar show --json`` prints: the manifest, and what each sample is like where that was asked for.

    Attributes:
        samples: What each decoded sample is like; left out where it was not asked for.
    """

    samples: tuple[SampleInfo, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What samples are shown beside.

    Attributes:
        source: Where the real data are; its ``data`` is None to name no neighbors.
        nearest: Real samples that are named for each.
        changes: Settings of the data.
    """

    source: Source
    nearest: int
    changes: Mapping[str, str]

    def asked(self) -> bool:
        """Return whether samples are to be shown at all."""
        return self.source.data is not None or bool(self.changes)

    def samples(self, artifact: Artifact, registry: Registry, show: bool) -> tuple[SampleInfo, ...]:
        """Return what each sample of a set is like.

        Raises:
            UsageError: If the data are missing or of another kind, or a setting is unknown.
        """
        odd = next((key for key in self.changes if not key.startswith("data.")), None)
        if odd is not None:
            raise UsageError(f"unknown setting {odd!r}: a set is shown with settings 'data.…' of its data")
        resolved = data_of(artifact, registry, options_of(self.changes))
        task = None if self.source.data is None else self.source.load(resolved, show)
        info = replace(artifact.info, options=resolved.recipe.data.options)
        modality = registry.get("modalities", artifact.manifest.data.modality)
        return sample_infos(artifact.decode(), info, modality, task, self.nearest)


def _report(run: Path) -> Report:
    """Return the newest evaluation of a run.

    Raises:
        UsageError: If there is none, or it is damaged.
    """
    found = sorted((run / "evaluations").glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError(f"the run {str(run)!r} has not been evaluated; run 'attar evaluate {run}' first")
    try:
        return Report.model_validate(read_json(found[-1]))
    except ValidationError as error:
        raise UsageError(f"the evaluation {str(found[-1])!r} is damaged; evaluate the run again") from error


def _confusion(runs: Sequence[Path], artifacts: Sequence[Artifact]) -> bytes:
    if len(runs) != 1:
        raise UsageError("a confusion matrix is drawn of one run; name one")
    report = _report(runs[0])
    if report.confusion is None:
        raise UsageError(f"the evaluation of {str(runs[0])!r} has no confusion matrix; evaluate it again")
    return confusion_plot(report.confusion, artifacts[0].manifest.data.classes)


def _by_size(runs: Sequence[Path], artifacts: Sequence[Artifact]) -> bytes:
    sizes = [each.manifest.size.stored / len(each.manifest.data.classes) for each in artifacts]
    return accuracy_plot(list(zip(sizes, map(_report, runs), strict=True)), "ipc")


def _by_cost(runs: Sequence[Path], artifacts: Sequence[Artifact]) -> bytes:
    seconds = [max(each.manifest.cost.cpu, 1e-3) for each in artifacts]
    return accuracy_plot(list(zip(seconds, map(_report, runs), strict=True)), "cpu")


PLOTS: Mapping[str, Callable[[Sequence[Path], Sequence[Artifact]], bytes]] = {
    "confusion": _confusion,
    "ipc": _by_size,
    "cpu": _by_cost,
}
"""What ``--plot`` draws: a confusion matrix, accuracy against size, accuracy against cost."""


def _picture(runs: Sequence[Path], artifact: Artifact, registry: Registry, out: Path) -> bytes:
    if len(runs) != 1:
        raise UsageError("a picture is drawn of one run; name one, or choose a --plot")
    if out.suffix.lower() == ".gif":
        return animation(frame_paths(runs[0]))
    modality = registry.get("modalities", artifact.manifest.data.modality)
    picture: bytes = modality.render(artifact.decode(), artifact.info)
    return picture


def _write_folder(out: Path, picture: bytes, artifact: Artifact, registry: Registry, force: bool) -> None:
    """Write the picture, and what the modality offers beside it, into a folder that appears whole."""
    modality = registry.get("modalities", artifact.manifest.data.modality)
    with staged_folder(out, force=force, kind="picture") as aside:
        (aside / "picture.png").write_bytes(picture)
        (aside / "shown.json").write_bytes(to_json(artifact.manifest.model_dump(mode="json")))
        if isinstance(modality, HasCompanions):
            for name, content in modality.companions(artifact.decode(), artifact.info):
                (aside / name).write_bytes(content)


def show(
    runs: Sequence[Path], *, plot: str | None, out: Path | None, beside: Beside, force: bool, as_json: bool
) -> int:
    """Say what a set is and, if asked, write its picture, its animation or a plot."""
    if plot is not None and plot not in PLOTS:
        raise UsageError(unknown("plot", plot, PLOTS))
    if plot is not None and out is None:
        raise UsageError(f"say where the plot is to be written, as in --plot {plot} --out {plot}.png")
    if out is None and len(runs) > 1:
        raise UsageError("several runs are shown by --plot ipc or --plot cpu; name one run, or choose a plot")
    if beside.asked() and len(runs) > 1:
        raise UsageError("samples are shown of one run; name one, or leave out --data and --set")
    registry = Registry()
    artifacts = [load(run, registry=registry) for run in runs]
    if out is not None:
        if out.exists() and not force:
            raise UsageError(f"the file {str(out)!r} exists; choose another --out or replace it with --force")
        drawn = _picture(runs, artifacts[0], registry, out) if plot is None else PLOTS[plot](runs, artifacts)
        if plot is None and not out.suffix:
            _write_folder(out, drawn, artifacts[0], registry, force)
        else:
            write_file(out, drawn)
    manifest = artifacts[0].manifest
    samples = beside.samples(artifacts[0], registry, not as_json) if beside.asked() else ()
    if as_json:
        tables.print_json(Shown(**dict(manifest), samples=samples) if beside.asked() else manifest)
    elif plot is not None:
        tables.print_pairs({"plot": str(out)})
    else:
        tables.print_manifest(manifest, runs[0], out)
        if samples:
            tables.print_samples(samples)
    return 0
