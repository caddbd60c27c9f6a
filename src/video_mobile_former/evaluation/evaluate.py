"""Measuring a model on labelled clips."""

from __future__ import annotations

import dataclasses
import datetime
import platform
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from ..console import say, track
from ..data.index.index import ClipIndex
from ..data.index.labels import check_classes
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
    clip_spec,
    describe_device,
    is_multi_label,
    named_classes,
)
from ..optional import require
from ..profiling.cost import known_cost
from ..version import __version__
from .metrics.calibration import calibration
from .metrics.curves import class_curves
from .metrics.single_label import compute_metrics, top_hits
from .notes import data_notes, notes_of, training_seed
from .result import TRAINED_ON, ClipResult, Cost, Evaluation, Method
from .thumbnails import confused_thumbnails
from .views import Scores, check_frozen_frame, score_clips


def evaluate(
    model: nn.Module,
    index: ClipIndex,
    *,
    split: str | None = None,
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
) -> Evaluation:
    """Measure accuracy and cost of a model that tells one class of each clip.

    Args:
        model: Maps (B, 3, T, H, W) to logits; carries ``clip`` and, where they are known,
            ``class_names``. It is not changed, and need not be in eval mode.
        index: The labelled clips, with their classes in the order of the model's.
        split: ``"train"``, ``"val"`` or ``"test"``; None takes every clip of ``index``.
        num_views: Clips in time per video, at least 1, or ``"full"``: as many as see the whole of
            each video. Costs are then the mean over the videos.
        num_crops: Crops of each, at least 1.
        sampling: How frames are spread over a video, where not as the model was made for.
        stride: Of dense clips: step between frames, counted in frames of a 30 fps video.
        batch_size: Videos per batch; also the largest number of views in one forward pass.
        num_workers: Processes that decode; None takes the usable cores, at most 8.
        device: ``"auto"`` or a name torch knows.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        freeze_frames: Position k in [0, T): every frame of a clip is replaced by its k-th sampled
            one. What is then still recognised is recognised without motion.
        average: Over views: ``"probabilities"`` or ``"logits"``.
        model_name: Name or folder of the model, for the report.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.
        thumbnails: Whether the page may show frames of clips that were taken for another class.

    Returns:
        Metrics, cost, method and the result of every clip.

    Raises:
        DataError: If the classes do not fit the model's, the split has no clips, or model or clips
            are multi-label, see :func:`.evaluate_multi_label`.
        VideoError: If more than half of the clips, or 20 batches in a row, cannot be read. Fewer
            are left out, and ``method.failures`` and a note name them.
        UserError: If an argument is out of range.
    """
    scored = score_index(
        model,
        index,
        multi_label=False,
        split=split,
        num_views=num_views,
        num_crops=num_crops,
        sampling=sampling,
        stride=stride,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        precision=precision,
        freeze_frames=freeze_frames,
        average=average,
        model_name=model_name,
        reading=reading,
    )
    index, scores = scored.index, scored.scores
    groups = [clip.group for clip in index.clips]
    metrics = compute_metrics(scores.probabilities, scores.labels, index.class_names, groups)
    clips = tuple(_clip_results(scores, index))
    own = one_hot(scores.labels, len(index.class_names))
    right = top_hits(scores.probabilities, scores.labels, 1)
    return Evaluation(
        metrics=metrics,
        cost=scored.cost,
        method=scored.method,
        clips=clips,
        notes=scored.notes,
        calibration=calibration(scores.probabilities.amax(1).numpy(), right.numpy()),
        scores=scores.probabilities,
        curves=class_curves(scores.probabilities, own > 0),
        thumbnails=confused_thumbnails(metrics, clips, index, reading) if thumbnails else {},
    )


@dataclass(frozen=True)
class Scored:
    """The clips of an index, scored, and all that a report says about how."""

    index: ClipIndex
    """Only the clips of the split, without those that cannot be read."""
    scores: Scores
    cost: Cost
    method: Method
    notes: tuple[str, ...]


def score_index(
    model: nn.Module,
    index: ClipIndex,
    *,
    multi_label: bool,
    split: str | None = None,
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
) -> Scored:
    """Score all clips of a split; the arguments and errors are those of :func:`evaluate`.

    Args:
        model: The model.
        index: The labelled clips.
        multi_label: Whether model and clips must be multi-label, or must not.
    """
    # Better now than after an hour of scoring.
    require("torchmetrics", extra="train", purpose="evaluation")
    spec = clip_spec(model).sampled(sampling, stride)
    for name, value in (
        ("num_views", 1 if num_views == "full" else num_views),
        ("num_crops", num_crops),
        ("batch_size", batch_size),
    ):
        at_least_one(name, value)
    check_frozen_frame(freeze_frames, spec.num_frames)
    if split is not None:
        index = index.split(split)
    if not index.clips:
        raise DataError(f"{index.source}: there are no clips to evaluate")
    _check_kind(model, index, multi_label)
    names = named_classes(model)
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
    clips = index.clips
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
        device=describe_device(scorer.device, getattr(model, "threads", None)),
        artefact=getattr(model, "facts", None),
        versions=_versions(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(scores.seconds, 3),
        failures=tuple(
            {
                "name": failure.path,
                "start_seconds": clips[failure.index].start_seconds,
                "end_seconds": clips[failure.index].end_seconds,
                "reason": failure.reason,
            }
            for failure in scores.failures
        ),
    )
    shape = (1, 3, spec.num_frames, spec.crop_size, spec.crop_size)
    parameters, macs = known_cost(model, shape)
    cost = Cost(
        parameters=parameters,
        macs_per_view=macs,
        num_views=views,
        num_crops=num_crops,
    )
    return Scored(index, scores, cost, method, tuple(notes_of(method, index, model)))


def _check_kind(model: nn.Module, index: ClipIndex, multi_label: bool) -> None:
    """Refuse clips of several classes for a model that tells one, and the other way round."""
    if is_multi_label(model) != index.multi_label:
        tells = "several classes" if is_multi_label(model) else "one class"
        have = "are multi-label" if index.multi_label else "have one class each"
        raise DataError(
            f"{index.source}: its clips {have}, and the model was trained to tell {tells} of a clip"
        )
    if index.multi_label != multi_label:
        other = "evaluate_multi_label" if index.multi_label else "evaluate"
        raise DataError(f"{index.source}: measure these clips and this model with {other}()")


def _split_name(index: ClipIndex) -> str | None:
    splits = index.splits()
    only = next(iter(splits), None)
    return only if len(splits) == 1 and splits[only or ""] == len(index) else None


def _clip_results(scores: Scores, index: ClipIndex) -> list[ClipResult]:
    predicted = scores.probabilities.argmax(dim=1)  # as the metrics take it, also on ties
    pair = torch.stack([predicted, scores.labels], dim=1)
    values = scores.probabilities.gather(1, pair).tolist()
    rows = zip(index.clips, predicted.tolist(), values, strict=True)
    return [
        ClipResult(
            name=clip.name or clip.path,
            true=index.class_names[clip.label],
            predicted=index.class_names[number],
            score=round(score, 6),
            true_score=round(true_score, 6),
            correct=number == clip.label,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            group=clip.group,
        )
        for clip, number, (score, true_score) in rows
    ]


def _versions() -> dict[str, str]:
    import av

    return {
        "video-mobile-former": __version__,
        "torch": torch.__version__,
        "av": av.__version__,
        "python": platform.python_version(),
    }
