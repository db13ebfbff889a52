"""From what is asked of all methods to the recipe of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attar.comparison.settings import CompareSettings, Key, Point, parse_key, points
from attar.contracts import Task
from attar.errors import UsageError
from attar.files import portable_names
from attar.plugins import stands_in
from attar.precision_choice import decided
from attar.recipe import DataRecipe, Recipe, RunRecipe, SizeRecipe, resolve
from attar.registry import Registry
from attar.run_folder import RunSettings
from attar.runs import check_recipe
from attar.settings import unknown
from attar.sizing import storage_settings

__all__ = ["Contender", "Maker", "Trial"]


@dataclass(frozen=True)
class Trial:
    """A method at one size and one point of the grid.

    Attributes:
        recipe: Its complete recipe, with the first seed.
        point: What the grid says, by the user's keys; {} without a grid.
        problem: Why it cannot be carried out, or "".
    """

    recipe: Recipe
    point: Point
    problem: str = ""

    def seeded(self, seed: int) -> Recipe:
        """Return the recipe with another seed."""
        return self.recipe.model_copy(update={"run": self.recipe.run.model_copy(update={"seed": seed})})

    def folder(self, seed: int) -> str:
        """Return the name of a run's folder: it says what a person looks for, and hashes the rest."""
        # Of every seed the same, so that the sets of one row are found together.
        digest = hashlib.blake2b(self.seeded(0).digest().encode(), digest_size=4).hexdigest()
        name = portable_names([self.recipe.method], most=60)[0]
        return f"{name}-ipc{self.recipe.size.ipc}-{digest}-seed{seed}"


@dataclass(frozen=True)
class Contender:
    """A method or selector at one size.

    Attributes:
        method: Its name.
        ipc: Stored samples per class.
        trials: What can be carried out, one for each point of the grid.
        dropped: Points that cannot, with the reason.
        problem: Why it takes no part, or "".
    """

    method: str
    ipc: int
    trials: tuple[Trial, ...] = ()
    dropped: tuple[Trial, ...] = ()
    problem: str = ""


def _fields(method: str, key: Key, kinds: Sequence[str], registry: Registry) -> set[str]:
    """Return the names that a method knows where a key belongs."""
    if method in registry.names("selectors"):
        return {"space", "model"} if key.section == "objective" else set()
    if key.section == "objective":
        return set(registry.get("objectives", method).Settings.model_fields)
    return {name for kind in kinds for name in registry.get("parameterizations", kind).Settings.model_fields}


