"""Carrying out a recipe: from its data to an artifact."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from attar.architectures import check_model, code_of
from attar.artifact import Artifact, Environment, MethodRecord, data_record, load, make_artifact
from attar.contracts import State, Task
from attar.cost import Cost, Meter
from attar.errors import InternalError, UsageError
from attar.evolution import animation, frame_paths, recorder
from attar.files import write_file
from attar.first_step import check_first_step
from attar.held_out import Validation, check_choice, validation
from attar.plugins import MethodSettings, meant_for
from attar.precision_choice import decided
from attar.progress import Advance, progress, silent
from attar.recipe import DataRecipe, Resolved
from attar.registry import Registry
from attar.restarts import best_run, clear_runs, several
from attar.rng import derive
from attar.run_folder import RunFolder, RunSettings
from attar.runner import Outcome, RunOptions, StepRecord, check, run
from attar.saved import SavedStateError
from attar.selectors import Selection, check_averages, check_space, feature_model, select
from attar.sizing import set_spec, start, storage_settings
from attar.tracking import tracked

__all__ = ["RunSettings", "check_recipe", "data_used", "distill_recipe", "interruptible", "storage_settings"]

logger = logging.getLogger(__name__)


def _endings() -> list[signal.Signals]:
    """Return the signals that ask a run to end, of those that this platform has.

    Windows has no SIGHUP, which says that the terminal went away; only Windows has SIGBREAK,
    its second Ctrl-C. What ``nohup`` told to ignore stays ignored.
    """
    known = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    kinds = [getattr(signal, name) for name in known if hasattr(signal, name)]
    return [kind for kind in kinds if kind == signal.SIGINT or signal.getsignal(kind) != signal.SIG_IGN]


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or another request to end has come.

    The first one lets the current step finish and save; a second one ends at once.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {kind: signal.signal(kind, note) for kind in _endings()}
    try:
        yield asked.is_set
    finally:
        for kind, handler in before.items():
            # None: a handler that was not set from Python, which Python cannot set again.
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


def check_recipe(task: Task, resolved: Resolved, registry: Registry | None = None) -> None:
    """Refuse, before any work, a model, a feature space or runs that are unknown or do not fit.

    Args:
        task: The real data.
        resolved: The recipe.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: Naming it.
    """
    recipe = resolved.recipe
    if resolved.method is not None and resolved.settings is not None:
        _check_own_model(task, recipe.method, resolved.settings)
        settings = resolved.settings
        check(task, resolved.method.build(settings), settings.model, recipe.run.seed, settings.networks)
        check_first_step(task, resolved, registry or Registry())
        check_choice(task, resolved.settings)
    else:
        space = str(recipe.objective.get("space", "input"))
        check_space(space)
        needs = () if space == "input" else ("embed",)
        check_model(task, str(recipe.objective.get("model", "")), recipe.run.seed, needs)
        check_averages(task, resolved.selector, recipe.method)


def _check_own_model(task: Task, method: str, settings: MethodSettings) -> None:
    """Refuse a method whose own model is none of the data's, as that of a method for graphs on images."""
    own = str(type(settings).model_fields["model"].default)
    name = own.partition(",")[0]
    if name and ":" not in name and settings.model == own and name not in task.architectures:
        raise UsageError(
            f"the method {method!r} is for data with the architecture {name!r}, which {task.name!r} lacks; "
            f"choose another method, or an architecture of these data with --set model=NAME"
        )


def distill_recipe(task: Task, resolved: Resolved, settings: RunSettings, registry: Registry) -> Artifact:
    """Carry out a resolved recipe.

    Args:
        task: The real data that the recipe names.
        resolved: The recipe.
        settings: How it is carried out.
        registry: The plugins known.

    Returns:
        The artifact, written to ``out/artifact`` where an output folder is given.

    Raises:
        UsageError: If something does not fit.
        Stopped: If the run was stopped; it can be resumed.
    """
    recipe = resolved.recipe
    recipe = recipe.model_copy(update={"data": data_used(task, recipe.data)})
    resolved = replace(resolved, recipe=recipe)
    place, ranks, given = settings.out, settings.ranks, settings
    settings = settings if ranks.rank == 0 else settings.silent()
    if settings.out is None:
        settings.check()
    check_recipe(task, resolved, registry)
    resolved = decided(task, resolved, given, registry)
    recipe = resolved.recipe
    several(resolved, settings)
    environment = Environment.current(str(settings.device), recipe.run.precision)
    code = code_of(str(recipe.objective.get("model", "")) or task.architecture, task.architectures)
    with ExitStack() as stack:
        folder = None
        if settings.out is not None:
            folder = stack.enter_context(RunFolder(recipe, settings, environment, code))
        return _carried_out(task, resolved, settings, environment, folder or place, registry)


