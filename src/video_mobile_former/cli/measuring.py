"""measuring."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..console import say
from ..errors import UserError
from .options import reading_of, source_of, warn_of_fold

if TYPE_CHECKING:
    from ..data.index.index import ClipIndex
    from ..evaluation import Evaluation, MultiLabelEvaluation
    from ..export.runner import ExportedModel
    from ..models import VideoModel


Measured = tuple["Evaluation | MultiLabelEvaluation", str]
"""An evaluation and the name of the split."""


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
    from ..data.index.held_out import with_held_out
    from ..data.index.index import load_index
    from ..data.index.quarantine import list_of, without

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
    excluded = list_of(args.quarantine, source.path)
    if excluded is not None:
        index = without(index, excluded, of_run=False)
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
    from ..evaluation import evaluate, evaluate_multi_label

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
