"""Windows to train on, from files with events: clips that have one class each.

A window has the class of the event that its middle lies in, as ``vmf find`` reads the scores of
windows. What lies between events, where a window fits in, is of the background class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from ...errors import DataError
from .clip import Clip
from .index import ClipIndex

Place = Literal["random", "centre"]


def event_windows(
    index: ClipIndex, seconds: float, *, place: Place = "random", background: str | None = None
) -> ClipIndex:
    """A clip for each event and each stretch of background.

    Args:
        index: Files with events.
        seconds: Length of a window.
        place: ``"random"``: parts in which any window has its middle in the event; ``"centre"``:
            parts of ``seconds`` around the middle of the event.
        background: Class of what lies between events; the last class, unless the data has it. None
            takes nothing from there.

    Returns:
        Clips of one class each, with the part of their file. What comes after the last event is not
        used, as the data does not say how long files are.

    Raises:
        DataError: If there is no event.
    """
    names = index.class_names
    if background is not None and background not in names:
        names = (*names, background)
    number = None if background is None else names.index(background)
    clips = [part for clip in index.clips for part in _parts(clip, seconds, place, number)]
    if not clips:
        raise DataError(f"{index.source}: no events to train on")
    return dataclasses.replace(
        index,
        clips=clips,
        class_names=names,
        multi_label=False,
        intervals=False,
        window_seconds=seconds,
    )


def _parts(
    clip: Clip[int], seconds: float, place: Place, background: int | None
) -> Iterator[Clip[int]]:
    half = seconds / 2
    seen: set[tuple[float, float, int]] = set()
    for event in clip.events:
        start, end = event.start_seconds, event.end_seconds
        if place == "centre":
            start = end = (start + end) / 2
        part = (max(0.0, start - half), end + half, event.label)
        if part not in seen:
            seen.add(part)
            yield _part(clip, *part)
    if background is None:
        return
    if not clip.events:
        yield dataclasses.replace(clip, labels=(background,), events=())
    last = 0.0
    for event in clip.events:
        if event.start_seconds - last >= seconds:
            start, end = last, event.start_seconds
            if place == "centre":
                middle = (start + end) / 2
                start, end = middle - half, middle + half
            yield _part(clip, start, end, background)
        last = max(last, event.end_seconds)


def _part(clip: Clip[int], start: float, end: float, label: int) -> Clip[int]:
    return dataclasses.replace(
        clip, labels=(label,), events=(), start_seconds=start, end_seconds=end
    )
