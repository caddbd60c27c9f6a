"""Small clips of what was not recognised, to be watched on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..data.video.moving import read_preview
from ..errors import VideoError
from ..page import Preview
from .metrics.single_label import SingleLabelMetrics

PER_CONFUSION = 3
"""Most clips for each pair of classes."""
MOST_CLIPS, MOST_BYTES = 40, 2_500_000
"""Limits for a page; what is wrong most is shown first."""
_FROM_THE_TOP = 24
"""Wrong clips that are shown whatever they were taken for."""


def wrong_previews(
    metrics: Any, clips: Sequence[Any], index: ClipIndex, reading: Reading | None
) -> dict[int, Preview]:
    """Clips of the worst confusions, the most confident errors first, and then of the worst errors.

    Args:
        metrics: Metrics, of single labels with the confusions.
        clips: Result of every clip of ``index``.
        index: The clips.
        reading: As for the evaluation.

    Returns:
        By position of the clip. One that cannot be read is omitted; beyond :data:`MOST_BYTES` only
        stills are kept.
    """
    found: dict[int, Preview] = {}
    room = MOST_BYTES
    for place in dict.fromkeys(_places(metrics, clips)):
        if len(found) == MOST_CLIPS:
            break
        clip = index.clips[place]
        try:
            preview = read_preview(
                clip.path,
                start_seconds=clip.start_seconds,
                end_seconds=clip.end_seconds,
                offset=clip.offset,
                size=clip.size,
                reading=reading,
            )
        except VideoError:
            continue
        room -= len(preview.moving)
        found[place] = preview if room >= 0 else Preview(preview.still)
    return found


def _places(metrics: Any, clips: Sequence[Any]) -> Iterator[int]:
    wrong = sorted(
        (i for i, c in enumerate(clips) if not c.correct), key=lambda i: -_error(clips, i)
    )
    if isinstance(metrics, SingleLabelMetrics):
        for pair in metrics.worst_confusions():
            alike = [
                i
                for i in wrong
                if (clips[i].true, clips[i].predicted) == (pair.true, pair.predicted)
            ]
            yield from alike[:PER_CONFUSION]
    yield from wrong[:_FROM_THE_TOP]


def _error(clips: Sequence[Any], place: int) -> float:
    return clips[place].how_wrong
