"""The command ``vmf predict``: parse, call, print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import UserError
from ..files import check_replaceable
from .options import (
    add_overwrite,
    add_run_options,
    add_views,
    model_of,
    out_file,
    print_json,
    reading_of,
)
from .parser import add_command, whole_number


def add_predict(commands: Any) -> None:
    """Add ``predict`` to the commands of ``vmf``."""
    parser = add_command(commands, "predict", run, "name the action in video files")
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, as runs/x/best, or artefact of export"
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="files, folders or quoted patterns"
    )
    parser.add_argument(
        "--top_k",
        type=whole_number(1, 100_000),
        default=5,
        metavar="N",
        help="classes per file (default: 5)",
    )
    parser.add_argument(
        "--csv", type=out_file, metavar="FILE", help="also write path,rank,label,score,error"
    )
    add_overwrite(parser, "replace a --csv that vmf did not write")
    add_views(parser)
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and print; the exit status is 1 where some files failed."""
    from ..console import track
    from ..inference import Predictor, exit_status, expand_sources
    from ..inference.output import PredictionTable, failure_summary, to_json, write_csv

    if args.csv is not None:
        check_replaceable([args.csv], args.csv, overwrite=args.overwrite)
    paths = expand_sources(args.sources)
    if args.csv is not None and any(
        Path(args.csv).resolve() == Path(path).resolve() for path in paths
    ):
        raise UserError(f"--csv {args.csv} is one of the videos")
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
        write_csv(args.csv, results, overwrite=args.overwrite)
    if args.json:
        print_json(
            to_json(
                results,
                model=args.model,
                num_views=args.num_views,
                multi_label=predictor.scorer.multi_label,
                artefact=predictor.scorer.model.facts,
            )
        )
    for line in failure_summary(results):
        say(line)
    return exit_status(results)
