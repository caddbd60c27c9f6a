"""What each person in a video does: one answer a track."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.loading.sampling import is_short, views
from ...data.video.backend import Reading
from ...data.video.reader import VideoReader
from ...errors import UserError, VideoError
from ..predictor import Prediction, PredictionFailure, Predictor
from .boxes import LEAST_SECONDS, Boxes, read_boxes
from .crops import MARGIN, cut_out, of_track, steady_squares
from .detector import Detector
from .tracking import track_boxes

_CHUNK = 16
"""Frames decoded at once while looking for persons."""
_AT_ONCE = 8
"""Persons scored at once."""


@dataclass(frozen=True)
class PersonPrediction:
    """What one person does."""

    track: int
    """Number of the person in this video."""
    start_seconds: float
    """Of the first box."""
    end_seconds: float
    """Of the last box."""
    num_boxes: int
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels: the mean over the boxes."""
    prediction: Prediction

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = self.prediction.to_dict()
        return {
            "track": self.track,
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "num_boxes": self.num_boxes,
            "box": [round(side, 1) for side in self.box],
            **{key: value for key, value in found.items() if key != "path"},
        }


def find_boxes(
    path: str | os.PathLike[str],
    detector: Detector,
    *,
    rate: float = 10.0,
    reading: Reading | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Boxes, np.ndarray]:
    """Look for persons in a video.

    Args:
        path: A file, a folder of pictures, or a URL.
        detector: Run on each picture that is looked at.
        rate: Pictures per second that are looked at, at most.
        reading: How the video is read.
        progress: Is told how many pictures are done, and of how many.

    Returns:
        Boxes without tracks, and the ``(T,)`` seconds of the pictures that were looked at.

    Raises:
        VideoError: If the video cannot be read.
        UserError: If the rate is not above 0.
    """
    if not rate > 0:
        raise UserError(f"rate must be above 0, not {rate}")
    with VideoReader(os.fspath(path), reading=reading) as reader:
        times = reader.timestamps()
        slots = np.floor((times - times[0]) * rate + 1e-3)
        times = times[np.concatenate([[True], np.diff(slots) > 0])]
        seconds, corners, scores = [], [], []
        for begin in range(0, len(times), _CHUNK):
            part = times[begin : begin + _CHUNK]
            for at, frame in zip(part, reader.frames(part), strict=True):
                found = detector(frame.permute(1, 2, 0).contiguous().cpu().numpy())
                seconds += [at] * len(found.scores)
                corners.append(found.corners)
                scores.append(found.scores)
            if progress is not None:
                progress(begin + len(part), len(times))
    count = len(seconds)
    return (
        Boxes(
            np.array(seconds, dtype=np.float64),
            np.concatenate(corners).reshape(count, 4),
            np.concatenate(scores),
            np.full(count, -1, dtype=np.int64),
        ),
        times,
    )


def boxes_of(
    path: str | os.PathLike[str],
    persons: str | os.PathLike[str] | Detector,
    *,
    rate: float = 10.0,
    reading: Reading | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Boxes:
    """The tracked boxes of a video, of a list or of a detector.

    Args:
        path: The video.
        persons: A list of boxes, see :func:`~.boxes.read_boxes`, or a detector.
        rate: As for :func:`find_boxes`.
        reading: How the video is read.
        progress: As for :func:`find_boxes`.

    Raises:
        VideoError: If the video cannot be read.
        UserError: As :func:`~.boxes.read_boxes`; or if tracking is needed and not installed.
    """
    if isinstance(persons, Detector):
        boxes, times = find_boxes(path, persons, rate=rate, reading=reading, progress=progress)
        return track_boxes(boxes, times)
    with VideoReader(os.fspath(path), reading=reading) as reader:
        times, info = reader.timestamps(), reader.info
    listed, video = Path(persons), os.fspath(path)
    boxes = read_boxes(listed, times, info.width, info.height, video=video)
    if boxes.tracked:
        return boxes
    # The frames in which somebody looked: those of the list, and the gaps between at its pace.
    return track_boxes(boxes, _looked_at(boxes.seconds, times))


def _looked_at(listed: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times of the frames in which was looked for persons, of those where some were found."""
    found = np.unique(listed)
    ranks = np.searchsorted(times, found)
    step = int(np.median(np.diff(ranks))) if len(ranks) > 1 else 1
    between = np.arange(ranks[0], ranks[-1] + 1, max(1, step))
    return np.unique(np.concatenate([found, times[between]]))


def predict_persons(
    predictor: Predictor,
    path: str | os.PathLike[str],
    boxes: Boxes,
    *,
    top_k: int = 5,
    margin: float = MARGIN,
) -> Iterator[PersonPrediction]:
    """Say what each person in a video does.

    Each track is seen as a video of its own: ``predictor.num_views`` clips, sampled as the model
    asks from its first box to its last, cut out steadily; probabilities are averaged over them.

    Args:
        predictor: The model, with one crop: that of the person takes its place.
        path: The video.
        boxes: Tracked boxes in it, of :func:`boxes_of`.
        top_k: Classes a person.
        margin: Around a person, as a share of the side of the box.

    Yields:
        The persons in the order of their numbers; those seen for less than
        :data:`~.boxes.LEAST_SECONDS` are left out.

    Raises:
        VideoError: If the video cannot be read, or the scores of a person are not finite.
        UserError: If the predictor has several crops.
    """
    if predictor.num_crops != 1:
        raise UserError("num_crops must be 1 for persons, whose crop is that of their box")
    spec = predictor.scorer.clip
    with VideoReader(os.fspath(path), reading=predictor.reading) as reader:
        times = reader.timestamps()
        waiting: list[tuple[int, Boxes, Tensor, bool]] = []
        for track in np.unique(boxes.tracks).tolist():
            own = of_track(boxes, track)
            first, last = own.seconds[0], own.seconds[-1]
            if track < 0 or last - first < LEAST_SECONDS:
                continue
            during = times[(times >= first - 1e-6) & (times <= last + 1e-6)]
            clips = []
            for ranks in views(during, spec, predictor.num_views):
                at = during[ranks]
                squares = steady_squares(own, at, margin=margin)
                clips.append(cut_out(reader.frames(at).cpu(), squares, spec.crop_size))
            stacked = torch.stack(clips).transpose(1, 2)  # (V, 3, T, S, S)
            waiting.append((track, own, stacked, is_short(during, spec)))
            if len(waiting) == _AT_ONCE:
                yield from _scored(predictor, os.fspath(path), waiting, top_k)
                waiting = []
        yield from _scored(predictor, os.fspath(path), waiting, top_k)


def _scored(
    predictor: Predictor, path: str, waiting: list[tuple[int, Boxes, Tensor, bool]], top_k: int
) -> Iterator[PersonPrediction]:
    if not waiting:
        return
    clips = torch.stack([one[2] for one in waiting])
    padded = [one[3] for one in waiting]
    results = predictor.score(clips, [path] * len(waiting), padded, top_k)
    for (track, own, _, _), result in zip(waiting, results, strict=True):
        if isinstance(result, PredictionFailure):
            raise VideoError(path, f"person {track}: {result.reason}")
        mean = own.corners.mean(axis=0)
        yield PersonPrediction(
            track=track,
            start_seconds=float(own.seconds[0]),
            end_seconds=float(own.seconds[-1]),
            num_boxes=len(own),
            box=(float(mean[0]), float(mean[1]), float(mean[2]), float(mean[3])),
            prediction=result,
        )
