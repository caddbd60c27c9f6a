"""The command ``vmf``: parse, call, print.

Results go to stdout, progress and messages to stderr. Exit status: 0 done; 1 some of several
files failed; 2 the input is wrong, one line says how; 130 interrupted. Libraries are imported in
the command that needs them, so that ``vmf --help`` is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import UserError
from ..version import __version__
from .benchmark import add_benchmark
from .data import add_data_commands
from .evaluate import add_evaluate
from .export import add_export
from .options import (
    Parser,
    add_json,
    add_run_options,
    add_source_options,
    add_views,
    print_json,
    source_of,
)
from .predict import _add_model, _predict
from .train import _train

EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 2, 130


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

    demo = _command(
        commands, "demo", _demo, "train on procedural clips and report, in three minutes"
    )
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


def _models(args: argparse.Namespace) -> int:
    from ..profiling.table import cost_rows, format_rows

    rows = cost_rows(args.filter)
    if args.json:
        print_json(rows)
    else:
        print(format_rows(rows))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from ..demo import run_demo

    result = run_demo(Path(args.out), seed=args.seed)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
