"""The command ``vmf``: parse, call, print.

Results go to stdout, progress and messages to stderr. Exit status: 0 done; 1 some of several
files failed; 2 the input is wrong, one line says how; 130 interrupted. Libraries are imported in
the command that needs them, so that ``vmf --help`` is quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .benchmark_command import add_benchmark
from .console import say
from .data_commands import (
    add_data_commands,
    add_source_options,
    source_of,
    source_words,
    warn_of_fold,
)
from .errors import UserError
from .evaluate_command import views_number
from .export_command import add_export
from .version import __version__

if TYPE_CHECKING:
    from .data.frame_source import Reading
    from .data.index import ClipIndex
    from .evaluation import Evaluation, MultiLabelEvaluation
    from .export.runner import ExportedModel
    from .models import VideoModel
    from .training.recipe import Recipe

EXIT_FAILED_FILES, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130


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
    _add_json(models)

    # Listed for the help; main() sends `train` elsewhere before this parser sees it.
    _command(commands, "train", _models, "train on a folder of clips or a CSV")

    evaluate = _command(
        commands, "evaluate", _evaluate, "measure and compare checkpoints on labelled clips"
    )
    evaluate.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="checkpoint folder, as runs/x/best, artefact of export, or report of an earlier "
        "evaluation; several are compared",
    )
    evaluate.add_argument(
        "--data", help="folder of class folders, CSV with path,label, or what --format says"
    )
    add_source_options(evaluate)
    evaluate.add_argument("--split", help="split to measure; default: test, else val, else all")
    evaluate.add_argument(
        "--out",
        help="folder of the report; default: beside the checkpoint, of several ./comparison",
    )
    _add_views(evaluate, several=True)
    evaluate.add_argument("--batch_size", type=int, default=8, help="clips at once (default: 8)")
    evaluate.add_argument(
        "--freeze_frame",
        type=int,
        metavar="K",
        help="show only the K-th sampled frame (from 0): how much is recognised without motion",
    )
    evaluate.add_argument(
        "--no_pictures", action="store_true", help="no frames of wrong clips on the page"
    )
    _add_run_options(evaluate)

    predict = _command(commands, "predict", _predict, "name the action in video files")
    _add_model(predict)
    predict.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="files, folders or quoted patterns"
    )
    predict.add_argument("--top_k", type=int, default=5, help="classes per file (default: 5)")
    predict.add_argument("--csv", metavar="FILE", help="also write path,rank,label,score,error")
    _add_views(predict)
    _add_run_options(predict)

    data = _command(
        commands, "data", _models, "check clips, prepare them for speed, pack or draw them"
    )
    add_data_commands(data.add_subparsers(title="commands", metavar="COMMAND", required=True))

    add_export(commands, add_source_options, source_of)
    add_benchmark(commands)

    demo = _command(commands, "demo", _demo, "train on drawn clips and report, in three minutes")
    demo.add_argument("--out", default="demo", help="folder for clips, run and report")
    demo.add_argument("--seed", type=int, default=0, help="of clips and training (default: 0)")
    _add_json(demo)
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


def _add_views(parser: Parser, *, several: bool = False) -> None:
    more: dict[str, Any] = {"nargs": "+", "default": [1]} if several else {"default": 1}
    each = "; one for all models or one each" if several else ""
    full = ", or full: as many as see all of it" if several else ""
    parser.add_argument(
        "--num_views",
        type=views_number if several else int,
        metavar="N",
        help=f"clips per video (default: 1){full}{each}",
        **more,
    )
    parser.add_argument(
        "--num_crops", type=int, help=f"1 centre or 3 along the long side{each}", **more
    )
    parser.add_argument(
        "--average",
        choices=("probabilities", "logits"),
        default="probabilities",
        help="what is averaged over views (default: probabilities)",
    )


def _add_run_options(parser: Parser) -> None:
    parser.add_argument(
        "--backend", choices=("pyav", "torchcodec"), default="pyav", help="decoder (default: pyav)"
    )
    parser.add_argument(
        "--frame_rate",
        type=float,
        default=30.0,
        help="frames per second of clips that are folders of pictures (default: 30)",
    )
    parser.add_argument("--num_workers", type=int, help="decoding processes (default: by cores)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    _add_json(parser)


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def _models(args: argparse.Namespace) -> int:
    from .profiling.table import cost_rows, format_rows

    rows = cost_rows(args.filter)
    if args.json:
        _print_json(rows)
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
        _print_json(dataclasses.asdict(result))
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
        _print_json([dataclasses.asdict(recipe) for recipe in recipes])
    else:
        print(format_recipes(recipes))
    return 0


def _load(args: argparse.Namespace) -> VideoModel | ExportedModel:
    from .export.loading import load_model
    from .models import list_models

    if args.model in list_models() and not Path(args.model).exists():
        raise UserError(f"{args.model} is an untrained model; give the folder of a checkpoint")
    return load_model(args.model, precision=args.precision)


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluate_command import compare_models, per_model
    from .evaluation.predictions import is_report
    from .files import check_folder

    if len(args.models) > 1:
        return compare_models(args, _load, _measure)
    args.model = args.models[0]
    args.num_views = per_model("num_views", args.num_views, 1)[0]
    args.num_crops = per_model("num_crops", args.num_crops, 1)[0]
    if args.out:
        check_folder(args.out)
    if is_report(args.model):
        raise UserError(f"{args.model} is a report: name others to compare it with")
    result, split = _measure(args, _load(args))
    folder = Path(args.model)
    default = folder.parent / f"{folder.name}-on-{split}"
    page = result.write(args.out or default)
    if args.json:
        _print_json(result.to_dict())
    else:
        print(result.summary())
    say(f"report: {page}")
    return 0


def _measure(
    args: argparse.Namespace, model: VideoModel | ExportedModel
) -> tuple[Evaluation | MultiLabelEvaluation, str]:
    from .data.index import load_index
    from .evaluation import evaluate, evaluate_multi_label

    # Labels are names: with the checkpoint's own list they cannot end up in another order.
    source = source_of(args)
    if model.multi_label:
        # The label column of a list is read as the model needs it.
        source = dataclasses.replace(source, multi_label=True)
    index = load_index(
        source, class_names=model.class_names, class_names_of=f"the model {args.model}"
    )
    warn_of_fold(model.info, args)
    split = args.split or _default_split(index)
    run = functools.partial(evaluate, thumbnails=not args.no_pictures)
    result = (evaluate_multi_label if index.multi_label else run)(
        model,
        index,
        split=split,
        num_views=args.num_views,
        num_crops=args.num_crops,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        device=args.device,
        precision=args.precision,
        freeze_frames=args.freeze_frame,
        average=args.average,
        model_name=args.model,
        reading=_reading(args),
    )
    return result, split or "all"


def _reading(args: argparse.Namespace) -> Reading:
    from .data.frame_source import Reading

    return Reading(backend=args.backend, frame_rate=args.frame_rate)


def _default_split(index: ClipIndex) -> str | None:
    splits = index.splits()
    found = next((name for name in ("test", "val") if name in splits), None)
    if found is not None:
        say(f"measuring the {found} split of {index.source} (others: --split)")
    return found


def _predict(args: argparse.Namespace) -> int:
    from .console import track
    from .inference import Predictor, exit_status, expand_sources
    from .inference.output import PredictionTable, failure_summary, to_json, write_csv

    paths = expand_sources(args.sources)
    predictor = Predictor(
        _load(args),
        device=args.device,
        num_views=args.num_views,
        num_crops=args.num_crops,
        precision=args.precision,
        average=args.average,
        reading=_reading(args),
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
    if args.csv:
        write_csv(args.csv, results)
    if args.json:
        _print_json(
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
        _print_json(result.to_dict())
    else:
        print(result.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
