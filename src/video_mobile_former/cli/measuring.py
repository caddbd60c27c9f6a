"""What ``vmf evaluate`` does for each of its models: choose clips, score them."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import say
from ..errors import UserError
from .options import reading_of, source_of

if TYPE_CHECKING:
    from ..data.index.measurable import MeasurableClips
    from ..evaluation import Evaluation
    from ..evaluation.compare import Speed
    from ..export.runner import ExportedModel
    from ..models import VideoModel


_SPEED_SECONDS = 5.0
"""For the timed calls of one model."""


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
    from ..export.loading import model_bytes

    found = evaluate(
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
    cost = dataclasses.replace(found.cost, file_bytes=model_bytes(args.model))
    return dataclasses.replace(found, cost=cost)


def measured_speeds(paths: Sequence[str | None]) -> list[Speed | None]:
    """Time and memory of models on this machine, timed in turn so that they can be compared.

    Args:
        paths: Of checkpoints and artefacts; None where a model is not to be measured.

    Raises:
        UserError: If one cannot be loaded or run.
    """
    from ..benchmark import ModelChoice, prepare, time_contestants
    from ..evaluation.compare import Speed

    chosen = [ModelChoice.parse(path) for path in paths if path is not None]
    if not chosen:
        return [None for _ in paths]
    with tempfile.TemporaryDirectory(prefix="vmf-speed-") as folder:
        contestants = prepare(chosen, folder=Path(folder))
    rows = iter(time_contestants(contestants, seconds=_SPEED_SECONDS))
    found: list[Speed | None] = []
    for path in paths:
        row = None if path is None else next(rows)
        found.append(None if row is None else Speed.of(row))
    return found


def measure_events(
    args: argparse.Namespace, model: VideoModel | ExportedModel, chosen: MeasurableClips
) -> Evaluation[Any, Any]:
    """Measure on data with times of events, and first fit thresholds where that is asked for.

    Raises:
        UserError: If thresholds are to be fitted on what the model was trained on, or kept in what
            is no checkpoint.
    """
    from ..evaluation.events import evaluate_events, fit_thresholds, score_files, store_thresholds
    from ..inference.stream import StreamPredictor
    from .find import event_settings

    if args.fit_thresholds and not Path(args.model, "config.json").is_file():
        raise UserError(f"--fit_thresholds: {args.model} is no folder of a checkpoint")
    if args.fit_thresholds and chosen.split in ("train", "test", None):
        raise UserError(
            "--fit_thresholds: fit on validation files (--split val), not on "
            f"{chosen.split or 'all'}"
        )
    settings, thresholds = event_settings(args, model)
    predictor = StreamPredictor(
        model,
        device=args.device,
        precision=args.precision,
        window_seconds=args.window_seconds,
        stride_seconds=args.stride_seconds,
        batch_size=args.batch_size,
    )
    reading = reading_of(args)
    scored, failures = score_files(predictor, chosen, reading)
    if args.fit_thresholds:
        thresholds = fit_thresholds(scored, predictor.class_names or (), settings)
        of = f"{chosen.split} of {chosen.index.source}"
        store_thresholds(args.model, thresholds, of)
        count = len(thresholds)
        say(f"thresholds of {count} class{'' if count == 1 else 'es'} are kept in {args.model}")
    return evaluate_events(
        predictor,
        chosen,
        settings=settings,
        thresholds=thresholds,
        scored=scored,
        failures=failures,
        model_name=args.model,
        reading=reading,
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
