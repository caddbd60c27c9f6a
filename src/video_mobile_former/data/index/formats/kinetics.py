"""Kinetics-400, -600 and -700 by their own CSV files.

Source: https://github.com/cvdfoundation/kinetics-dataset. A line of a list is a part of a YouTube
video, ``label,youtube_id,time_start,time_end,split``. The videos are what could still be
downloaded: cut to that part and named ``<id>_<start>_<end>`` with six digits each, or whole and
named ``<id>``, in class folders, split folders or none.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from ....console import say
from ....errors import DataError, VideoError
from ..clip import Clip
from ..labels import folded, label_names, spellings
from ..listing import SPLIT_NAMES
from ..source import DataSource, Faults, Format
from .tables import find_columns, find_split_lists, read_records, without_labels
from .videos import Videos

_EXPECTED = "Kinetics CSV (label,youtube_id,time_start,time_end,split)"
_COLUMNS = {
    "label": ("label", "label_name", "class", "class_name", "category"),
    "id": ("youtube_id", "video_id", "ytid", "youtubeid", "id"),
    "start": ("time_start", "start_time", "start", "start_seconds"),
    "end": ("time_end", "end_time", "end", "end_seconds"),
    "split": ("split", "subset"),
}
_HEADERLESS = ("label", "id", "start", "end", "split")
_ENOUGH = 16
"""Files looked at to find out whether those named by the id alone are cut."""
_ROUNDING = 1.0
"""Seconds by which a file may last longer or shorter than its clip."""
_FIELDS = ("id", "label", "start", "end", "split")


def kinetics(name: str, summary: str) -> Format:
    """The format of one of the sets.

    Args:
        name: Of the set in ``labels.LABEL_SETS``, whose order of classes it has.
        summary: One phrase.
    """
    return Format(
        functools.partial(kinetics_rows, name=name),
        summary,
        class_names=lambda source: label_names(name),
        may_lack_files=True,
    )


def kinetics_rows(source: DataSource, faults: Faults, *, name: str) -> Iterator[Clip[str]]:
    """Yield the clips of the official lists; a list without labels is skipped, with a note.

    Clips of one YouTube video are a group. A clip whose file is named by the id alone carries its
    times, unless such files are no longer than the clip.

    Raises:
        DataError: If there is no list, or none with labels.
    """
    lists = find_split_lists(source, r".*\.csv", _EXPECTED)
    official = spellings(label_names(name))
    lines = [line for split, path in lists for line in _read(path, split, official, faults)]
    if not lines:
        raise DataError(f"{source.listing}: lists no clips with a label; expected {_EXPECTED}")
    videos = Videos(source.folder)
    repeated = _repeated(lines)
    whole_are_cut: bool | None = None
    for path, number, video, label, split, start, end in lines:
        trimmed = f"{video}_{_six_digits(start)}_{_six_digits(end)}"
        prefer = (label, split or "")
        cut = videos.find(trimmed, prefer=prefer)
        if cut is None:
            cut = videos.find(f"{video}_{start:.0f}_{end:.0f}", prefer=prefer)
        whole = videos.find(video, prefer=prefer) if cut is None else None
        if whole is not None and whole_are_cut is None:
            whole_are_cut = _are_cut(lines, videos)
        timed = whole is not None and not whole_are_cut
        found = cut or whole or trimmed
        yield Clip(
            path=videos.absolute(found),
            labels=(label,),
            name=found,
            listing=path,
            line=number,
            split=split,
            group=video if video in repeated else None,
            start_seconds=start if timed else None,
            end_seconds=end if timed else None,
        )


@functools.lru_cache(maxsize=4096)
def _six_digits(seconds: float) -> str:
    return f"{seconds:06.0f}"


def _are_cut(lines: list[_Line], videos: Videos) -> bool:
    """Whether files named by the id alone hold only the clip, as some tools leave them.

    A file that lasts as long as its clip, and ends before the clip would, cannot be the whole
    video. A few decide for all; those that cannot be read do not count.
    """
    votes: list[bool] = []
    for _, _, video, label, split, start, end in lines:
        file = videos.find(video, prefer=(label, split or "")) if start >= 2 * _ROUNDING else None
        seconds = None if file is None else _duration(videos.absolute(file))
        if seconds is not None:
            votes.append(abs(seconds - (end - start)) <= _ROUNDING and seconds < end - _ROUNDING)
        if len(votes) == _ENOUGH:
            break
    cut = 2 * sum(votes) > len(votes)
    if cut:
        say(
            f"{videos.root}: files named by the YouTube id alone last as long as their clips, so "
            "they are taken to be cut already"
        )
    return cut


def _duration(path: str) -> float | None:
    """Duration in seconds by the header of a file."""
    import av

    from ...video.media import open_video, read_media

    try:
        container, _ = open_video(read_media(path))
    except VideoError:
        return None
    with container:
        return None if container.duration is None else container.duration / av.time_base


def _repeated(lines: list[_Line]) -> set[str]:
    seen: set[str] = set()
    return {video for _, _, video, *_ in lines if video in seen or seen.add(video)}


_Line = tuple[str, int, str, str, str | None, float, float]


def _read(
    path: Path, split: str | None, official: Mapping[str, str], faults: Faults
) -> Iterator[_Line]:
    """Yield file, line number, YouTube id, label, split, begin and end in seconds."""
    listing = str(path)
    records = read_records(path, _EXPECTED)
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: empty; expected a {_EXPECTED}")
    columns = _columns(path, first[1])
    if columns is None:
        columns = {column: i for i, column in enumerate(_HEADERLESS)}
        records = itertools.chain([first], records)
    # A field that is added to every line stands for the columns that the list lacks.
    id_at, label_at, start_at, end_at, split_at = (columns.get(name, -1) for name in _FIELDS)
    width = max(columns.values()) + 1
    count = 0
    without_label: list[tuple[int, str]] = []
    for number, fields in records:
        count += 1
        fields += [""] * max(1, width - len(fields))
        video, label = fields[id_at], fields[label_at]
        if not label:
            without_label.append((number, video))
            continue
        try:
            if not video:
                raise ValueError("youtube_id is empty")
            start, end = _seconds(fields[start_at]), _seconds(fields[end_at])
            if end <= start:
                raise ValueError(f"time_end {end:g} is not after time_start {start:g}")
            own_split = _split(fields[split_at])
        except ValueError as error:
            faults.add("malformed", f"{path}:{number}", str(error), video)
            continue
        label = official.get(folded(label), label)
        yield listing, number, video, label, own_split or split, start, end
    if count and len(without_label) == count:
        say(without_labels(path, count))
        return
    for number, video in without_label:
        faults.add("malformed", f"{path}:{number}", "label is empty", video)


@functools.lru_cache(maxsize=64)
def _split(text: str) -> str | None:
    """The split that a word such as ``validate`` or ``holdout_test`` means."""
    if not text:
        return None
    found = next((SPLIT_NAMES[w] for w in text.lower().split("_") if w in SPLIT_NAMES), None)
    if found is None:
        raise ValueError(f"unknown split {text!r}; expected train, validate or test")
    return found


def _columns(path: Path, header: list[str]) -> dict[str, int] | None:
    columns = find_columns(header, _COLUMNS)
    if columns is None or "id" not in columns:
        try:
            _seconds(header[2])
            _seconds(header[3])
        except (IndexError, ValueError):
            raise DataError(
                f"{path}: no column 'youtube_id' in its header; expected a {_EXPECTED}"
            ) from None
        return None
    missing = [name for name in ("start", "end") if name not in columns]
    if missing:
        raise DataError(f"{path}: no column 'time_{missing[0]}'; expected a {_EXPECTED}")
    return columns


@functools.lru_cache(maxsize=4096)
def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"times must be numbers of seconds from 0 on, not {text!r}")
    return value
