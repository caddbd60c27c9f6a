"""ActivityNet's JSON, in which THUMOS, HACS, FineAction and others are published as well.

Source: https://github.com/activitynet/ActivityNet. ``database`` holds by the id of a video its
``subset`` and ``annotations``, each with ``label`` and ``segment`` in seconds. Files are named by
the id, with or without ``v_`` before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import DataError
from ..clip import Clip
from ..listing import SPLIT_NAMES
from ..source import DataSource, Faults
from .intervals import Interval, clips_of
from .tables import find_lists, read_json
from .videos import Videos

_EXPECTED = "ActivityNet's JSON with a 'database'"


def activitynet_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos of all lists; those without annotations are left out where they are of the
    test split, whose annotations are not published.

    Raises:
        DataError: If there is no list, or it is of another form.
    """
    lists = find_lists(source, r".*\.json", _EXPECTED)
    videos = Videos(source.folder)
    for path in lists.values():
        yield from clips_of(_intervals(path, videos, faults), faults)


def _intervals(path: Path, videos: Videos, faults: Faults) -> Iterator[Interval]:
    value = read_json(path, _EXPECTED)
    database = value.get("database") if isinstance(value, dict) else None
    if not isinstance(database, dict):
        raise DataError(f"{path}: no 'database' in it; expected {_EXPECTED}")
    for video, entry in database.items():
        try:
            subset = str(entry.get("subset", "")).lower()
            split = SPLIT_NAMES.get(subset)
            found = _parts(entry.get("annotations") or [])
        except (AttributeError, TypeError, ValueError, KeyError, IndexError):
            text = f"{video}: needs subset and annotations of label and segment [start, end]"
            faults.add("malformed", str(path), text, video)
            continue
        if not found and split == "test":
            continue
        place = videos.find(video, f"v_{video}", prefer=(subset,)) or video
        for label, start, end in found or [("", 0.0, 0.0)]:
            yield Interval(videos.absolute(place), place, label, start, end, str(path), 0, split)


def _parts(annotations: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    return [
        (str(one["label"]).strip(), float(one["segment"][0]), float(one["segment"][1]))
        for one in annotations
    ]
