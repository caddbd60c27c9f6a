"""What ``vmf evaluate`` does for each of its models: choose clips, score them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..console import say
from ..errors import UserError
from .options import reading_of, source_of

if TYPE_CHECKING:
    from ..data.index.measurable import MeasurableClips
    from ..evaluation import Evaluation
    from ..export.runner import ExportedModel
    from ..models import VideoModel


def chosen_clips(args: argparse.Namespace, model: VideoModel | ExportedModel) -> MeasurableClips:
    """What a model is to be measured on by the options of the command; says what was chosen.

    Args:
        args: Options of the command; ``model`` is the path of the model.
        model: The model.

    Raises:
        DataError: If the data or a list of clips to exclude cannot be read.
    """
    from ..data.index.measurable import measurable

    chosen = measurable(
        source_of(args),
        model.info,
        class_names=model.class_names,
        multi_label=model.multi_label,
        split=args.split,
        quarantine=args.quarantine,
        model_name=args.model,
    )
    for note in chosen.notes:
        say(note)
    return chosen


def evaluate_chosen(
    args: argparse.Namespace, model: VideoModel | ExportedModel, chosen: MeasurableClips
) -> Evaluation[Any, Any]:
    """Measure a model by the options of the command.

    Args:
        args: ``model``, ``num_views`` and ``num_crops`` are of this model.
        model: The model.
        chosen: Its clips.
    """
    from ..evaluation import evaluate

    return evaluate(
        model,
        chosen,
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
        thumbnails=not args.no_pictures,
    )


def per_model(name: str, values: Sequence[Any], count: int) -> list[Any]:
    """One value for each model, of one for all or of as many as there are models.

    Raises:
        UserError: If there are other numbers of them.
    """
    if len(values) not in (1, count):
        each = f", or one for each of {count} models" if count > 1 else " for one model"
        raise UserError(f"--{name} takes one value{each}: {len(values)} given")
    return list(values) * count if len(values) == 1 else list(values)
