"""Charades by its own lists.

Source: https://prior.allenai.org/projects/charades. A clip is a whole video with all the actions
that happen in it, which is what the usual mean average precision of Charades is about. With the
format ``charades_events`` the times of the actions are its events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ..clip import Clip
from ..labels import check_order, label_names
from ..listing import read_text
from ..source import DataSource, Faults
from .intervals import Interval, clips_of
from .tables import field_of, find_beside, find_columns, find_split_lists, read_records
from .videos import Videos

_EXPECTED = "Charades list (Charades_v1_train.csv with the columns id, actions, …)"
_COLUMNS = {"id": ("id", "video_id"), "actions": ("actions",), "subject": ("subject",)}
_CODE = re.compile(r"c(\d+)", re.IGNORECASE)


def charades_names(source: DataSource) -> tuple[str, ...]:
    """The classes in the order of ``Charades_v1_classes.txt``, or else in the official one.

    Raises:
        DataError: If the file is not of the form, or in another order.
    """
    path = find_beside(source, r".*classes\.txt")
    official = label_names("charades")
    if path is None:
        return official
    names: list[str] = []
    for i, line in enumerate(read_text(path, "lines 'c000 name'").splitlines(), start=1):
        code, _, name = line.strip().partition(" ")
        if not code:
            continue
        match = _CODE.fullmatch(code)
        if match is None or int(match[1]) != len(names) or not name.strip():
            raise DataError(f"{path}:{i}: expected 'c{len(names):03} name', not {line.strip()!r}")
        names.append(name.strip())
    check_order(names, official, str(path), "Charades")
    return tuple(names)


def charades_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos with all their actions, perhaps none; those of one person are a group.

    Raises:
        DataError: If there is no list, or one lacks its columns.
    """
    names = charades_names(source)
    lists = find_split_lists(source, r".*\.csv", _EXPECTED)
    videos = Videos(source.folder)
    for split, path in lists:
        yield from _read(path, split, names, videos, faults)


def charades_event_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos with the times of their actions.

    Raises:
        DataError: If there is no list, or one lacks its columns.
    """
    names = charades_names(source)
    lists = find_split_lists(source, r".*\.csv", _EXPECTED)
    videos = Videos(source.folder)
    for split, path in lists:
        yield from clips_of(_intervals(path, split, names, videos, faults), faults)


def _intervals(
    path: Path, split: str | None, names: tuple[str, ...], videos: Videos, faults: Faults
) -> Iterator[Interval]:
    for clip, actions in _rows(path, split, names, videos, faults):
        place = (clip.listing, clip.line, split, clip.group)
        yield Interval(clip.path, clip.name, "", 0.0, 0.0, *place)
        for action in filter(None, map(str.strip, actions.split(";"))):
            try:
                code, start, end = action.split()
                times = float(start), float(end)
            except ValueError:
                text = f"action {action!r} is not 'c000 start end'"
                faults.add("malformed", clip.where, text, clip.name)
                continue
            yield Interval(clip.path, clip.name, names[int(code[1:])], *times, *place)


def _read(
    path: Path, split: str | None, names: tuple[str, ...], videos: Videos, faults: Faults
) -> Iterator[Clip[str]]:
    return (clip for clip, _ in _rows(path, split, names, videos, faults))


def _rows(
    path: Path, split: str | None, names: tuple[str, ...], videos: Videos, faults: Faults
) -> Iterator[tuple[Clip[str], str]]:
    """The clips, and their actions as they are written."""
    records = read_records(path, f"a {_EXPECTED}", delimiter=",")
    _, header = next(records, (0, []))
    columns = find_columns(header, _COLUMNS) or {}
    missing = [name for name in ("id", "actions") if name not in columns]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r} in its header; expected a {_EXPECTED}")
    for line, fields in records:
        where, video = f"{path}:{line}", field_of(fields, columns, "id")
        if not video or len(fields) < len(header):
            text = f"{len(fields)} fields where the header has {len(header)}"
            faults.add("malformed", where, text if video else "id is empty", video)
            continue
        actions = field_of(fields, columns, "actions")
        try:
            labels = _labels(actions, names)
        except ValueError as error:
            faults.add("unknown label", where, str(error), video)
            continue
        group = field_of(fields, columns, "subject") or None
        yield videos.row(video, labels, str(path), line, split=split, group=group), actions


def _labels(actions: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of ``c077 12.10 18.00;c079 …``, each once, in their order."""
    numbers: set[int] = set()
    for action in filter(None, map(str.strip, actions.split(";"))):
        match = _CODE.fullmatch(action.split()[0])
        if match is None or int(match[1]) >= len(names):
            raise ValueError(f"action {action!r} does not begin with c000 to c{len(names) - 1:03}")
        numbers.add(int(match[1]))
    return tuple(names[number] for number in sorted(numbers))
