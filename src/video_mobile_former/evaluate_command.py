"""The command ``vmf evaluate``: measure a model, or several and then compare them."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
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
        return compare_models(args)
    args.model = args.models[0]
    args.num_views = per_model("num_views", args.num_views, 1)[0]
    args.num_crops = per_model("num_crops", args.num_crops, 1)[0]
    if args.out:
        check_folder(args.out)
    if is_report(args.model):
        raise UserError(f"{args.model} is a report: name others to compare it with")
    result, split = _measure(args, model_of(args))
    folder = Path(args.model)
    default = folder.parent / f"{folder.name}-on-{split}"
    page = result.write(args.out or default)
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.summary())
    say(f"report: {page}")
    return EXIT_FAILED_FILES if result.method.failures else 0


def _measure(args: argparse.Namespace, model: VideoModel | ExportedModel) -> Measured:
    from .data.index import load_index
    from .evaluation import evaluate, evaluate_multi_label
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
    given = index.splits()
    # The run may have been before the list or after it.
    index = with_held_out(index, model.info)
    left_out = list_of(args.quarantine, source.path)
    if left_out is not None:
        index = without(index, left_out, of_run=False)
        index = with_held_out(index, model.info) if index.splits() == given else index
    split = args.split or _default_split(index, held_out=bool(set(index.splits()) - set(given)))
    split = None if split == "all" else split
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


def compare_models(args: argparse.Namespace) -> int:
    """Measure models, or read what was measured, and write the comparison.

    Args:
        args: Options of the command; ``models`` are at least two.

    Raises:
        UserError: If models, reports or clips do not belong together.
    """
    from .evaluation.alignment import check_same_classes
    from .evaluation.compare import compare
    from .evaluation.predictions import is_report, load_run, run_of
    from .evaluation.result import note_lines
    from .inference.scorer import at_least_one

    names = short_names(args.models)
    views = per_model("num_views", args.num_views, len(names))
    crops = per_model("num_crops", args.num_crops, len(names))
    out, folders = Path(args.out or "comparison"), _folder_names(names)
    check_folder(out)
    for name, values in (("num_views", views), ("num_crops", crops)):
        for value in values:
            at_least_one(name, 1 if value == "full" else value)
    runs: list[Any] = []
    models: list[Any] = []
    # All that can be refused is refused before an hour of scoring.
    known: list[tuple[str, Any]] = []
    for path, name in zip(args.models, names, strict=True):
        run: Any = load_run(path, name) if is_report(path) else None
        args.model = path
        model: Any = None if run is not None else model_of(args)
        runs.append(run)
        models.append(model)
        classes = (run or model).class_names
        if classes is not None:
            known.append((name, classes))
            check_same_classes(classes, known[0][1], name, known[0][0])
        if model is not None:
            try:
                model.clip.sampled(args.sampling, args.stride)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
    unread = False
    for i, (path, name, model) in enumerate(zip(args.models, names, models, strict=True)):
        if model is None:
            continue
        say(f"{name} ({i + 1} of {len(names)})")
        one = argparse.Namespace(
            **{**vars(args), "model": path, "num_views": views[i], "num_crops": crops[i]}
        )
        result, _ = _measure(one, model)
        result.write(out / "models" / folders[i])
        unread = unread or bool(result.method.failures)
        runs[i] = run_of(result, name)
    found = compare(runs)
    page = found.write(out)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(found.summary())
    for line in note_lines(found.notes):
        say(line)
    say(f"comparison: {page}")
    return EXIT_FAILED_FILES if unread else 0


def short_names(paths: Sequence[str]) -> list[str]:
    """Paths without what all of them share at begin and end, so that tables can hold them.

    Args:
        paths: At least two. A path that is given twice gets a number.
    """
    found = [Path(path) for path in paths]
    if any(not path.parts or ".." in path.parts for path in found):  # these name nothing
        found = [path.resolve() for path in found]
    parts = [list(path.parts) for path in found]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    names: list[str] = []
    for part in parts:
        name = "/".join(part).strip("/")
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def _folder_names(names: Sequence[str]) -> list[str]:
    """Names without separators; those that are then the same get a number."""
    flat = [name.replace("/", "-").replace("\\", "-") for name in names]
    return [
        name if flat.index(name) == i else f"{name} ({flat[:i].count(name) + 1})"
        for i, name in enumerate(flat)
    ]
