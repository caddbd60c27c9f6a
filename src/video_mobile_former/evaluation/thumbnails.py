"""Thumbnails of misclassified clips."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..data.video.picture import jpeg
from ..data.video.reader import VideoReader
from ..errors import VideoError
from .clip_results import ClipResult
from .metrics.single_label import SingleLabelMetrics

PER_CONFUSION = 3
"""Most pictures per pair of classes."""
_SHORT_SIDE = 96


def confused_thumbnails(
    metrics: SingleLabelMetrics,
    clips: Sequence[ClipResult],
    index: ClipIndex,
    reading: Reading | None,
) -> dict[int, str]:
    """The middle frames of some clips of the worst confusions, the most confident errors first.

    Args:
        metrics: Metrics with the confusions.
        clips: Result of every clip of ``index``.
        index: The clips.
        reading: As for the evaluation.

    Returns:
        Base64 of a JPEG file, about 3 kB, by position of the clip. A frame that cannot be read is
        omitted.
    """
    found = {}
    for pair in metrics.worst_confusions():
        places = [
            i
            for i, clip in enumerate(clips)
            if (clip.true, clip.predicted) == (pair.true, pair.predicted)
        ]
        places.sort(key=lambda i: -clips[i].score)
        for i in places[:PER_CONFUSION]:
            picture = _middle_frame(index, i, reading or Reading())
            if picture is not None:
                found[i] = picture
    return found


def _middle_frame(index: ClipIndex, i: int, reading: Reading) -> str | None:
    clip = index.clips[i]
    try:
        with VideoReader(clip.path, offset=clip.offset, size=clip.size, reading=reading) as reader:
            times = reader.timestamps(clip.start_seconds, clip.end_seconds)
            middle = times[len(times) // 2 : len(times) // 2 + 1]
            frame = reader.frames(middle, _SHORT_SIDE, enlarge=False)[0]
    except VideoError:
        return None
    return jpeg(frame.permute(1, 2, 0).contiguous().numpy())