@dataclass(frozen=True)
class Maker:
    """Makes the recipes of the methods that are compared.

    Attributes:
        task: The real data.
        settings: What was asked for.
        run: What else decides a result.
        methods: All methods that can be loaded.
        registry: The plugins known.
    """

    task: Task
    settings: CompareSettings
    run: RunRecipe
    methods: tuple[str, ...]
    registry: Registry

    def keys(self, names: Mapping[str, Any]) -> dict[str, Key]:
        """Return where each of some settings belongs."""
        return {key: parse_key(key, self.methods) for key in names}

    def knows(self, method: str, key: Key) -> bool:
        """Return whether a setting is for a method and the method has it."""
        if key.method not in ("", method):
            return False
        kinds = ["plain"]
        if method in self.registry.names("objectives"):
            kinds = [
                self.registry.get("objectives", method).Settings.model_fields["parameterization"].default
            ]
        for asked, given in self.keys({**self.settings.settings, **self.settings.grid}).items():
            if given.name == "parameterization" and given.method in ("", method):
                found = self.settings.grid.get(asked, [self.settings.settings.get(asked)])
                kinds += [str(each) for each in found if str(each) in self._parameterizations()]
        return key.name in _fields(method, key, kinds, self.registry)

    def _parameterizations(self) -> list[str]:
        return self.registry.names("parameterizations")

    def recipe(self, method: str, ipc: int, point: Point) -> Recipe:
        """Return a method's recipe.

        Raises:
            UsageError: If a setting does not fit.
        """
        asked, task = self.settings, self.task
        tables: dict[str, dict[str, Any]] = {"objective": {}, "parameterization": {}}
        if asked.model and self._follows(method):
            tables["objective"]["model"] = asked.model
        given = {key: value for key, value in asked.settings.items() if key not in point}
        # What is meant for one method counts for more than what is meant for all.
        both = sorted(self.keys({**given, **point}).items(), key=lambda pair: pair[1].method != "")
        for key, place in both:
            if self.knows(method, place):
                tables[place.section][place.name] = {**given, **point}[key]
        data = DataRecipe(modality=task.modality, name=task.name, options=dict(task.options))
        size = SizeRecipe(ipc=ipc, policy=asked.policy)
        recipe = Recipe(data=data, size=size, method=method, run=self.run, **tables)
        # Before the jobs, so that all machines that make sets of a method do the same.
        how = RunSettings(device=asked.device)
        return decided(task, resolve(recipe, self.registry), how, self.registry).recipe

    def _follows(self, method: str) -> bool:
        """Return whether a method matches on the architecture that is evaluated."""
        if method in self.registry.names("selectors"):
            return True
        return not stands_in(self.registry.get("objectives", method))

    def trials(self, method: str, ipc: int) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
        """Return what of a grid a method can carry out, and what it cannot."""
        known = {key for key, place in self.keys(self.settings.grid).items() if self.knows(method, place)}
        grid = {key: values for key, values in self.settings.grid.items() if key in known}
        good: dict[str, Trial] = {}
        bad = []
        for point in points(grid):
            try:
                recipe = self.recipe(method, ipc, point)
                check_recipe(self.task, resolve(recipe, self.registry), self.registry)
                self._packs(recipe)
            except UsageError as error:
                bare = Recipe(
                    data=DataRecipe(modality=self.task.modality, name=self.task.name),
                    size=SizeRecipe(ipc=ipc),
                    method=method,
                )
                bad.append(Trial(bare, point, str(error)))
                continue
            # lr=1 and lr=1.0 are one point.
            good.setdefault(recipe.digest(), Trial(recipe, point))
        return tuple(good.values()), tuple(bad)

    def _packs(self, recipe: Recipe) -> None:
        """Refuse a parameterization that cannot store such samples."""
        kind = str(recipe.objective.get("parameterization", "plain"))
        plugin = self.registry.get("parameterizations", kind)
        plugin.packs(storage_settings(plugin, recipe.parameterization, self.task), self.task.feature)

    def contender(self, method: str, ipc: int) -> Contender:
        """Return a method with all that it can carry out, or why that is nothing."""
        good, bad = self.trials(method, ipc)
        problem = "" if good else bad[0].problem
        return Contender(method, ipc, good, bad if good else (), problem)

    def check_keys(self) -> None:
        """Refuse a setting that no method knows, and a value that fits none which knows it.

        Raises:
            UsageError: Naming it.
        """
        asked = {**{key: [value] for key, value in self.settings.settings.items()}, **self.settings.grid}
        for key, place in self.keys(asked).items():
            owners = [method for method in self.methods if self.knows(method, place)]
            if not owners:
                raise UsageError(self._unknown(key, place))
            for value in asked[key]:
                self._check_value(key, value, owners)

    def _unknown(self, key: str, place: Key) -> str:
        if not self.methods:
            return f"the setting {key!r} is for methods, and only baselines are compared; leave it out"
        asked = [place.method] if place.method else self.methods
        return unknown(
            "setting",
            key,
            {name for each in asked for name in _fields(each, place, ["plain"], self.registry)},
        )

    def _check_value(self, key: str, value: Any, owners: Sequence[str]) -> None:
        grid = self.keys(self.settings.grid)
        if any(place.name == "parameterization" for place in grid.values()) and "parameterization." in key:
            # What it may be depends on the point of the grid.
            return
        first: UsageError | None = None
        only = replace(self, settings=replace(self.settings, settings={**self.settings.settings, key: value}))
        for method in owners:
            try:
                only.recipe(method, 1, {})
            except UsageError as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first
