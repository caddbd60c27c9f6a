"""The command ``vmf evaluate``: measure a model, or several and then compare them."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import say
from .data_commands import add_source_options, source_of, warn_of_fold
from .errors import UserError
from .files import check_folder
from .shared_options import (
    EXIT_FAILED_FILES,
    add_quarantine,
    add_run_options,
    add_views,
    model_of,
    print_json,
    reading_of,
    whole_number,
)

if TYPE_CHECKING:
    from .data.index import ClipIndex
    from .evaluation import Evaluation, MultiLabelEvaluation
    from .export.runner import ExportedModel
    from .models import VideoModel

Measured = tuple["Evaluation | MultiLabelEvaluation", str]
"""An evaluation and the name of the split."""


def add_evaluate(commands: Any) -> None:
    """Add ``evaluate`` to the commands of ``vmf``.

    Args:
        commands: The sub-parsers of ``vmf``.
    """
    summary = "measure and compare checkpoints on labelled clips"
    parser = commands.add_parser("evaluate", help=summary, description=summary.capitalize())
    parser.set_defaults(run=_evaluate)
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
    parser.add_argument(
        "--out",
        help="folder of the report; default: beside the checkpoint, of several ./comparison",
    )
    add_views(parser, several=True)
    parser.add_argument(
        "--sampling",
        choices=("uniform", "dense"),
        help="uniform: a frame from each of equal parts of a video; dense: frames --stride apart; "
        "default: as each model was trained",
    )
    parser.add_argument(
        "--stride",
        type=whole_number(1),
        metavar="N",
        help="of dense clips: step between frames, counted at 30 fps; default: the model's",
    )
    parser.add_argument(
        "--batch_size",
        type=whole_number(1),
        default=8,
        metavar="N",
        help="clips at once (default: 8)",
    )
    parser.add_argument(
        "--freeze_frame",
        type=whole_number(0),
        metavar="K",
        help="show only the K-th sampled frame (from 0): how much is recognised without motion",
    )
    parser.add_argument(
        "--no_pictures", action="store_true", help="no frames of wrong clips on the page"
    )
    add_run_options(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluation.predictions import is_report

    if len(args.models) > 1:
        from .compare_command import compare_models

        return compare_models(args)
    args.model = args.models[0]
    args.num_views = per_model("num_views", args.num_views, 1)[0]
    args.num_crops = per_model("num_crops", args.num_crops, 1)[0]
    if args.out:
        check_folder(args.out)
    if is_report(args.model):
        raise UserError(f"{args.model} is a report: name others to compare it with")
    model = model_of(args)
    result, split = measure(args, model, *chosen_clips(args, model))
    folder = Path(args.model)
    default = folder.parent / f"{folder.name}-on-{split}"
    page = result.write(args.out or default)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    say(f"report: {page}")
    return EXIT_FAILED_FILES if result.method.failures else 0


def chosen_clips(
    args: argparse.Namespace, model: VideoModel | ExportedModel
) -> tuple[ClipIndex, str | None]:
    """What a model is to be measured on: the clips of the data, and the split of them.

    Args:
        args: Options of the command; ``model`` is the path of the model.
        model: The model.

    Raises:
        DataError: If the data or a list of clips to leave out cannot be read.
    """
    from .data.index import load_index
    from .training.held_out import with_held_out
    from .training.left_out import list_of, without

    # Labels are names: with the checkpoint's own list they cannot end up in another order.
    source = source_of(args)
    if model.multi_label:
        # The label column of a list is read as the model needs it.
        source = dataclasses.replace(source, multi_label=True)
    index = load_index(
        source, class_names=model.class_names, class_names_of=f"the model {args.model}"
    )
    warn_of_fold(model.info, args)
    given = set(index.splits())
    # The run may have been before the list or after it.
    index = with_held_out(index, model.info)
    left_out = list_of(args.quarantine, source.path)
    if left_out is not None:
        index = without(index, left_out, of_run=False)
        index = with_held_out(index, model.info) if set(index.splits()) <= given else index
    if args.split is not None:
        return index, None if args.split == "all" else args.split
    return index, _default_split(index, held_out=bool(set(index.splits()) - given))


def measure(
    args: argparse.Namespace,
    model: VideoModel | ExportedModel,
    index: ClipIndex,
    split: str | None,
) -> Measured:
    """Measure a model as the options say.

    Args:
        args: Options of the command; ``model``, ``num_views`` and ``num_crops`` are of this model.
        model: The model.
        index: The clips.
        split: The part of them; None is all.
    """
    from .evaluation import evaluate, evaluate_multi_label

    run = functools.partial(evaluate, thumbnails=not args.no_pictures)
    result = (evaluate_multi_label if index.multi_label else run)(
        model,
        index,
        split=split,
        num_views=args.num_views,
        num_crops=args.num_crops,
        sampling=args.sampling,
        stride=args.stride,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        device=args.device,
        precision=args.precision,
        freeze_frames=args.freeze_frame,
        average=args.average,
        model_name=args.model,
        reading=reading_of(args),
    )
    return result, split or "all"


def _default_split(index: ClipIndex, *, held_out: bool) -> str | None:
    splits = index.splits()
    found = next((name for name in ("test", "val") if name in splits), None)
    if found == "val" and held_out:
        say(
            f"measuring the {splits['val']} of {len(index)} clips that the training of this model "
            "held out (all: --split all)"
        )
    elif found is not None:
        say(f"measuring the {found} split of {index.source} (others: --split)")
    return found


def per_model(name: str, values: Sequence[Any], count: int) -> list[Any]:
    """One value for each model, of one for all or of as many as there are models.

    Raises:
        UserError: If there are other numbers of them.
    """
    if len(values) not in (1, count):
        each = f", or one for each of {count} models" if count > 1 else " for one model"
        raise UserError(f"--{name} takes one value{each}: {len(values)} given")
    return list(values) * count if len(values) == 1 else list(values)
