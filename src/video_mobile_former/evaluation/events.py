"""Measuring how well a model finds the events of files, and fitting its thresholds."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..console import track
from ..data.index.clip import Clip
from ..data.index.labels import check_classes
from ..data.index.measurable import MeasurableClips
from ..data.video.backend import Reading
from ..data.video.from_begin import duration_of, frames_from_begin
from ..errors import CheckpointError, DataError, UserError, VideoError
from ..files import write_json
from ..inference.events import EventDetector, EventSettings, whole_events
from ..inference.find import THRESHOLDS
from ..inference.scorer import describe_device
from ..inference.stream import StreamPredictor, StreamScores
from ..models.locate import CONFIG_NAME
from ..profiling.cost import known_cost
from .clip_results import EventFile, EventSpan
from .evaluate import versions
from .metrics.events import (
    EventMetrics,
    Span,
    best_thresholds,
    compute_event_metrics,
    unmatched,
)
from .notes import training_seed
from .previews import event_previews
from .result import Cost, Evaluation, Method

TRIED = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds that are tried for each class."""


@dataclasses.dataclass(frozen=True)
class ScoredFile:
    """The scores of one file."""

    clip: Clip[int]
    windows: tuple[StreamScores, ...]
    seconds: float
    """Length of the file."""


def score_files(
    predictor: StreamPredictor, data: MeasurableClips, reading: Reading | None = None
) -> tuple[list[ScoredFile], list[dict[str, Any]]]:
    """Score all windows of all files; memory is that of the scores.

    Args:
        predictor: Scores windows.
        data: Files with events.
        reading: How they are decoded.

    Returns:
        Those that can be read, and ``name`` and ``reason`` of the others.

    Raises:
        VideoError: If more than half of them cannot be read.
    """
    scored, failures = [], []
    clips = data.clips.clips
    for clip in track(clips, description="evaluate", total=len(clips)):
        try:
            seconds = duration_of(clip.path, reading)
            windows = tuple(predictor.predict(frames_from_begin(clip.path, reading)))
        except VideoError as error:
            failures.append({"name": clip.name, "reason": error.reason})
            if len(failures) > len(clips) / 2:
                raise
            continue
        scored.append(ScoredFile(clip, windows, seconds))
    return scored, failures


def found_in(
    scored: Sequence[ScoredFile],
    class_names: Sequence[str],
    settings: EventSettings,
    thresholds: Mapping[str, tuple[float, float]] | None = None,
) -> list[Span]:
    """The events that settings make of the scores of files."""
    found = []
    for file in scored:
        detector = EventDetector(
            len(class_names), settings, class_names=class_names, thresholds=thresholds
        )
        events = []
        for window in file.windows:
            if window.restart:
                events += detector.finish()
            events += detector.update(
                window.start_seconds, window.end_seconds, window.probabilities
            )
        for event in whole_events(events + detector.finish()):
            name = class_names[event.class_index]
            times = event.start_seconds, event.end_seconds
            found.append(Span(file.clip.path, name, *times, event.score))
    return found


def true_of(scored: Sequence[ScoredFile], class_names: Sequence[str]) -> list[Span]:
    """The events that the data tells of files."""
    return [
        Span(file.clip.path, class_names[e.label], e.start_seconds, e.end_seconds)
        for file in scored
        for e in file.clip.events
    ]


def fit_thresholds(
    scored: Sequence[ScoredFile], class_names: Sequence[str], settings: EventSettings
) -> dict[str, tuple[float, float]]:
    """For each class the threshold with the best F1 at an overlap of 0.5.

    Args:
        scored: Files that the model was not trained on.
        class_names: Of the model.
        settings: All but thresholds; ``off`` keeps its share of ``on``.

    Returns:
        To go on and to go off, of the classes that have events.
    """
    tried: dict[str, list[tuple[float, list[Span]]]] = {name: [] for name in class_names}
    share = settings.off_share
    for on in TRIED:
        at = dataclasses.replace(settings, on=on, off=on * share)
        by_class: dict[str, list[Span]] = {name: [] for name in class_names}
        for span in found_in(scored, class_names, at):
            by_class[span.label].append(span)
        for name, spans in by_class.items():
            tried[name].append((on, spans))
    tried.pop(settings.background, None)
    best = best_thresholds(tried, true_of(scored, class_names))
    return {name: (on, on * share) for name, on in best.items()}


