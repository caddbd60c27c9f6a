"""The command ``vmf``: parse, call, print.

Results go to stdout, progress and messages to stderr. Exit status: 0 done; 1 some of several
files failed; 2 the input is wrong, one line says how; 130 interrupted. Libraries are imported in
the command that needs them, so that ``vmf --help`` is quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .benchmark_command import add_benchmark
from .console import say
from .data_commands import add_data_commands, add_source_options, source_of, source_words
from .errors import UserError
from .evaluate_command import add_evaluate
from .export_command import add_export
from .files import check_file
from .shared_options import (
    add_json,
    add_run_options,
    add_views,
    model_of,
    print_json,
    reading_of,
)
from .version import __version__

if TYPE_CHECKING:
    from .training.recipe import Recipe

EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """argparse with errors in the form of all our errors, and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Turn what argparse does not like into a :class:`UserError`."""
        raise UserError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vmf`` with ``argv`` (by default the process's) and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A console that lacks a character of a label or a rule shall show another, not fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        if words[:1] == ["train"]:
            return _train(words[1:])  # its options are recipe fields, which the recipe parses
        args = _parser().parse_args(words)
        return args.run(args)
    except UserError as error:
        say(f"vmf: error: {error}")
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt as error:
        # A training run has already said that its state is saved.
        if type(error) is KeyboardInterrupt:
            say("vmf: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, say) has seen enough; keep Python from complaining too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> Parser:
    parser = Parser(prog="vmf", description="Video Mobile-Former: recognise actions in video.")
    parser.add_argument("--version", action="version", version=f"vmf {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    models = _command(commands, "models", _models, "the model family and what it costs")
    models.add_argument("filter", nargs="?", default="", help="only names with this text")
    add_json(models)

    # Listed for the help; main() sends `train` elsewhere before this parser sees it.
    _command(commands, "train", _models, "train on a folder of clips or a CSV")

    add_evaluate(commands)

    predict = _command(commands, "predict", _predict, "name the action in video files")
    _add_model(predict)
    predict.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="files, folders or quoted patterns"
    )
    predict.add_argument("--top_k", type=int, default=5, help="classes per file (default: 5)")
    predict.add_argument("--csv", metavar="FILE", help="also write path,rank,label,score,error")
    add_views(predict)
    add_run_options(predict)

    data = _command(
        commands, "data", _models, "check clips, prepare them for speed, pack or draw them"
    )
    add_data_commands(data.add_subparsers(title="commands", metavar="COMMAND", required=True))

    add_export(commands, add_source_options, source_of)
    add_benchmark(commands)

    demo = _command(commands, "demo", _demo, "train on drawn clips and report, in three minutes")
    demo.add_argument("--out", default="demo", help="folder for clips, run and report")
    demo.add_argument("--seed", type=int, default=0, help="of clips and training (default: 0)")
    add_json(demo)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> Parser:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:])
    parser.set_defaults(run=run)
    return parser


def _add_model(parser: Parser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )


def _models(args: argparse.Namespace) -> int:
    from .profiling.table import cost_rows, format_rows

    rows = cost_rows(args.filter)
    if args.json:
        print_json(rows)
    else:
        print(format_rows(rows))
    return 0


def _train(words: list[str]) -> int:
    from .training.recipe import recipe_from_cli

    as_json = "--json" in words
    if "--list" in words:
        return _list_recipes(as_json)
    recipe = recipe_from_cli([word for word in words if word != "--json"])
    from .training.fit import fit

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
    from .training.drawn import is_drawn

    if is_drawn(recipe.data) or recipe.pretrain.task != "labels":
        return f"vmf train --data DATA --model {checkpoint} --out FOLDER"
    return f"vmf evaluate {checkpoint} {source_words(recipe.data)}"


def _list_recipes(as_json: bool) -> int:
    from .training.shipped import format_recipes, shipped_names, shipped_recipe

    recipes = [shipped_recipe(name) for name in shipped_names()]
    if as_json:
        print_json([dataclasses.asdict(recipe) for recipe in recipes])
    else:
        print(format_recipes(recipes))
    return 0


def _predict(args: argparse.Namespace) -> int:
    from .console import track
    from .inference import Predictor, exit_status, expand_sources
    from .inference.output import PredictionTable, failure_summary, to_json, write_csv

    if args.csv is not None:
        check_file(args.csv)
    paths = expand_sources(args.sources)
    predictor = Predictor(
        model_of(args),
        device=args.device,
        num_views=args.num_views,
        num_crops=args.num_crops,
        precision=args.precision,
        average=args.average,
        reading=reading_of(args),
    )
    found = predictor.predict_many(paths, top_k=args.top_k, num_workers=args.num_workers)
    table = PredictionTable(paths, labels=predictor.class_names)
    results = []
    if not args.json:
        if predictor.scorer.multi_label:
            say("several classes may hold at once: scores need not sum to 1")
        print("\n".join(table.head()))
    for result in track(found, description="predicting", total=len(paths)):
        results.append(result)
        if not args.json:
            print("\n".join(table.lines(result)), flush=True)
    if args.csv is not None:
        write_csv(args.csv, results)
    if args.json:
        print_json(
            to_json(
                results,
                model=args.model,
                num_views=args.num_views,
                multi_label=predictor.scorer.multi_label,
                artifact=getattr(predictor.scorer.model, "facts", None),
            )
        )
    for line in failure_summary(results):
        say(line)
    return exit_status(results)


def _demo(args: argparse.Namespace) -> int:
    from .demo import run_demo

    result = run_demo(Path(args.out), seed=args.seed)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