def _carried_out(
    task: Task,
    resolved: Resolved,
    settings: RunSettings,
    environment: Environment,
    place: RunFolder | Path | None,
    registry: Registry,
) -> Artifact:
    """Return the artifact of a run.

    `place` is its folder, which no other process writes to; for a process that writes nothing, the path.
    """
    ranks = settings.ranks
    folder = place if isinstance(place, RunFolder) else None
    again = several(resolved, settings)
    if ranks.share(folder is not None and settings.resume and folder.finished()):
        logger.info("the run is complete already")
        complete = load(place.path if isinstance(place, RunFolder) else place or Path(), registry=registry)
        if folder is not None:
            folder.take_place()
        return complete
    if again:
        if folder is not None:
            folder.begin(settings)
        artifact = best_run(
            task,
            resolved,
            settings,
            None if folder is None else folder.path,
            lambda each, how: distill_recipe(task, each, how, registry),
        )
    elif resolved.selector is not None:
        artifact = _selected(task, resolved, environment, registry)
        if folder is not None:
            folder.begin(settings)
    else:
        artifact = _distilled(task, resolved, settings, environment, folder, registry)
    if folder is not None:
        folder.finish(artifact)
        if again:
            clear_runs(folder.target)
    return artifact


def data_used(task: Task, data: DataRecipe) -> DataRecipe:
    """Return what a recipe says of its data, as they are; warn if they are not those that it was made of."""
    if data.fingerprint and data.fingerprint != task.fingerprint:
        logger.warning(
            "the data %r are not those of the recipe: their fingerprint is %s, not %s",
            task.name,
            task.fingerprint,
            data.fingerprint,
        )
    # The task says how it was loaded: it names things that a user gave as paths of this machine.
    return data.model_copy(update={"fingerprint": task.fingerprint, "options": dict(task.options)})


def _selected(task: Task, resolved: Resolved, environment: Environment, registry: Registry) -> Artifact:
    recipe, meter = resolved.recipe, Meter()
    space = str(recipe.objective.get("space", "input"))
    model = feature_model(task, space, str(recipe.objective.get("model", "")), recipe.run.seed)
    _, per_class = start(task, resolved, registry)
    chosen = select(task, resolved.selector, per_class, model, recipe.run.seed, recipe.method)
    spec = set_spec(task, resolved, registry)
    syn = task.synthesize(chosen.batch(task), spec, derive(recipe.run.seed, "synthesize"))
    record = MethodRecord(
        name=recipe.method,
        reference=resolved.selector.summary,
        settings=dict(recipe.objective),
        feature_space=space if resolved.selector.uses_features else None,
        # Means are of many rows, and no rows themselves.
        rows=tuple(chosen.rows.tolist()) if isinstance(chosen, Selection) else None,
    )
    return make_artifact(
        task,
        resolved.modality,
        syn,
        kind="selected",
        method=record,
        seed=recipe.run.seed,
        cost=meter.read(),
        environment=environment,
        options=recipe.data.options,
        recipe=recipe.to_toml(),
    )


