"""train."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from .options import print_json, source_words

if TYPE_CHECKING:
    from ..training.recipe.read import Recipe


def _train(words: list[str]) -> int:
    from ..training.recipe.read import recipe_from_cli

    as_json = "--json" in words
    if "--list" in words:
        return _list_recipes(as_json)
    recipe = recipe_from_cli([word for word in words if word != "--json"])
    from ..training.fit import fit

    result = fit(recipe)
    if not result.is_main:
        return 0  # one of several processes tells the outcome
    if as_json:
        print_json(dataclasses.asdict(result))
    else:
        checkpoint = result.best or result.last
        print(f"checkpoint  {checkpoint}")
        print(f"next        {_next_words(recipe, checkpoint)}")
    return 0


def _next_words(recipe: Recipe, checkpoint: Path) -> str:
    """The command that makes use of a trained checkpoint."""
    from ..training.clips.procedural_clips import is_procedural

    if is_procedural(recipe.data) or recipe.pretrain.task != "labels":
        return f"vmf train --data DATA --model {checkpoint} --out FOLDER"
    return f"vmf evaluate {checkpoint} {source_words(recipe.data)}"


def _list_recipes(as_json: bool) -> int:
    from ..training.recipe.shipped import format_recipes, shipped_names, shipped_recipe

    recipes = [shipped_recipe(name) for name in shipped_names()]
    if as_json:
        print_json([dataclasses.asdict(recipe) for recipe in recipes])
    else:
        print(format_recipes(recipes))
    return 0
