"""The recipes that come with the package, by name, and what each says of itself.

A recipe begins with comments: a sentence, how to run it, and lines of facts, ``# cost: …``. They
are written by hand and held against the networks by tests.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import RecipeError

FACTS = ("data", "views", "cost", "training", "hardware", "accuracy")
_FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe of the package."""

    name: str
    path: str
    summary: str
    """Its first sentence."""
    data: str
    views: str
    cost: str
    """MACs per view × views × crops = total."""
    training: str
    """Videos × epochs."""
    hardware: str
    """What it is meant for, and the hours to expect there, reckoned and not measured."""
    accuracy: str


def shipped_names() -> list[str]:
    """Names that ``vmf train`` takes in place of a file."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def shipped_path(name: str) -> Path:
    """The file of a shipped recipe.

    Args:
        name: One of :func:`shipped_names`.

    Raises:
        RecipeError: If there is none; suggests the nearest.
    """
    names = shipped_names()
    if name in names:
        return _FOLDER / f"{name}.yaml"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "vmf train --list shows those"
    raise RecipeError(
        f"command line: {name!r} is neither an option, nor a .yaml file, nor a shipped recipe; "
        + hint
    )


def shipped_recipe(name: str) -> ShippedRecipe:
    """What a shipped recipe says of itself.

    Raises:
        RecipeError: If there is none of that name.
    """
    path = shipped_path(name)
    lines = path.read_text(encoding="utf-8").splitlines()
    facts: dict[str, str] = {}
    for line in lines:
        key, colon, text = line.removeprefix("# ").partition(": ")
        if line.startswith("# ") and colon and key in FACTS:
            facts[key] = text
    return ShippedRecipe(name, str(path), lines[0].removeprefix("# "), **facts)


def format_recipes(recipes: Sequence[ShippedRecipe]) -> str:
    """What ``vmf train --list`` prints, in lines of at most 80 columns."""
    lines = ["Recipes, for `vmf train NAME --data DATA --out FOLDER`:"]
    for recipe in recipes:
        lines += [
            "",
            recipe.name,
            *_indented(recipe.summary),
            *_indented(recipe.cost),
            *_indented(f"{recipe.training}; {recipe.hardware}; accuracy {recipe.accuracy}"),
        ]
    return "\n".join([*lines, "", "Hours are reckoned, see docs/training.md. Views multiply MACs."])


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="    ")
