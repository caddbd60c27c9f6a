"""Small clips of what was not recognised, to be watched on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..data.video.moving import read_preview
from ..errors import VideoError
from ..page import Preview
from .clip_results import EventSpan
from .metrics.events import Span
from .metrics.single_label import SingleLabelMetrics

PER_CONFUSION = 3
"""Most clips for each pair of classes."""
MOST_CLIPS, MOST_BYTES = 40, 2_500_000
"""Limits for a page; what is wrong most is shown first."""
_FROM_THE_TOP = 24
"""Wrong clips that are shown whatever they were taken for."""
PER_FILE = 6
"""Most events of one file."""


@dataclass(frozen=True)
class EventPreview:
    """A small clip of an event that was missed, or found where there is none."""

    place: int
    """Of its file among those that were looked through."""
    kind: Literal["missed", "wrong"]
    event: EventSpan
    preview: Preview


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


def event_previews(
    files: Sequence[tuple[Sequence[Span], Sequence[Span]]], reading: Reading | None
) -> tuple[EventPreview, ...]:
    """Small clips of events that were missed or wrongly found, of the worst files first.

    Args:
        files: Of each, the missed events and the wrong ones; their ``file`` is its path.
        reading: As for the evaluation.

    Returns:
        At most :data:`PER_FILE` of a file, missed and wrong in turn, the surest wrong ones first,
        and :data:`MOST_CLIPS` in all; beyond :data:`MOST_BYTES` only stills are kept. A stretch
        that cannot be read is omitted.
    """
    found: list[EventPreview] = []
    room = MOST_BYTES
    worst = sorted(range(len(files)), key=lambda i: -sum(map(len, files[i])))
    for place in worst:
        for kind, span in _in_turn(*files[place]):
            if len(found) == MOST_CLIPS:
                return tuple(found)
            times = span.start_seconds, span.end_seconds
            try:
                preview = read_preview(
                    span.file, start_seconds=times[0], end_seconds=times[1], reading=reading
                )
            except VideoError:
                continue
            room -= len(preview.moving)
            score = span.score if kind == "wrong" else None
            shown = preview if room >= 0 else Preview(preview.still)
            found.append(EventPreview(place, kind, EventSpan(span.label, *times, score), shown))
    return tuple(found)


def _in_turn(
    missed: Sequence[Span], wrong: Sequence[Span]
) -> list[tuple[Literal["missed", "wrong"], Span]]:
    surest = sorted(wrong, key=lambda span: -span.score)
    both: list[tuple[Literal["missed", "wrong"], Span]] = []
    for i in range(PER_FILE):
        if i < len(missed):
            both.append(("missed", missed[i]))
        if i < len(surest):
            both.append(("wrong", surest[i]))
    return both[:PER_FILE]


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
