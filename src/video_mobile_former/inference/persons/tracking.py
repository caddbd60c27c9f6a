"""From boxes in single frames to persons: ByteTrack (arXiv 2110.06864) of trackforge."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...errors import UserError
from ...optional import require
from .boxes import UNTRACKED, Boxes

LOST_SECONDS = 1.0
"""How long a person who is not seen is waited for."""


class Tracker:
    """Gives the boxes of each frame, in their order, the numbers of persons, from 1.

    ByteTrack: boxes are matched to where a Kalman filter expects the persons, sure ones first, then
    the unsure, which only continue tracks.

    Args:
        rate: Frames per second that are given.
        sure: Score from which a box may begin a track.

    Raises:
        UserError: If a number is out of range or trackforge is not installed.
    """

    def __init__(self, rate: float, *, sure: float = 0.5):
        if not rate > 0:
            raise UserError(f"rate must be above 0, not {rate}")
        if not 0 < sure < 1:
            raise UserError(f"sure must be between 0 and 1, not {sure}")
        library: Any = require("trackforge", extra="persons", purpose="tracking of persons")
        self._tracker = library.BYTETRACK(
            track_thresh=sure,
            track_buffer=max(1, round(rate * LOST_SECONDS)),
            match_thresh=0.8,
            det_thresh=sure,
        )
        self._numbers: dict[int, int] = {}

    def update(self, corners: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Take in the boxes of the next frame.

        Args:
            corners: ``(N, 4)`` left, top, right, bottom in pixels; N may be 0.
            scores: ``(N,)`` from 0 to 1.

        Returns:
            ``(N,)`` int64 numbers of persons; :data:`.UNTRACKED` for boxes that are too unsure.
        """
        given = [
            ([float(x1), float(y1), float(x2 - x1), float(y2 - y1)], float(score), 0)
            for (x1, y1, x2, y2), score in zip(corners, scores, strict=True)
        ]
        found = np.full(len(given), UNTRACKED, dtype=np.int64)
        for track, _, _, _, place in self._tracker.update(given):
            if place is not None and 0 <= place < len(given):
                found[place] = self._numbers.setdefault(track, len(self._numbers) + 1)
        return found


def track_boxes(boxes: Boxes, times: np.ndarray, *, sure: float = 0.5) -> Boxes:
    """Say of each box which person it is of; boxes of nobody are left out.

    Args:
        boxes: Of one video; those that have tracks are returned as they are.
        times: ``(T,)`` seconds of all frames in which was looked for persons, sorted: also those
            without boxes.
        sure: As for :class:`Tracker`.
    """
    if boxes.tracked:
        return boxes
    rate = 1 / float(np.median(np.diff(times))) if len(times) > 1 else 25.0
    tracker = Tracker(rate, sure=sure)
    tracks = np.full(len(boxes), UNTRACKED, dtype=np.int64)
    for seconds in times:
        here = np.flatnonzero(boxes.seconds == seconds)
        tracks[here] = tracker.update(boxes.corners[here], boxes.scores[here])
    kept = tracks != UNTRACKED
    found = dataclasses.replace(boxes, tracks=tracks)
    return Boxes(*(getattr(found, one.name)[kept] for one in dataclasses.fields(found)))
