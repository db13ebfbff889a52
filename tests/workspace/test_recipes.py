from __future__ import annotations

from pathlib import Path

import pytest
from attar.recipe import read_recipe, resolve
from attar.registry import Registry

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_names_what_is_installed_and_only_known_settings(path):
    recipe = read_recipe(path)
    resolved = resolve(recipe, Registry())
    # Data of the user's own have a name, and their path is given beside the recipe.
    named = recipe.data.name in resolved.modality.datasets()
    assert named or f"attar run recipes/{path.name} --data " in path.read_text()