def store_thresholds(
    folder: str | Path, thresholds: Mapping[str, tuple[float, float]], fitted_on: str
) -> None:
    """Write thresholds into the configuration of a checkpoint.

    Raises:
        CheckpointError: If it is no checkpoint folder.
        UserError: If it cannot be written.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: thresholds are kept in the folder of a checkpoint"
        ) from error
    pairs = {name: [round(on, 4), round(off, 4)] for name, (on, off) in thresholds.items()}
    config["events"] = {THRESHOLDS: pairs, "fitted_on": fitted_on}
    write_json(path, config)


def evaluate_events(
    predictor: StreamPredictor,
    data: MeasurableClips,
    *,
    settings: EventSettings | None = None,
    thresholds: Mapping[str, tuple[float, float]] | None = None,
    scored: Sequence[ScoredFile] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
    model_name: str = "",
    reading: Reading | None = None,
    thumbnails: bool = True,
) -> Evaluation[EventMetrics, EventFile]:
    """Measure how well a model finds events.

    Args:
        predictor: Scores windows.
        data: Files with events.
        settings: How events are made of scores.
        thresholds: By class, in place of those of the settings.
        scored: What :func:`score_files` gave, where it is known already.
        failures: What it gave beside that.
        model_name: For the report.
        reading: How files are decoded.
        thumbnails: Whether the page may show what was missed and what was wrongly found.

    Raises:
        DataError: If there are no files, or the classes are not the model's.
    """
    settings = settings or EventSettings()
    index, names, model = data.clips, predictor.class_names, predictor.scorer.model
    if names is None:
        raise UserError(f"{model_name or 'the model'} has no class names: none to find events by")
    check_classes(index.class_names, names, index.source)
    if not index.clips:
        raise DataError(f"{index.source}: there are no files to evaluate")
    begin = time.perf_counter()
    if scored is None:
        scored, failures = score_files(predictor, data, reading)
    true, found = true_of(scored, names), found_in(scored, names, settings, thresholds)
    counted = [name for name in names if name != settings.background]
    metrics = compute_event_metrics(true, found, counted, len(scored))
    clip = predictor.clip
    windows = float(np.mean([len(file.windows) for file in scored])) if scored else 0.0
    seconds = sum(file.seconds for file in scored)
    shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    method = Method(
        model=model_name or type(model).__name__,
        data=index.source,
        split=data.split,
        num_clips=len(scored),
        clip=clip,
        num_views=windows,
        num_crops=1,
        average="probabilities",
        precision=predictor.scorer.precision,
        freeze_frames=None,
        num_padded=0,
        class_order_checked=True,
        training_seed=training_seed(model),
        device=describe_device(predictor.scorer.device, model.threads),
        artefact=model.facts,
        versions=versions(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - begin, 3),
        failures=tuple({"start_seconds": None, "end_seconds": None, **f} for f in failures),
    )
    told = {
        "window_seconds": round(predictor.window_seconds, 6),
        "stride_seconds": round(predictor.stride_seconds, 6),
        **dataclasses.asdict(settings),
        THRESHOLDS: {name: list(pair) for name, pair in (thresholds or {}).items()},
        "video_seconds": round(seconds, 3),
    }
    ranked = "Average precision ranks the events that the thresholds let through, no others."
    notes = [ranked]
    faults = [_unmatched(file, names, found) for file in scored]
    if data.split == "val":
        notes.append("These are validation files: thresholds may have been fitted on them.")
    return Evaluation(
        metrics=metrics,
        cost=Cost(*known_cost(model, shape), num_views=windows, num_crops=1),
        method=method,
        clips=tuple(
            _file(file, names, found, *own) for file, own in zip(scored, faults, strict=True)
        ),
        notes=tuple(notes),
        settings=told,
        event_previews=event_previews(faults, reading) if thumbnails else (),
    )


def _unmatched(
    file: ScoredFile, names: Sequence[str], found: Sequence[Span]
) -> tuple[list[Span], list[Span]]:
    return unmatched(true_of([file], names), [s for s in found if s.file == file.clip.path])


def _file(
    file: ScoredFile,
    names: Sequence[str],
    found: Sequence[Span],
    missed: Sequence[Span],
    wrong: Sequence[Span],
) -> EventFile:
    own = [span for span in found if span.file == file.clip.path]
    true = true_of([file], names)
    return EventFile(
        name=file.clip.name,
        true=tuple(EventSpan(s.label, s.start_seconds, s.end_seconds) for s in true),
        found=tuple(
            EventSpan(s.label, round(s.start_seconds, 3), round(s.end_seconds, 3), s.score)
            for s in own
        ),
        missed=len(missed),
        wrong=len(wrong),
    )
