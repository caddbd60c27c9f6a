"""Boxes of persons over time: read from a list, or gathered from a detector."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...text import printable

LEAST_SECONDS = 0.4
"""Tracks shorter than this are left out."""
UNTRACKED = -1
_CORNERS = ("x1", "y1", "x2", "y2")
_OTHERS = ("frame", "seconds", "score", "track", "path")
_MOST = 5_000_000
"""Lines of a list at most."""


@dataclass(frozen=True)
class Boxes:
    """N boxes in one video, in the order of their times."""

    seconds: np.ndarray
    """``(N,)`` float64: the times of the frames they stand in."""
    corners: np.ndarray
    """``(N, 4)`` float64 pixels: left, top, right, bottom, inside of the picture."""
    scores: np.ndarray
    """``(N,)`` float64, 0 to 1; 1 where a list gives none."""
    tracks: np.ndarray
    """``(N,)`` int64 numbers of persons; :data:`UNTRACKED` where they are not known."""

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def tracked(self) -> bool:
        """Whether each box says which person it is of."""
        return bool((self.tracks != UNTRACKED).all())


def read_boxes(
    path: str | Path, times: np.ndarray, width: int, height: int, *, video: str | Path = ""
) -> Boxes:
    """Read the boxes of one video from a list.

    A CSV with a head line, or JSON lines (``.jsonl``, ``.ndjson``), with ``frame`` (from 0) or
    ``seconds``; ``x1,y1,x2,y2`` in pixels of the video as it is shown; and, if there, ``score`` (0
    to 1), ``track`` (a whole number from 0) and ``path`` (boxes of other videos are left aside).
    What reaches over the edge of the picture is cut to it.

    Args:
        path: The list.
        times: ``(T,)`` seconds of the frames of the video, sorted.
        width: Of its pictures in pixels.
        height: Of its pictures in pixels.
        video: The video, to compare with ``path``.

    Raises:
        DataError: If a line is wrong, a box lies outside of the picture or after the end of the
            video, only some lines have a track, or no box is left. It names the line.
    """
    rows = list(_numbered(Path(path)))
    name = printable(str(path))
    if not rows:
        raise DataError(f"{name}: no boxes in it")
    found: list[tuple[float, tuple[float, ...], float, int]] = []
    elsewhere = 0
    for number, row in rows:
        where = f"{name}, line {number}"
        if row.get("path") and video and not _same(str(row["path"]), video):
            elsewhere += 1
            continue
        corners = tuple(_number(row, key, where) for key in _CORNERS)
        seconds = _seconds(row, times, where)
        score = 1.0 if _empty(row, "score") else _number(row, "score", where)
        if not 0 <= score <= 1:
            raise DataError(f"{where}: score must lie in 0 to 1, not {score:g}")
        track = UNTRACKED if _empty(row, "track") else _whole(row, "track", where)
        left, top, right, bottom = corners
        if right <= left or bottom <= top:
            raise DataError(
                f"{where}: x2, y2 ({right:g}, {bottom:g}) must be right of and below x1, y1 "
                f"({left:g}, {top:g})"
            )
        inside = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
            raise DataError(
                f"{where}: the box {left:g}, {top:g}, {right:g}, {bottom:g} lies outside of the "
                f"picture of {width} × {height} pixels; are these the boxes of another video?"
            )
        found.append((seconds, inside, score, track))
    if not found:
        raise DataError(f"{name}: all {elsewhere} boxes are of other videos (column path)")
    tracked = sum(one[3] != UNTRACKED for one in found)
    if 0 < tracked < len(found):
        raise DataError(
            f"{name}: {tracked} of {len(found)} boxes have a track: give one to all or to none"
        )
    found.sort(key=lambda one: one[0])
    boxes = Boxes(
        np.array([one[0] for one in found]),
        np.array([one[1] for one in found], dtype=np.float64).reshape(-1, 4),
        np.array([one[2] for one in found]),
        np.array([one[3] for one in found], dtype=np.int64),
    )
    _check_once(boxes, name)
    return boxes


def _check_once(boxes: Boxes, name: str) -> None:
    """A person has one box a frame."""
    if not boxes.tracked:
        return
    seen: set[tuple[float, int]] = set()
    for key in zip(boxes.seconds.tolist(), boxes.tracks.tolist(), strict=True):
        if key in seen:
            raise DataError(f"{name}: track {key[1]} has two boxes at {key[0]:.3f} s")
        seen.add(key)


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a list with their numbers, from 1."""
    name = printable(str(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
                yield from _json_lines(stream, name)
                return
            reader = csv.DictReader(stream)
            columns = [column.strip() for column in reader.fieldnames or ()]
            _check_columns(columns, name)
            reader.fieldnames = columns
            for row in reader:
                _check_count(reader.line_num, name)
                if row.get(None) or None in row.values():  # type: ignore[call-overload]
                    raise DataError(
                        f"{name}, line {reader.line_num}: {len(columns)} columns expected"
                    )
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: no list of boxes that can be read: {reason}") from error


def _json_lines(stream: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(stream, start=1):
        _check_count(number, name)
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name}, line {number}: no JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{name}, line {number}: must be an object such as {{'frame': 0, …}}")
        _check_columns(list(row), f"{name}, line {number}")
        yield number, row


def _check_columns(columns: list[str], name: str) -> None:
    missing = [key for key in _CORNERS if key not in columns]
    if "frame" not in columns and "seconds" not in columns:
        missing.append("frame or seconds")
    if missing:
        raise DataError(
            f"{name}: no column {', '.join(missing)}; wanted are frame or seconds, "
            f"{','.join(_CORNERS)} and, if known, score, track, path"
        )


def _check_count(number: int, name: str) -> None:
    if number > _MOST:
        raise DataError(f"{name}: more than {_MOST:,} lines")


def _seconds(row: dict[str, Any], times: np.ndarray, where: str) -> float:
    """The time of the frame that a line is about."""
    if not _empty(row, "frame"):
        frame = _whole(row, "frame", where)
        if frame >= len(times):
            raise DataError(
                f"{where}: frame {frame}, but the video has {len(times)} (from 0); are these the "
                "boxes of another video?"
            )
        return float(times[frame])
    seconds = _number(row, "seconds", where)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    if not times[0] - step <= seconds <= times[-1] + step:
        raise DataError(
            f"{where}: {seconds:g} s, but the video runs from {times[0]:g} to {times[-1]:g} s; are "
            "these the boxes of another video?"
        )
    return float(times[np.abs(times - seconds).argmin()])


def _empty(row: dict[str, Any], key: str) -> bool:
    return row.get(key) is None or str(row[key]).strip() == ""


def _number(row: dict[str, Any], key: str, where: str) -> float:
    text = row.get(key)
    try:
        value = math.nan if isinstance(text, bool) or text is None else float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {key} must be a number, not {printable(repr(text)[:80])}")
    return value


def _whole(row: dict[str, Any], key: str, where: str) -> int:
    value = _number(row, key, where)
    if value != int(value) or not 0 <= value < 2**53:
        raise DataError(f"{where}: {key} must be a whole number of at least 0, not {value:g}")
    return int(value)


def _same(one: str, other: str | Path) -> bool:
    """Whether a name in a list means a video: the same place, or the same end of the path."""
    listed, given = Path(one).parts, Path(other).resolve().parts
    return listed == given[-len(listed) :] if listed else False