def _distilled(
    task: Task,
    resolved: Resolved,
    settings: RunSettings,
    environment: Environment,
    folder: RunFolder | None,
    registry: Registry,
) -> Artifact:
    recipe, method, chosen = resolved.recipe, resolved.method, resolved.settings
    if method is None or chosen is None:
        raise InternalError("a recipe without a method was distilled")
    meant = meant_for(method, chosen, task.architecture)
    judged = validation(task, chosen, meant, recipe.run.seed, settings.device)
    outcome = None
    while outcome is None:
        outcome = _run_from_newest(task, resolved, settings, folder, judged, registry)
    if settings.frames:
        place = Path() if folder is None else folder.path
        write_file(place / "evolution.gif", animation(frame_paths(place)))
    record = MethodRecord(
        name=recipe.method,
        reference=method.reference,
        settings=dict(recipe.objective),
        model=meant,
        steps=chosen.steps,
        learned=dict(outcome.learned),
        validated=tuple((step, round(score, 4)) for step, score in outcome.validated),
    )
    return make_artifact(
        task,
        resolved.modality,
        outcome.syn,
        kind="distilled",
        method=record,
        seed=recipe.run.seed,
        cost=outcome.cost,
        environment=environment,
        options=recipe.data.options,
        recipe=recipe.to_toml(),
    )


def _run_from_newest(
    task: Task,
    resolved: Resolved,
    settings: RunSettings,
    folder: RunFolder | None,
    judged: Validation | None,
    registry: Registry,
) -> Outcome | None:
    """Return what comes of a run, or None where the checkpoint that it went on from was none of its own.

    That one is passed over when the run is begun again, as one that is damaged.
    """
    method, chosen = resolved.method, resolved.settings
    if method is None or chosen is None:
        raise InternalError("a recipe without a method was distilled")
    syn, _ = start(task, resolved, registry)
    with _options(task, resolved, settings, folder, chosen.steps) as (resume, options):
        try:
            return run(
                task,
                method.build(chosen),
                syn,
                steps=chosen.steps,
                optim=method.optimizers(chosen),
                seed=resolved.recipe.run.seed,
                subjects=chosen.subjects,
                classes_at_once=chosen.classes_at_once,
                validation=judged,
                resume=resume,
                options=options,
            )
        except SavedStateError as error:
            if resume is None:
                raise
            logger.warning("the checkpoint of step %d is passed over: %s", resume[0], error)
            if folder is not None:
                folder.checkpoints.reject(resume[0])
    return None


@contextmanager
def _options(
    task: Task, resolved: Resolved, settings: RunSettings, folder: RunFolder | None, steps: int
) -> Iterator[tuple[tuple[int, State, Cost] | None, RunOptions]]:
    """Begin in the folder, where there is one; yield what is continued, and how the run is carried out."""
    recipe = resolved.recipe
    found = folder.begin(settings) if folder is not None else None
    resume = None if found is None else (found.step, found.state, Cost(**found.meta["cost"]))
    resume = settings.ranks.share(resume)
    every = max(1, steps // 200)

    def log(record: StepRecord) -> None:
        if folder is not None and (record.step % every == 0 or record.step == record.steps):
            folder.note(record)

    shown = progress if settings.show else silent
    doing = f"distilling {task.name} with {recipe.method}"
    place = Path() if folder is None else folder.path
    watchers = [*settings.callbacks, log, *_frames(task, resolved, place, settings.frames)]
    sent = tracked(settings.trackers, place, recipe.to_toml())
    with shown(steps, doing) as advance, sent as send:
        yield (
            resume,
            RunOptions(
                device=settings.device,
                bf16=recipe.run.precision == "bf16",
                callbacks=(*watchers, send, _teller(advance)),
                save=None if folder is None else folder.save,
                save_every=recipe.run.checkpoint_every,
                stop=settings.stop,
                experts=settings.experts,
                counted=settings.counted,
                tell=lambda note: advance(0, note),
                ranks=settings.ranks,
            ),
        )


def _frames(task: Task, resolved: Resolved, folder: Path, frames: int) -> list[Callable[[StepRecord], None]]:
    if not frames:
        return []
    return [recorder(resolved.modality, data_record(task, task.options).info, folder, frames)]


def _teller(advance: Advance) -> Callable[[StepRecord], None]:
    def tell(record: StepRecord) -> None:
        rate = record.step / max(record.cost.wall, 1e-9)
        advance(record.step, f"loss {record.loss:.4g}, {rate:.1f} steps/s")

    return tell
