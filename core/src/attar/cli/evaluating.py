"""``attar evaluate``: runs, artifacts, or sets that other software made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.api import from_arrays, name_of
from attar.artifact import Artifact, load
from attar.artifact.remote import is_remote
from attar.artifact.store import fetched
from attar.cli import tables
from attar.cli.telling import tell
from attar.cli.work import Source, begin, below, data_of, options_of
from attar.contracts import Task
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings, evaluate_sets, evaluation_cost
from attar.files import to_json, write_file
from attar.jobs import parse_workers
from attar.protocols import Protocol, protocol
from attar.recipe import DataRecipe, Recipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.reports import Report
from attar.settings import parse

__all__ = ["Training", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, as options say it.

    Attributes:
        protocol: Name of a protocol; "" for what suits the data.
        baselines: Names with commas, ``all`` or ``none``.
        model: Architecture, or None for the one that the sets are meant for.
        architectures: Further ones.
        equal_bytes: Whether random real samples of as many bytes are evaluated too.
        seed: Seed of the networks.
        workers: Processes; None for as many as there are cores.
    """

    protocol: str
    baselines: str
    model: str | None
    architectures: Sequence[str]
    equal_bytes: bool
    seed: int
    workers: str | None

    def settings(self, chosen: Protocol, show: bool) -> EvaluationSettings:
        """Return the settings of the evaluation by a protocol."""
        return EvaluationSettings(
            protocol=chosen,
            baselines=self.baselines,
            model=self.model or "",
            architectures=self.architectures,
            equal_bytes=self.equal_bytes,
            seed=self.seed,
            workers=parse_workers(self.workers),
            show=show,
        )


def evaluate(
    what: Sequence[str],
    *,
    source: Source,
    training: Training,
    per_class: bool,
    changes: Mapping[str, str],
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Evaluate sets and say what came of it, or what it would take; return the exit code."""
    begin(verbose)
    registry = Registry()
    modality, names = _split(what, registry)
    odd = [key for key in changes if not key.startswith(("protocol.", "data."))]
    if odd:
        raise UsageError(
            f"unknown setting {odd[0]!r}: an evaluation has settings 'protocol.…', and 'data.…' "
            f"for how data are loaded"
        )
    job = _Job(source, training.protocol, changes, registry, not quiet and not as_json)
    arrays = [name for name in names if _is_arrays(name)]
    if arrays and len(arrays) < len(names):
        raise UsageError(
            f"{arrays[0]!r} is a set given as arrays, and runs stand beside it; evaluate them apart"
        )
    paths = [Path(name) if arrays else fetched(name) for name in names]
    task, sets, chosen = (_given if arrays else _runs)(modality, paths, job)
    settings = training.settings(chosen, job.show)
    if dry_run:
        cost = evaluation_cost(task, sets, settings, registry)
        if as_json:
            tables.print_json(cost)
        else:
            tables.print_cost(cost)
        return 0
    try:
        report = evaluate_sets(task, sets, settings, registry)
    except KeyboardInterrupt:
        tell("stopped; the same command goes on from the networks that are finished")
        raise SystemExit(130) from None
    _keep(report, paths[0])
    if as_json:
        tables.print_json(report)
    else:
        tables.print_report(report, per_class=per_class)
    return 0


def _split(what: Sequence[str], registry: Registry) -> tuple[str | None, list[str]]:
    """Return the modality, if one is named first, and what is evaluated."""
    names = list(what)
    modality = None
    if names[0] in registry.names("modalities"):
        rest = names[1:]
        # A folder may have the name of a modality, but no run is evaluated beside arrays.
        if not Path(names[0]).exists() or (rest and all(map(_is_arrays, rest))):
            modality = names.pop(0)
    if not names:
        raise UsageError("name a run or an artifact to evaluate")
    return modality, names


def _is_arrays(name: str) -> bool:
    return name.endswith(".npz") and not is_remote(name) and not Path(name).is_dir()


@dataclass(frozen=True)
class _Job:
    """What is needed to find sets, data and protocol."""

    source: Source
    protocol: str
    changes: Mapping[str, str]
    registry: Registry
    show: bool

    def choose(self, known: Mapping[str, Protocol]) -> Protocol:
        """Return the protocol asked for, out of those that suit the data."""
        return protocol(self.protocol, below("protocol.", self.changes), known)


def _runs(modality: str | None, paths: Sequence[Path], job: _Job) -> tuple[Task, list[Artifact], Protocol]:
    """Return data, sets and protocol of runs or artifacts."""
    sets = [load(path, registry=job.registry) for path in paths]
    chosen = job.choose(sets[0].domain(job.registry).protocols)
    record = sets[0].manifest.data
    if modality is not None and modality != record.modality:
        raise UsageError(f"{str(paths[0])!r} is of modality {record.modality!r}, not {modality!r}")
    resolved = data_of(sets[0], job.registry, options_of(job.changes))
    return job.source.load(resolved, job.show), sets, chosen


def _given(modality: str | None, paths: Sequence[Path], job: _Job) -> tuple[Task, list[Artifact], Protocol]:
    """Return data, sets and protocol of files of arrays, which do not say of what data they are."""
    if modality is None:
        known = ", ".join(job.registry.names("modalities"))
        raise UsageError(
            f"{str(paths[0])!r} does not say what kind of data it holds; name the modality before it: {known}"
        )
    if job.source.data is None:
        raise UsageError(f"{str(paths[0])!r} does not say what data it stands for; name them with --data")
    # Before the data are loaded, which takes longer.
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise UsageError(f"there is no file {str(missing)!r}; give the path of a .npz file")
    known_data = job.registry.get("modalities", modality).datasets()
    data = {
        "modality": modality,
        "name": name_of(job.source.data, known_data),
        "options": options_of(job.changes),
    }
    recipe = Recipe(data=parse(DataRecipe, data, "data"), size=SizeRecipe(ipc=1), method="random")
    task = job.source.load(resolve(recipe, job.registry), job.show)
    # Several sets of one method differ in their seeds, which the files do not hold.
    sets = [from_arrays(task, path, seed=seed, registry=job.registry) for seed, path in enumerate(paths)]
    return task, sets, job.choose(task.protocols)


def _keep(report: Report, path: Path) -> None:
    """Write a report beside the artifact of a run, which is itself never changed."""
    if not (path / "artifact").is_dir():
        return
    target = path / "evaluations" / f"{report.protocol.name.rstrip('*')}-{report.protocol.digest()}.json"
    write_file(target, to_json(report.model_dump(mode="json")))
