"""The command ``vmf evaluate``: measure a model, or several and then compare them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..console import say
from ..errors import UserError
from .find import add_event_options
from .measuring import chosen_clips, evaluate_chosen, measure_events, per_model
from .options import (
    EXIT_FAILED_FILES,
    add_out,
    add_overwrite,
    add_quarantine,
    add_run_options,
    add_source_options,
    add_views,
    check_outside,
    model_of,
    print_json,
)
from .parser import add_command, whole_number


def add_evaluate(commands: Any) -> None:
    """Add ``evaluate`` to the commands of ``vmf``."""
    summary = "measure and compare checkpoints on labelled clips"
    parser = add_command(commands, "evaluate", run, summary)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="checkpoint folder, as runs/x/best, artefact of export, or report of an earlier "
        "evaluation; several are compared",
    )
    parser.add_argument(
        "--data", help="folder of class folders, CSV with path,label, or what --format says"
    )
    add_source_options(parser)
    add_quarantine(parser, "its own list, as `vmf train` takes it")
    parser.add_argument(
        "--split",
        help="train, val, test or all; default: test, else val, else what training held out, "
        "else all",
    )
    add_out(parser, "folder of the report; default: beside the checkpoint, of several ./comparison")
    add_overwrite(parser)
    add_views(parser, several=True)
    parser.add_argument(
        "--sampling",
        choices=("uniform", "dense"),
        help="uniform: a frame from each of equal parts of a video; dense: frames --stride apart; "
        "default: as each model was trained",
    )
    parser.add_argument(
        "--stride",
        type=whole_number(1, 1024),
        metavar="N",
        help="of dense clips: step between frames, counted at 30 fps; default: the model's",
    )
    parser.add_argument(
        "--batch_size",
        type=whole_number(1, 16_384),
        default=8,
        metavar="N",
        help="clips at once (default: 8)",
    )
    parser.add_argument(
        "--freeze_frame",
        type=whole_number(0, 1024),
        metavar="K",
        help="show only the K-th sampled frame (from 0): how much is recognised without motion",
    )
    parser.add_argument(
        "--no_pictures", action="store_true", help="no frames of wrong clips on the page"
    )
    parser.add_argument(
        "--speed",
        action="store_true",
        help="of several models: also time one view with each and measure its memory, in turn, on "
        "one thread of the processor: half a minute for each model",
    )
    parser.add_argument(
        "--fit_thresholds",
        action="store_true",
        help="of data with times of events: fit the score from which each class is on, on the "
        "validation split, and keep it in the checkpoint for `vmf find` and `vmf watch`",
    )
    add_run_options(parser)
    parser.fill = add_event_options


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit status is 1 where some clips could not be read."""
    from ..evaluation import write_report
    from ..evaluation.predictions import is_report
    from ..evaluation.report.page import check_report_folder

    if len(args.models) > 1:
        from .compare import compare_models

        return compare_models(args)
    if args.speed:
        raise UserError("--speed compares models: name several, or see `vmf benchmark`")
    args.model = args.models[0]
    args.num_views = per_model("num_views", args.num_views, 1)[0]
    args.num_crops = per_model("num_crops", args.num_crops, 1)[0]
    if args.out is not None:
        check_outside(args.out, args.data)
        check_report_folder(args.out, overwrite=args.overwrite)
    if is_report(args.model):
        raise UserError(f"{args.model} is a report: name others to compare it with")
    model = model_of(args)
    if args.fit_thresholds and args.split is None:
        args.split = "val"
    chosen = chosen_clips(args, model)
    if args.fit_thresholds and not chosen.index.intervals:
        raise UserError(
            f"{chosen.index.source}: --fit_thresholds needs data with times of events, such as "
            "--format intervals"
        )
    result = (measure_events if chosen.index.intervals else evaluate_chosen)(args, model, chosen)
    folder = Path(args.model)
    default = folder.parent / f"{folder.name}-on-{chosen.split or 'all'}"
    page = write_report(result, args.out or default, overwrite=args.overwrite)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    say(f"report: {page}")
    return EXIT_FAILED_FILES if result.method.failures else 0
