"""Measuring a model on labelled clips."""

from __future__ import annotations

import dataclasses
import datetime
import platform
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from ..console import say, track
from ..data.index.index import ClipIndex
from ..data.index.labels import check_classes
from ..data.index.measurable import ALL, MeasurableClips, measurable
from ..data.index.source import DataSource
from ..data.loading.dataset import ClipDataset
from ..data.loading.loader import make_loader
from ..data.loading.whole_videos import whole_videos
from ..data.video.backend import Reading
from ..errors import DataError
from ..inference.scorer import (
    Average,
    Precision,
    Scorer,
    at_least_one,
    describe_device,
)
from ..models.runnable import RunnableModel, runnable
from ..optional import require
from ..profiling.cost import known_cost
from ..version import __version__
from .clip_results import multi_label_clips, single_label_clips
from .looked_at import LookedAt, looked_at
from .metrics.calibration import calibration
from .metrics.curves import class_curves
from .metrics.enough import FEWEST_OF_A_CLASS
from .metrics.multi_label import compute_multi_label_metrics
from .metrics.single_label import compute_single_label_metrics, top_hits
from .notes import data_notes, notes_of, training_seed
from .previews import wrong_previews
from .result import TRAINED_ON, Cost, Evaluation, Method
from .views import Scores, check_frozen_frame, score_clips


