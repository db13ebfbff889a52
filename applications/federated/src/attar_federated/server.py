"""The server of a federated run: rounds that are counted, tested, saved and resumed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from attar.artifact import Artifact, data_record, load
from attar.contracts import Task
from attar.cost import Cost, Meter
from attar.errors import DivergenceError, UsageError
from attar.files import read_json, to_json, write_file
from attar.folders import check_free, staged_folder
from attar.owned import FileList, claim
from attar.registry import Registry
from attar.reports import Score
from attar.rng import derive
from attar.settings import Record, parse
from attar.trained import ModelRecord, Trained, load_model
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from attar_federated.around import load_weights
from attar_federated.clients import one_thread
from attar_federated.grid import Bytes, CountingGrid, Interrupted, wait_for
from attar_federated.learning import by_chance, held_out, learned, tested
from attar_federated.privacy import guarantee, public_record, public_task
from attar_federated.results import Dropped, FederatedResult, Round
from attar_federated.setting import Setting, state_arrays
from attar_federated.settings import FederatedRecipe
from attar_federated.strategies import strategy_for

__all__ = ["KIND", "Outcome", "ServerOptions", "serve"]

logger = logging.getLogger(__name__)

RESULT, RECIPE, MODEL = "result.json", "recipe.toml", "model.safetensors"
LOG = "log.jsonl"

KIND = "federated run"
"""Kind of the folder, in the list of its files."""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How a server works; none of it changes what is learned.

    Attributes:
        out: Folder of the run, or None to keep nothing.
        resume: Whether to go on with what stands there.
        timeout: Seconds that clients have for a round.
        wait: Seconds to wait for clients to come.
        note: Called with each round when it is over.
        stop: Asked between rounds and while replies are waited for; True ends the run early.
        counts: Training samples of each class that each client has, where it is known.
    """

    out: Path | None = None
    resume: bool = False
    timeout: float = 3600.0
    wait: float = 60.0
    note: Callable[[Round], None] = field(default=lambda each: None)
    stop: Callable[[], bool] = field(default=lambda: False)
    counts: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a federated run ends with.

    Attributes:
        result: What is said of it.
        network: The global network.
        union: The union of the sets of the last round, for protocols that send sets.
    """

    result: FederatedResult
    network: Trained
    union: Artifact | None = None


class _Saved(Record):
    """What a run goes on from.

    Attributes:
        digest: Of the recipe.
        rounds: Rounds that are over.
        dropped: Replies that were not used.
    """

    digest: str
    rounds: tuple[Round, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def _weights(arrays: ArrayRecord, model: nn.Module) -> dict[str, Tensor]:
    own = model.state_dict()
    found = {name: torch.from_numpy(arrays[name].numpy().copy()) for name in own}
    # The average of whole numbers is a real one, which may lie just below them.
    return {
        name: (each if own[name].is_floating_point() else each.round()).to(own[name])
        for name, each in found.items()
    }


class _Rounds:
    """The rounds of a run, one after another."""

    def __init__(self, grid: Grid, setting: Setting, options: ServerOptions) -> None:
        self.setting, self.options = setting, options
        self.grid = CountingGrid(grid, options.stop)
        self.restart()

    def restart(self) -> None:
        """Begin with the first round."""
        setting = self.setting
        self.model = setting.task.build(setting.model, derive(setting.recipe.run.seed, "global"))
        self.arrays = state_arrays(self.model, setting.recipe)
        self.strategy = strategy_for(setting)
        self.rounds: list[Round] = []

    def one(self, number: int) -> None:
        """Carry out a round."""
        begun = time.perf_counter()
        self.grid.begin()
        messages = list(self.strategy.configure_train(number, self.arrays, ConfigRecord(), self.grid))
        replies = list(self.grid.send_and_receive(messages, timeout=self.options.timeout))
        missing = len(messages) - len(replies)
        if missing:
            logger.warning("round %d: %d clients did not reply in time", number, missing)
        arrays, _ = self.strategy.aggregate_train(number, replies)
        if arrays is not None:
            load_weights(self.model, _weights(arrays, self.model))
            # What is sent next is rounded again where the wire is narrower than an average.
            self.arrays = state_arrays(self.model, self.setting.recipe)
        self.rounds.append(
            Round(
                round=number,
                accuracy=round(tested(self.model, self.setting.task), 4),
                validation=_rounded(held_out(self.model, self.setting.task)),
                bytes=self.grid.bytes,
                seconds=round(time.perf_counter() - begun, 2),
                cpu=round(self.strategy.cpu, 2),
                clients=len(self.strategy.used),
            )
        )

    def done(self) -> bool:
        """Return whether the target was held for as many rounds as it must be."""
        recipe = self.setting.recipe
        last = self.rounds[-recipe.hold :]
        if not recipe.target or len(last) < recipe.hold:
            return False
        # Never by the test: without held-out data there is no target.
        return all(each.validation is not None and each.validation >= recipe.target for each in last)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def serve(
    grid: Grid,
    recipe: FederatedRecipe,
    task: Task,
    options: ServerOptions | None = None,
    registry: Registry | None = None,
) -> Outcome:
    """Carry out a federated run.

    Args:
        grid: What reaches the clients.
        recipe: The run.
        task: The server's data: classes, preprocessing and the test are theirs.
        options: How the server works.
        registry: The plugins known.

    Raises:
        Interrupted: If the run was stopped; it can be resumed.
        UsageError: If something does not fit, or no client sends anything that can be used.
    """
    options = options or ServerOptions()
    registry = registry or Registry()
    if recipe.privacy is not None:
        task = public_task(task, recipe.privacy)
    # The task says how it was loaded: it names things that a user gave as paths of this machine.
    data = public_record(data_record(task, dict(task.options)), recipe.privacy)
    known = {"options": dict(task.options), "fingerprint": data.fingerprint}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=known)})
    setting = Setting(recipe, task, registry)
    setting.check()
    meter = Meter()
    rounds = _Rounds(grid, setting, options)
    if options.resume:
        complete = _complete(rounds)
        if complete is not None:
            return complete
        _resume(rounds)
    nodes = wait_for(grid, recipe.clients, options.wait)
    if not nodes:
        raise UsageError("no client is there; start at least one before the server")
    if options.out is not None:
        if FileList.read(options.out) is None:
            # A server that was started by Flower itself.
            check_free(options.out, force=False)
            claim(options.out, KIND)
        write_file(options.out / RECIPE, recipe.to_toml().encode())
    with one_thread():
        while len(rounds.rounds) < recipe.last and not rounds.done():
            if options.stop():
                raise Interrupted
            rounds.one(len(rounds.rounds) + 1)
            options.note(rounds.rounds[-1])
            _save(rounds)
        outcome = _outcome(rounds, meter)
    if options.out is not None:
        # Also of the last round, where a run was killed before it was logged.
        _log(rounds, options.out)
        _finish(outcome, options.out)
    return outcome


def _checkpoint(folder: Path) -> Path:
    return folder / "checkpoint"


def _save(rounds: _Rounds) -> None:
    """Write what a run goes on from, whole or not at all."""
    out = rounds.options.out
    if out is None:
        return
    recipe = rounds.setting.recipe
    saved = _Saved(
        digest=recipe.digest(), rounds=tuple(rounds.rounds), dropped=tuple(rounds.strategy.dropped)
    )
    place = _checkpoint(out)
    with staged_folder(place, force=True, compared=False) as aside:
        state = {name: value.contiguous().clone() for name, value in rounds.model.state_dict().items()}
        write_file(aside / MODEL, save(state))
        write_file(aside / "state.json", to_json(saved.model_dump(mode="json")))
    _log(rounds, out)


def _log(rounds: _Rounds, out: Path) -> None:
    """Write a line for each round that is over; whole, so that none is there twice after a resume."""
    lines = [json.dumps(each.model_dump(mode="json")) + "\n" for each in rounds.rounds]
    write_file(out / LOG, "".join(lines).encode(), grows=True)


def _complete(rounds: _Rounds) -> Outcome | None:
    """Return what a run that is complete ended with."""
    out, recipe = rounds.options.out, rounds.setting.recipe
    if out is None or not (out / RESULT).is_file() or not (out / MODEL).is_file():
        return None
    result = parse(FederatedResult, read_json(out / RESULT), RESULT)
    saved = parse(_Saved, read_json(_checkpoint(out) / "state.json"), "state")
    rounds.rounds = list(saved.rounds)
    if saved.digest != recipe.digest() or (len(saved.rounds) < recipe.last and not rounds.done()):
        rounds.rounds = []
        return None
    union = None if recipe.averages else load(out, registry=rounds.setting.registry)
    return Outcome(
        result=result, network=load_model(out / MODEL, registry=rounds.setting.registry), union=union
    )


def _resume(rounds: _Rounds) -> None:
    """Go on with what stands in the folder of the run, if anything does."""
    out = rounds.options.out
    if out is None or not _checkpoint(out).is_dir():
        return
    place, recipe = _checkpoint(out), rounds.setting.recipe
    saved = parse(_Saved, read_json(place / "state.json"), "state")
    if saved.digest != recipe.digest():
        raise UsageError(f"the run in {str(out)!r} belongs to another recipe; start again with --force")
    try:
        load_weights(rounds.model, load_file(place / MODEL))
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        raise UsageError(
            f"the checkpoint in {str(out)!r} is damaged ({error}); start again with --force"
        ) from error
    rounds.rounds, rounds.strategy.dropped = list(saved.rounds), list(saved.dropped)
    if not recipe.averages and (len(saved.rounds) >= recipe.last or rounds.done()):
        # Killed after its last round and before the union was written: the sets are gone.
        rounds.restart()
    rounds.arrays = state_arrays(rounds.model, recipe)


def _outcome(rounds: _Rounds, meter: Meter) -> Outcome:
    setting, recipe, task = rounds.setting, rounds.setting.recipe, rounds.setting.task
    union = rounds.strategy.union
    last = rounds.rounds[-1]
    accuracies, validations = [last.accuracy], [last.validation]
    if recipe.protocol == "one-shot" and union is not None:
        for k in range(1, recipe.networks):
            try:
                model = learned(
                    task, union.syn, setting.model, setting.protocol, recipe.run.seed, last.round, k
                )
            except DivergenceError as error:
                # Each network has draws of its own; one that diverges takes nothing from those that did not.
                logger.warning("network %d of %d is not counted: %s", k + 1, recipe.networks, error)
                continue
            accuracies.append(tested(model, task))
            validations.append(held_out(model, task))
    known = [value for value in validations if value is not None]
    spent = Bytes()
    for each in rounds.rounds:
        spent = spent.plus(each.bytes)
    cost = meter.read()
    public = recipe.privacy is None or recipe.privacy.counts == "public"
    result = FederatedResult(
        protocol=recipe.protocol,
        accuracy=Score.of(accuracies),
        chance=round(by_chance(rounds.model, task), 4),
        bytes=spent,
        rounds=tuple(rounds.rounds),
        validation=Score.of(known) if known else None,
        data=task.name,
        modality=task.modality,
        partition=recipe.partition,
        clients=recipe.clients,
        distiller="" if recipe.averages else recipe.distiller,
        architecture=setting.model,
        parameters=sum(parameter.numel() for parameter in rounds.model.parameters()),
        wire=recipe.wire,
        seed=recipe.run.seed,
        samples=0 if union is None else union.manifest.size.decoded,
        dropped=tuple(rounds.strategy.dropped),
        privacy=guarantee(recipe),
        counts=rounds.options.counts if public else (),
        seconds=round(sum(each.seconds for each in rounds.rounds), 2),
    )
    return Outcome(result=result, network=_trained(rounds, union, cost), union=union)


def _trained(rounds: _Rounds, union: Artifact | None, cost: Cost) -> Trained:
    setting, recipe, task = rounds.setting, rounds.setting.recipe, rounds.setting.task
    data = public_record(data_record(task, dict(task.options)), recipe.privacy)
    record = ModelRecord(
        data=data,
        set="" if union is None else union.manifest.sha256,
        method=recipe.protocol,
        architecture=setting.model,
        protocol=setting.protocol,
        seed=recipe.run.seed,
        epochs=len(rounds.rounds),
        loss=0.0,
        cost=cost,
    )
    domain = setting.modality.domain(data.info)
    return Trained(model=rounds.model.eval(), record=record, domain=domain)


def _finish(outcome: Outcome, out: Path) -> None:
    """Write what a run leaves: result, network, and the union."""
    outcome.network.save(out / MODEL, force=True)
    if outcome.union is not None:
        outcome.union.save(out / "artifact", force=True)
    write_file(out / RESULT, to_json(outcome.result.model_dump(mode="json")))
