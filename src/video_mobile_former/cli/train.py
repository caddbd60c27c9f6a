"""The command ``vmf train``, whose options are the keys of a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import say
from ..errors import RecipeError
from ..ranges import docs
from .options import add_json, check_outside, print_json, source_words
from .parser import Parser, add_command, add_field, whole_number

if TYPE_CHECKING:
    from ..training.recipe.fields import Recipe

_NO_KEYS = ("run", "recipes", "list", "json", "extend", "trials", "search", "find")


def add_train(commands: Any) -> None:
    """Add ``train`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "train",
        run,
        "train on a folder of clips or a CSV",
        "CLIPS is a folder of class folders, or a list: whatever no option says is then chosen to "
        "fit, the folder of the run as well. RECIPE is a .yaml file, or a name that "
        "`vmf train --list` shows. The options are the keys of a recipe and win over it.",
    )
    parser.fill = _add_options


def _add_options(parser: Parser) -> None:
    parser.add_argument("--list", action="store_true", help="show the recipes of the package")
    parser.add_argument(
        "--extend",
        type=whole_number(1, 1_000_000),
        metavar="N",
        help="train the finished run in --out for N more epochs: the learning rate begins anew",
    )
    parser.add_argument(
        "--find",
        choices=("lr", "batch"),
        help="try learning rates, or batch sizes, on the first steps, and say which suits; trains "
        "nothing",
    )
    add_recipe_options(parser)


def add_recipe_options(parser: Parser) -> None:
    """Add an option for every key of a recipe; words that are no options name recipes or clips."""
    from ..training.recipe.fields import Recipe
    from ..training.recipe.keys import (
        RENAMED,
        SHORT_FOR,
        SHORT_OPTIONS,
        home,
        sections,
        types_by_key,
    )

    parser.usage = f"{parser.prog} [RECIPE | CLIPS] [options]"
    parser.words = "recipes"
    add_json(parser)
    short = {key: f"--{name}" for name, key in {**SHORT_FOR, **SHORT_OPTIONS}.items()}
    groups: dict[str, Any] = {"": parser.add_argument_group("the run")}
    groups |= {name: parser.add_argument_group(name, docs(Recipe)[name]) for name in sections()}
    for key, hint in types_by_key().items():
        section, name = home(key)
        words = [f"--{key}", *([short[key]] if key in short else [])]
        more = {"nargs": "?", "const": True} if hint is bool else {}
        group = groups[key.rpartition(".")[0]]
        add_field(group, section, name, *words, dest=key, default=argparse.SUPPRESS, **more)
    for old, key in RENAMED.items():
        hidden = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        add_field(parser, *home(key), f"--{old}", dest=key, **hidden)


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe that the options of ``vmf train`` and their recipe file make.

    Raises:
        RecipeError: If values do not go together, or the file is wrong or not the only one.
    """
    from ..training.recipe.read import build, read_values

    files = [_recipe_file(word) for word in _words(args)[0]]
    if len(files) > 1:
        raise RecipeError(f"one recipe file at most, not {len(files)}: {', '.join(files)}")
    values = read_values(files[0]) if files else {}
    values |= _given(args)
    return build(values, " and ".join([*files, "command line"]))


def _words(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The words that name recipes, and those that name clips."""
    from ..training.recipe.shipped import shipped_names

    def is_data(word: str) -> bool:
        if word in shipped_names() or word.endswith((".yaml", ".yml")):
            return False
        return Path(word).exists() or "://" in word

    data = [word for word in args.recipes if is_data(word)]
    return [word for word in args.recipes if word not in data], data


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """What the options and the clips named without one say, under dotted keys.

    Raises:
        RecipeError: If the clips are named twice.
    """
    given = {key: value for key, value in vars(args).items() if key not in _NO_KEYS}
    data = _words(args)[1]
    if data:
        named = [*data, *([given["data.path"]] if given.get("data.path") else [])]
        if len(named) > 1:
            raise RecipeError(f"one place of clips at most, not {len(named)}: {', '.join(named)}")
        given["data.path"] = data[0]
    return given


def recipe_and_given(args: argparse.Namespace) -> tuple[Recipe, dict[str, Any], bool]:
    """The recipe of the words and options, what they say under dotted keys, and whether what they
    do not say is to be chosen, since they name clips and no recipe."""
    recipes, clips = _words(args)
    return recipe_of(args), _given(args), bool(clips) and not recipes


def _fitted(args: argparse.Namespace) -> Recipe:
    """The recipe of ``vmf train CLIPS``: what is not given is chosen to fit, and said."""
    from ..training.fitted import fitted, own_folder
    from ..training.recipe.read import build, load_recipe, values_of
    from ..training.run.run_folder import RunFolder

    if "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get("SLURM_NTASKS", "1") != "1":
        # Each process would choose for itself.
        raise RecipeError(
            f"{_words(args)[1][0]}: torchrun and srun start several processes, for which nothing "
            "is chosen: --data CLIPS --out FOLDER"
        )
    recipe, given = recipe_of(args), _given(args)
    if recipe.out is not None:
        out, goes_on = Path(recipe.out), RunFolder(recipe.out).continues(recipe)
    else:
        out, goes_on = own_folder(str(recipe.data.path), given)
    recipe = dataclasses.replace(recipe, out=str(out))
    check_outside(recipe.out, recipe.data.path)
    if goes_on:
        say(f"{out}: going on with what was chosen when the run began")
        old = values_of(load_recipe(out / "recipe.yaml"))
        return build({**old, **given, "out": str(out)}, "command line")
    found = fitted(recipe, given)
    say(found.summary)
    return found.recipe


def recipe_from_words(words: Sequence[str]) -> Recipe:
    """The recipe that the words after ``vmf train`` make.

    Args:
        words: For example ``["folder_small", "--data", "clips.csv", "--optim.lr", "1e-3"]``.

    Raises:
        UserError: As the command.
    """
    parser = Parser(prog="vmf train")
    _add_options(parser)
    return recipe_of(parser.parse_args(list(words)))


def run(args: argparse.Namespace) -> int:
    """Train, and say what to do with the checkpoint."""
    if args.list:
        from ..training.recipe.shipped import format_recipes, shipped_names, shipped_recipe

        recipes = [shipped_recipe(name) for name in shipped_names()]
        if args.json:
            print_json([dataclasses.asdict(recipe) for recipe in recipes])
        else:
            print(format_recipes(recipes))
        return 0
    if args.extend is not None:
        recipe = _extended(args)
    else:
        recipe = _fitted(args) if _words(args)[1] and not _words(args)[0] else recipe_of(args)
    data = recipe.data
    check_outside(recipe.out, data.path, data.root, data.val_path, data.unlabelled)
    if args.find is not None:
        return _find(args, recipe)
    from ..training.fit import fit

    result = fit(recipe)
    if not result.is_main:
        return 0  # one of several processes tells the outcome
    if args.json:
        print_json(dataclasses.asdict(result))
    else:
        checkpoint = result.best or result.last
        print(f"checkpoint  {checkpoint}")
        print(f"next        {_next_words(recipe, checkpoint)}")
    return 0


def _find(args: argparse.Namespace, recipe: Recipe) -> int:
    """Say which learning rate or batch size suits."""
    from ..training.finders import find_batch, find_lr

    if args.find == "lr":
        rate = find_lr(recipe)
        if args.json:
            print_json(dataclasses.asdict(rate))
            return 0
        few = max(1, len(rate.rates) // 12)
        print("learning rate   loss")
        for lr, loss in list(zip(rate.rates, rate.losses, strict=True))[::few]:
            print(f"{lr:13.2g}   {loss:.3f}")
        if rate.diverged_at is not None:
            print(f"{rate.diverged_at:13.2g}   three times the lowest, or no number")
        print(f"suits           --lr {rate.lr:g}  (the loss falls fastest there)")
        return 0
    found = find_batch(recipe)
    if args.json:
        print_json(dataclasses.asdict(found))
        return 0
    print("clips a batch   ms a clip")
    for one in found.tried:
        print(f"{one.batch_size:13}   {f'{one.milliseconds:.1f}' if one.fits else 'no memory'}")
    print(f"suits           --batch {found.batch_size}")
    return 0


def _extended(args: argparse.Namespace) -> Recipe:
    """The recipe of the finished run that ``--extend`` gives more epochs."""
    from ..training.run.extend import extend_run

    given = {key: value for key, value in vars(args).items() if key not in _NO_KEYS}
    places = [*args.recipes, *([given.pop("out")] if "out" in given else [])]
    if len(places) != 1 or given:
        more = f"not {', '.join(f'--{key}' for key in given)} too" if given else "once"
        raise RecipeError(
            f"--extend {args.extend} takes the folder of the run, --out FOLDER, {more}: all else "
            "stays as it was"
        )
    return extend_run(places[0], args.extend)


def _recipe_file(word: str) -> str:
    """The YAML file that a word of the command line stands for."""
    from ..training.recipe.shipped import shipped_path

    if word.endswith((".yaml", ".yml")):
        return word
    if Path(word).is_file() or "/" in word:
        raise RecipeError(f"command line: {word!r} is neither an option nor a .yaml recipe")
    return str(shipped_path(word))


def _next_words(recipe: Recipe, checkpoint: Path) -> str:
    """The command that makes use of a trained checkpoint."""
    from ..training.clips.procedural_clips import is_procedural
    from ..training.objectives.choose import task_of

    where = shlex.quote(str(checkpoint))
    if is_procedural(recipe.data) or not task_of(recipe).labels:
        return f"vmf train --data DATA --model {where} --out FOLDER"
    return f"vmf evaluate {where} {source_words(recipe.data)}"
