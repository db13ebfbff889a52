"""The plan of a comparison: who takes part, at which sizes and settings, and who cannot and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attar.architectures import check_model
from attar.comparison.recipes import Contender, Maker
from attar.comparison.results import PlanRecord
from attar.comparison.settings import ALL, CompareSettings, check_numbers
from attar.contracts import Task
from attar.errors import PluginError, UsageError
from attar.evaluation_jobs import BASELINES, baselines_of
from attar.recipe import RunRecipe, SizeRecipe
from attar.registry import Registry
from attar.settings import parse, unknown
from attar.sizing import allocate

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """What a comparison does, once everything has been checked.

    Attributes:
        settings: What was asked for.
        arch: Architecture of all networks.
        contenders: Who takes part, by size and then by name; also those who cannot.
        baselines: Names of the baselines.
        per_class: Stored samples of each class, by ipc.
    """

    settings: CompareSettings
    arch: str
    contenders: tuple[Contender, ...]
    baselines: tuple[str, ...]
    per_class: Mapping[int, tuple[int, ...]]

    @property
    def tuned(self) -> bool:
        """Whether any choice between settings is made."""
        return any(len(each.trials) > 1 for each in self.contenders)

    def sets_of(self, contender: Contender) -> int:
        """Return how many sets a method makes at its size, at most."""
        asked, trials = self.settings, len(contender.trials)
        if trials < 2:
            return trials * asked.seeds
        # Sets of the first seeds serve both the choice and the result.
        return trials * asked.tune_seeds + asked.seeds - min(asked.tune_seeds, asked.seeds)

    def record(self, task: Task) -> PlanRecord:
        """Return the plan for people."""
        asked = self.settings
        tried = sum(len(each.trials) for each in self.contenders if len(each.trials) > 1) * asked.tune_seeds
        sets = sum(map(self.sets_of, self.contenders))
        return PlanRecord(
            modality=task.modality,
            data=task.name,
            fingerprint=task.fingerprint,
            architecture=self.arch,
            methods=tuple(dict.fromkeys(each.method for each in self.contenders if not each.problem)),
            baselines=self.baselines,
            ipc=tuple(self.per_class),
            seeds=asked.all_seeds,
            trials=tried,
            sets=sets,
            networks=sets * asked.protocol.networks,
            refused={each.method: each.problem for each in self.contenders if each.problem},
        )


def _names(asked: Sequence[str], registry: Registry) -> tuple[list[str], list[str]]:
    """Return the methods that are to make sets, and the baselines among what was asked for.

    Raises:
        UsageError: If a name is unknown, or nothing is left to compare.
    """
    known = [*registry.names("objectives"), *registry.names("selectors")]
    names: list[str] = []
    for name in asked:
        if name != ALL and name not in known and name not in BASELINES:
            raise UsageError(unknown("method", name, [ALL, "whole", *known]))
        names += known if name == ALL else [name]
    if not names:
        raise UsageError("there is nothing to compare; name methods, such as dm,dsa, or all")
    # The baselines among the selectors are evaluated as such, with a choice of feature spaces.
    methods = [name for name in dict.fromkeys(names) if name not in BASELINES]
    return methods, [name for name in dict.fromkeys(names) if name in BASELINES]


def _check_data(task: Task, settings: CompareSettings) -> dict[int, tuple[int, ...]]:
    """Return the samples of each class for each size, if the data have as many."""
    if int((task.counts > 0).sum()) < 2:
        raise UsageError(
            f"{task.name!r} has a single class, and a classifier needs at least two; add another class"
        )
    return {
        ipc: tuple(
            allocate(SizeRecipe(ipc=ipc, policy=settings.policy), task.counts, lambda: 0, names=task.classes)
        )
        for ipc in sorted(set(settings.ipc))
    }


def _check_rest(task: Task, plan: Plan) -> None:
    """Refuse what cannot be evaluated or chosen."""
    if plan.tuned and not task.size("validation"):
        raise UsageError(
            f"a grid is chosen from on validation data, and {task.name!r} has none; load it with a held-out "
            f"part, such as data.validation=0.1, or leave the grid out"
        )
    missing = [name for name in ("whole", "random") if name not in plan.baselines]
    if plan.settings.ranking and missing:
        raise UsageError(
            f"the ranking compares with the baselines whole and random; add {' and '.join(missing)}"
        )
    rules = [name for name in plan.baselines if name not in ("whole", "random")]
    check_model(task, plan.arch, needs=("embed",) if rules and task.size("validation") else ())


def make_plan(task: Task, settings: CompareSettings, registry: Registry) -> Plan:
    """Check a comparison before any work, and say what it will do.

    A method that does not fit the data is kept with the reason; everything else that makes no
    sense is refused.

    Raises:
        UsageError: If a name, a number or a setting is wrong, or the data do not suffice.
    """
    check_numbers(settings)
    asked = baselines_of(settings.baselines, task)
    methods, named = _names(settings.methods, registry)
    if "means" in named and not task.averages:
        if "means" in settings.methods:
            baselines_of(["means"], task)
        named.remove("means")
    per_class = _check_data(task, settings)
    broken = {}
    for name in methods:
        group = "selectors" if name in registry.names("selectors") else "objectives"
        try:
            registry.get(group, name)
        except PluginError as error:
            if name in settings.methods:
                raise
            broken[name] = str(error)
    loaded = tuple(name for name in methods if name not in broken)
    run = {"seed": settings.seed, "dtype": settings.dtype, "precision": settings.precision}
    rest = parse(RunRecipe, {**run, "checkpoint_every": settings.checkpoint_every}, "run")
    maker = Maker(task, settings, rest, loaded, registry)
    maker.check_keys()
    contenders = [
        Contender(name, ipc, problem=broken[name]) if name in broken else maker.contender(name, ipc)
        for ipc in per_class
        for name in methods
    ]
    wanted = {*asked, *named}
    plan = Plan(
        settings=settings,
        arch=settings.model or task.architecture,
        contenders=tuple(contenders),
        baselines=tuple(name for name in BASELINES if name in wanted),
        per_class=per_class,
    )
    _check_rest(task, plan)
    return plan
