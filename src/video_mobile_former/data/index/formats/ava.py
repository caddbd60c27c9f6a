"""Lists of labelled seconds, as AVA's.

Source: https://research.google.com/ava. A line is ``video_id, middle_frame_timestamp, x1, y1, x2,
y2, action_id, person_id`` without a header; the label holds for one second around the time. Seconds
that follow one another become one event; who does it is not kept. The names of actions stand in
``*action_list*.pbtxt`` beside the list or in the label file; otherwise they are their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ..clip import Clip
from ..labels import read_label_file
from ..listing import read_text
from ..source import DataSource, Faults
from .intervals import Interval, clips_of
from .tables import find_beside, find_split_lists, read_records
from .videos import Videos

_EXPECTED = "AVA list (ava_train_v2.2.csv: video_id, seconds, x1, y1, x2, y2, action, person)"
_HALF = 0.5
_ITEM = re.compile(r"(?:item|label)\s*\{(.*?)\}", re.DOTALL)
_NAME, _ID = re.compile(r'name:\s*"([^"]*)"'), re.compile(r"\b(?:id|label_id):\s*(\d+)")


def ava_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos with their events.

    Raises:
        DataError: If there is no list.
    """
    names = _names(source)
    lists = find_split_lists(source, r"ava.*\.csv", _EXPECTED)
    videos = Videos(source.folder)
    for split, path in lists:
        yield from clips_of(_intervals(path, split, names, videos, faults), faults)


def _names(source: DataSource) -> dict[str, str]:
    if source.label_file is not None:
        return {str(i): name for i, name in enumerate(read_label_file(source.label_file), start=1)}
    path = find_beside(source, r".*action_list.*\.pbtxt")
    if path is None:
        return {}
    found = {}
    for item in _ITEM.findall(read_text(path, "AVA's list of actions")):
        name, number = _NAME.search(item), _ID.search(item)
        if name is None or number is None:
            raise DataError(f"{path}: an entry without name or id")
        found[number[1]] = name[1]
    return found


def _intervals(
    path: Path, split: str | None, names: dict[str, str], videos: Videos, faults: Faults
) -> Iterator[Interval]:
    seconds: dict[tuple[str, str], dict[float, int]] = {}
    for line, fields in read_records(path, f"an {_EXPECTED}", delimiter=","):
        where = f"{path}:{line}"
        try:
            video, time, action = fields[0], float(fields[1]), fields[6] if fields[6:] else ""
            if not (video and time >= 0 and (action == "" or action.isdecimal())):
                raise ValueError
        except (ValueError, IndexError):
            faults.add("malformed", where, f"expected an {_EXPECTED}")
            continue
        if names and action and action not in names:
            faults.add("unknown label", where, f"action {action} is not in the list", video)
            continue
        seconds.setdefault((video, action), {}).setdefault(time, line)
    for (video, action), times in seconds.items():
        place = videos.find(video) or video
        label = names.get(action, action)
        for first, last in _runs(sorted(times)):
            start = max(0.0, first - _HALF)
            line = times[first]
            yield Interval(
                videos.absolute(place), place, label, start, last + _HALF, str(path), line, split
            )


def _runs(times: list[float]) -> Iterator[tuple[float, float]]:
    """First and last of each run without a gap of more than a second."""
    first = last = times[0]
    for time in times[1:]:
        if time - last > 2 * _HALF + 1e-6:
            yield first, last
            first = time
        last = time
    yield first, last
