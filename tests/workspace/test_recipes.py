from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from attar.recipe import read_recipe, resolve
from attar.registry import Registry
from attar.settings import parse

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
STREAMS = sorted((FOLDER / "continual").glob("*.toml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_names_what_is_installed_and_only_known_settings(path):
    recipe = read_recipe(path)
    resolved = resolve(recipe, Registry())
    # Data of the user's own have a name, and their path is given beside the recipe.
    named = recipe.data.name in resolved.modality.datasets()
    assert named or f"attar run recipes/{path.name} --data " in path.read_text()


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_every_recipe_of_a_stream_names_what_is_installed_and_only_known_settings(path):
    settings = pytest.importorskip("attar_continual.settings", reason="attar-continual is not installed")
    distiller = pytest.importorskip("attar_continual.distiller")
    recipe = settings.ContinualRecipe.model_validate(tomllib.loads(path.read_text("utf-8")))
    made = distiller.Distiller(recipe.distiller, recipe.objective, recipe.parameterization, recipe.labels)
    parse(Registry().get("objectives", recipe.distiller).Settings, made.objective(), "objective")
    named = recipe.data.name in Registry().get("modalities", recipe.data.modality).datasets()
    assert named or " --data " in path.read_text()
    assert f"--recipe recipes/continual/{path.name}" in path.read_text()
