"""The command ``vmf tune``: search for a better recipe."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import RecipeError
from .options import check_outside, print_json
from .parser import Parser, add_command, whole_number
from .train import add_recipe_options, recipe_and_given


def add_tune(commands: Any) -> None:
    """Add ``tune`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "tune",
        run,
        "search for a better recipe by many short runs",
        "All trials have the recipe that the words and options make, as of `vmf train`; the first "
        "is that recipe itself. The same command goes on with a search that was broken off.",
    )
    parser.fill = _add_options


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "--trials",
        type=whole_number(1, 100_000),
        default=20,
        metavar="N",
        help="runs in all, those of earlier calls included (default: 20)",
    )
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=LOW..HIGH",
        help="search a key of the recipe between two numbers, or KEY=A,B,C among values; may be "
        "repeated; without it: learning rate, layer and weight decay, colour changes, RandAugment",
    )
    add_recipe_options(parser)
    parser.usage = f"{parser.prog} [RECIPE | CLIPS] --out FOLDER [options]"


def run(args: argparse.Namespace) -> int:
    """Search, and say what was found."""
    from ..training.recipe.read import build, load_recipe, values_of
    from ..training.tune import tune

    recipe, given, choose = recipe_and_given(args)
    if recipe.out is None:
        raise RecipeError("--out is missing: the folder of the search")
    out = Path(recipe.out)
    check_outside(out, recipe.data.path, recipe.data.root, recipe.data.val_path)
    if choose and (out / "recipe.yaml").exists() and (out / "tune.db").exists():
        recipe = build({**values_of(load_recipe(out / "recipe.yaml")), **given}, "command line")
    elif choose:
        from ..training.fitted import fitted

        found = fitted(recipe, given)
        say(f"each trial: {found.summary}")
        recipe = found.recipe
    result = tune(recipe, out, trials=args.trials, search=args.search)
    if args.json:
        print_json(dataclasses.asdict(result))
        return 0
    counts = ", ".join(f"{count} {state}" for state, count in result.trials.items() if count)
    print(
        f"best        {result.score_name} {result.score:.3f}, trial {result.trial + 1} ({counts})"
    )
    for key, value in result.values.items():
        print(
            f"            {key} {value:.4g}"
            if isinstance(value, float)
            else f"            {key} {value}"
        )
    print(f"recipe      {result.recipe}")
    print(f"next        vmf train {result.recipe} --out FOLDER")
    return 0