def evaluate(
    model: nn.Module | RunnableModel,
    data: ClipIndex | MeasurableClips | DataSource | str | Path,
    *,
    split: str | None = None,
    quarantine: str | Path | None = None,
    num_views: int | Literal["full"] = 1,
    num_crops: int = 1,
    sampling: Literal["uniform", "dense"] | None = None,
    stride: int | None = None,
    batch_size: int = 8,
    num_workers: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "32",
    freeze_frames: int | None = None,
    average: Average = "probabilities",
    model_name: str = "",
    reading: Reading | None = None,
    thumbnails: bool = True,
) -> Evaluation[Any, Any]:
    """Measure accuracy and cost of a model.

    Metrics of single-label clips are accuracies; those of multi-label clips, which need a model
    with a true ``multi_label``, are average precisions.

    Args:
        model: Maps (B, 3, T, H, W) to logits; has ``clip`` and, where known, ``class_names`` and
            ``info``. It is not changed, and need not be in eval mode.
        data: The labelled clips: an index, with its classes in the model's order; or a folder or
            list, from which clips are chosen as by ``vmf evaluate``, see
            :func:`~..data.index.measurable.measurable`; or the result of that function, for which
            ``split`` and ``quarantine`` are ignored.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``. None takes every clip of an index;
            of a folder or list the test split, else val, else the held-out clips, else all.
        quarantine: List of clips to exclude; None takes that of ``vmf data check`` where it has
            checked this folder or list.
        num_views: Views in time per video, at least 1, or ``"full"``: enough to cover each whole
            video. Costs are then the mean over the videos.
        num_crops: Crops per view in time, at least 1.
        sampling: ``"uniform"`` or ``"dense"``; None takes the model's own.
        stride: For dense clips: step between frames, counted in frames of a 30 fps video.
        batch_size: Videos per batch; also the largest number of views in one forward pass.
        num_workers: Decoding processes; None takes the usable cores, at most 8.
        device: ``"auto"`` or a name torch knows.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        freeze_frames: Position k in [0, T): every frame of a clip is replaced by its k-th sampled
            one, to measure recognition without motion.
        average: Averaging over views: ``"probabilities"`` or ``"logits"``.
        model_name: Name or folder of the model, for messages and the report.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.
        thumbnails: Whether the page may show clips: misclassified ones, and what the tokens of the
            model look at.

    Returns:
        Metrics, cost, method and the result of every clip.

    Raises:
        DataError: If the data cannot be read, the classes do not match the model's, the split has
            no clips, or only one of model and clips is multi-label.
        VideoError: If more than half of the clips, or 20 batches in a row, cannot be read. Fewer
            are excluded and named in ``method.failures`` and a note.
        UserError: If an argument is out of range.
    """
    # Fail now rather than after an hour of scoring.
    require("torchmetrics", extra="train", purpose="evaluation")
    model = runnable(model)
    spec = model.clip.sampled(sampling, stride)
    for name, value in (
        ("num_views", 1 if num_views == "full" else num_views),
        ("num_crops", num_crops),
        ("batch_size", batch_size),
    ):
        at_least_one(name, value)
    check_frozen_frame(freeze_frames, spec.num_frames)
    names = model.class_names
    if not isinstance(data, MeasurableClips):
        data = measurable(
            data,
            model.info,
            class_names=names,
            multi_label=model.multi_label,
            split=split or (ALL if isinstance(data, ClipIndex) else None),
            quarantine=quarantine,
            model_name=model_name,
        )
        for note in data.notes:
            say(note)
    index = data.clips
    if not index.clips:
        raise DataError(f"{index.source}: there are no clips to evaluate")
    _check_kind(model, index)
    if names is not None:
        check_classes(index.class_names, names, index.source)
    for warning in (note for note in data_notes(index) if note.startswith(TRAINED_ON)):
        say(warning)

    scorer = Scorer(
        model, device=device, precision=precision, average=average, views_at_once=batch_size
    )
    if num_views == "full":
        batches = whole_videos(
            index, spec, num_crops=num_crops, num_workers=num_workers, reading=reading
        )
    else:
        dataset = ClipDataset(
            index, spec, train=False, num_views=num_views, num_crops=num_crops, reading=reading
        )
        loader = make_loader(dataset, batch_size=batch_size, num_workers=num_workers, give_up=False)
        batches = track(loader, description="evaluate", total=len(loader))
    scores = score_clips(scorer, batches, index, freeze_frames=freeze_frames)
    failures = _failures(scores, index)
    if scores.kept is not None:
        index = dataclasses.replace(index, clips=index.table.take(np.array(scores.kept)))
    views = scores.mean_views / num_crops if num_views == "full" else num_views
    method = Method(
        model=model_name or type(model).__name__,
        data=index.source,
        split=_split_name(index),
        num_clips=len(index),
        clip=spec,
        num_views=views,
        full_views=num_views == "full",
        num_crops=num_crops,
        average=average,
        precision=precision,
        freeze_frames=freeze_frames,
        num_padded=scores.num_padded,
        class_order_checked=names is not None,
        training_seed=training_seed(model),
        device=describe_device(scorer.device, model.threads),
        artefact=model.facts,
        versions=versions(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(scores.seconds, 3),
        failures=failures,
    )
    shape = (1, 3, spec.num_frames, spec.crop_size, spec.crop_size)
    cost = Cost(*known_cost(model, shape), num_views=views, num_crops=num_crops)
    notes = tuple(notes_of(method, index, model))
    shown = scorer.model if thumbnails and freeze_frames is None else None
    return _outcome(index, scores, cost, method, notes, reading, thumbnails=thumbnails, shown=shown)


def _outcome(
    index: ClipIndex,
    scores: Scores,
    cost: Cost,
    method: Method,
    notes: tuple[str, ...],
    reading: Reading | None,
    *,
    thumbnails: bool,
    shown: Any,
) -> Evaluation[Any, Any]:
    """The evaluation of the scores, single-label or multi-label as the clips are.

    ``shown`` is the model whose attention the page shows, or None.
    """
    names, groups = index.class_names, [clip.group for clip in index.clips]
    probabilities, labels = scores.probabilities, scores.labels
    attention: tuple[LookedAt, ...] = ()
    metrics: Any
    clips: Any
    if index.multi_label:
        positives = labels > 0
        metrics = compute_multi_label_metrics(probabilities, labels, names, groups)
        clips = multi_label_clips(probabilities, labels, index)
        sure, right = probabilities.flatten(), positives.flatten()
    else:
        positives = one_hot(labels, len(names)) > 0
        metrics = compute_single_label_metrics(probabilities, labels, names, groups)
        clips = single_label_clips(probabilities, labels, index)
        sure, right = probabilities.amax(1), top_hits(probabilities, labels, 1)
        if shown is not None:
            attention = looked_at(shown, method.clip, clips, index, reading)
    return Evaluation(
        metrics=metrics,
        cost=cost,
        method=method,
        clips=clips,
        notes=notes,
        calibration=calibration(sure.numpy(), right.numpy()),
        scores=probabilities,
        curves=class_curves(probabilities, positives, FEWEST_OF_A_CLASS),
        previews=wrong_previews(metrics, clips, index, reading) if thumbnails else {},
        attention=attention,
    )


def _check_kind(model: RunnableModel, index: ClipIndex) -> None:
    """Check that model and clips are both single-label or both multi-label."""
    if model.multi_label != index.multi_label:
        tells = "several classes" if model.multi_label else "one class"
        have = "are multi-label" if index.multi_label else "have one class each"
        raise DataError(
            f"{index.source}: its clips {have}, but the model was trained for {tells} per clip"
        )


def _failures(scores: Scores, index: ClipIndex) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "name": failure.path,
            "start_seconds": index.clips[failure.index].start_seconds,
            "end_seconds": index.clips[failure.index].end_seconds,
            "reason": failure.reason,
        }
        for failure in scores.failures
    )


def _split_name(index: ClipIndex) -> str | None:
    splits = index.splits()
    only = next(iter(splits), None)
    return only if len(splits) == 1 and splits[only or ""] == len(index) else None


def versions() -> dict[str, str]:
    """Of what a figure depends on."""
    import av

    return {
        "video-mobile-former": __version__,
        "torch": torch.__version__,
        "av": av.__version__,
        "python": platform.python_version(),
    }
