"""Lists without a header: ``path label`` lines, as SlowFast, mmaction2 and many others use them.

The separator is a space, comma, tab or semicolon. Labels are numbers or names. Where the data is
said to be multi-label, a clip may have several (``path 1 4 7`` or ``path "1,4,7"``); otherwise
surplus numbers are an error, since they may be times, offsets or one column a class. Known are
``folder num_frames label`` and, where every line is so, ``video num_frames label``. Lists of single
frames (a header ``original_vido_id video_id frame_id path labels``) give one clip a video, with all
its classes.

Source: https://github.com/facebookresearch/SlowFast and https://github.com/open-mmlab/mmaction2.
"""

from __future__ import annotations

import contextlib
import csv
import enum
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from ....console import say
from ....errors import DataError, VideoError
from ...suffixes import VIDEO_SUFFIXES
from ...video.picture_folder import picture_names
from ..clip import Clip
from ..labels import read_label_file
from ..listing import join, read_text
from ..source import DataSource, Faults
from .tables import find_split_lists

_EXPECTED = "list of 'path label' lines"
_SEPARATORS = "\t; ,"
"""In the order in which they are preferred where several would do."""
_SAMPLE = 64
"""Lines from which the separator is guessed."""
_MOST_DIGITS = 18
_NUMBER = re.compile(rf"[-+]?\d{{1,{_MOST_DIGITS}}}")
_NUMBERS = re.compile(rf"{_NUMBER.pattern}(?:\s*,\s*{_NUMBER.pattern})*")
_VIDEO = re.compile(
    rf"(?P<path>.*(?:{'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))}))(?P<rest>[\s,;].*)?",
    re.IGNORECASE,
)
_FIGURES = re.compile(r"[-+]?\d+(\.\d+)?([\s,;]+[-+]?\d+(\.\d+)?)+|[-+]?\d+\.\d+")
"""Not the name of a class, but several numbers or one with decimals."""
_FRAME_LIST = re.compile(r"\s*original_vide?o_id\s", re.IGNORECASE)
_HEADER = frozenset(["path", "file", "filename", "video", "label", "labels", "class", "num_frames"])
_MOST_CLASSES = 1_000_000


Groups = tuple[tuple[str, ...], ...]
"""The fields behind a path; a field may hold several numbers, divided by commas."""


class Line(NamedTuple):
    """A clip as a list names it."""

    number: int
    path: str
    labels: tuple[str, ...]


def plain_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of a list, or of the lists of a folder, one for each split.

    A list that is named itself has no split. Numbers are positions in the source's label file, or
    stay the names of the classes where it has none.

    Raises:
        DataError: If a list is missing or empty.
    """
    names = None if source.label_file is None else read_label_file(source.label_file)
    folder = os.path.abspath(source.folder)  # noqa: PTH100 - once for all rows, links kept
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for split, path in _lists(source):
        listing = str(path)
        _compare_counts(path, folder)
        for number, name, labels in _read(path, faults, multi_label=source.multi_label):
            classes = known.get(labels)
            if classes is None:
                try:
                    if not labels and not source.multi_label:
                        raise ValueError("no label")
                    classes = known[labels] = _named(labels, names, source.label_file)
                except ValueError as error:
                    faults.add("unknown label", f"{listing}:{number}", str(error), name)
                    continue
            full = name if "://" in name else join(folder, name)
            yield Clip(full, classes, name, listing, number, split)


def plain_names(found: Collection[str]) -> tuple[str, ...]:
    """The order of classes without a label file: numbers from 0 to the largest, or sorted names."""
    if not all(map(_is_number, found)):
        return tuple(sorted(found))
    largest = max(map(int, found), default=-1)
    if largest >= _MOST_CLASSES:
        raise DataError(f"label {largest} is no number of a class; is it a number of frames?")
    return tuple(str(i) for i in range(largest + 1))


def has_several_labels(source: DataSource) -> bool:
    """Whether a list of frames is among the lists, the one kind whose header says so."""
    return any(
        _FRAME_LIST.match(read_text(path, f"a {_EXPECTED}").lstrip()) is not None
        for _, path in _lists(source)
    )


def looks_plain(text: str) -> bool:
    """Whether the head of a file is that of a list without a header."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return _FRAME_LIST.match(first) is not None or any(
        _score(first, separator) > _Score.WORD for separator in _SEPARATORS
    )


def _lists(source: DataSource) -> list[tuple[str | None, Path]]:
    if source.listing.is_file():
        return [(None, source.listing)]
    return find_split_lists(source, r".*\.(txt|csv|tsv|list|lst)", f"{_EXPECTED} (train.csv, …)")


def _read(path: Path, faults: Faults, *, multi_label: bool) -> Iterator[Line]:
    text = read_text(path, f"a {_EXPECTED}")
    stripped = enumerate(map(str.strip, text.split("\n")), start=1)
    kept = [(number, line) for number, line in stripped if line]
    if not kept:
        raise DataError(f"{path}: empty; expected a {_EXPECTED}")
    if _FRAME_LIST.match(kept[0][1]):
        yield from _videos_of_frames(path, kept[1:], faults)
        return
    if _is_header(kept[0][1]):
        kept = kept[1:]
    sample = [line for _, line in kept[:_SAMPLE]]
    separator = max(_SEPARATORS, key=lambda separator: sum(_score(s, separator) for s in sample))
    numbered = (_Score.NUMBER, _Score.VIDEO_NUMBER)
    numbers = 2 * sum(_score(line, separator) in numbered for line in sample) >= len(sample)
    counted = not multi_label and all(_has_count(line, separator) for line in sample)
    if counted:
        say(f"{path}: two numbers behind each video: the first is taken as its number of frames")
    for number, line in kept:
        parts = _numbered(line, separator) if numbers else _worded(line, separator)
        where = f"{path}:{number}"
        if parts is None:
            faults.add(
                "malformed",
                where,
                f"expected a path and {'numbers of classes' if numbers else 'a label'}, divided by "
                f"{_WORDS[separator]}, not {line[:80]!r}",
            )
            continue
        try:
            yield Line(number, parts[0], _classes(*parts, multi_label=multi_label, counted=counted))
        except ValueError as error:
            faults.add("malformed", where, f"{parts[0]}: {error}", parts[0])


def _compare_counts(path: Path, folder: str) -> None:
    """Say where folders of pictures hold other numbers of frames than the list says.

    The first :data:`_SAMPLE` lines are compared. One picture more or less is usual, as some lists
    count from 0 and some leave the last frame out.
    """
    head = [line.strip() for line in read_text(path, f"a {_EXPECTED}").split("\n")[:_SAMPLE]]
    different = []
    for number, line in enumerate(head, start=1):
        found = next((f for f in (_numbered(line, s) for s in _SEPARATORS) if f), None)
        if found is None or list(map(len, found[1])) != [1, 1] or _is_video(found[0]):
            continue
        pictures = join(folder, found[0])
        listed = found[1][0][0]
        if not os.path.isdir(pictures) or not listed.isdecimal():  # noqa: PTH112
            continue
        try:
            count = len(picture_names(pictures))
        except VideoError:
            continue  # reported where it is read
        if abs(count - int(listed)) > 1:
            different.append(f"{found[0]} (line {number}): {listed} listed, {count} there")
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        say(
            f"{path}: of the first {len(head)} lines {len(different)} name another number of "
            f"frames than their folders hold: {'; '.join(different[:3])}{more}"
        )


def _has_count(line: str, separator: str) -> bool:
    """Whether two single numbers stand behind a video."""
    found = _numbered(line, separator)
    return found is not None and _is_video(found[0]) and list(map(len, found[1])) == [1, 1]


def _classes(path: str, groups: Groups, *, multi_label: bool, counted: bool) -> tuple[str, ...]:
    """The classes among the fields behind a path.

    Raises:
        ValueError: If they are more than one and not all of them are said to be classes.
    """
    if len(groups) > 1 and (counted or not _is_video(path)):
        groups = groups[1:]  # the number of frames
    labels = tuple(label for group in groups for label in group)
    if multi_label:
        return labels
    if len(labels) > 1:
        shown = f"{', '.join(labels[:6])}{', …' if len(labels) > 6 else ''}"
        if len(groups) > 2 and set(labels) <= {"0", "1"}:
            text = f"{len(labels)} columns of 0 and 1; write the numbers or names of the classes"
        elif len(groups) == 2 and not _is_video(path):
            text = f"{shown}: a first frame, a number of frames and a class? Frames from an offset "
            text += "on are not read; keep each clip in a folder of its own: path num_frames label"
        else:
            text = f"{shown}: more than one class, or counts or times?"
        raise ValueError(f"{text}; where all are classes, say so with --multi_label")
    if labels and _FIGURES.fullmatch(labels[0]) and not _is_number(labels[0].removeprefix("-")):
        raise ValueError(
            f"the label {labels[0]!r} looks like numbers; for times give a CSV with the header "
            "path,label,start_seconds,end_seconds"
        )
    return labels


_WORDS = {" ": "a space", ",": "a comma", "\t": "a tab", ";": "a semicolon"}


def _is_header(line: str) -> bool:
    words = re.split(r"[\s,;]+", line.lower())
    return set(words) <= _HEADER


class _Score(enum.IntEnum):
    """How much sense a line makes with a separator: most where the path is that of a video."""

    NONE = 0
    WORD = 1
    NUMBER = 2
    VIDEO_WORD = 4
    VIDEO_NUMBER = 8


def _score(line: str, separator: str) -> _Score:
    numbered, worded = _numbered(line, separator), _worded(line, separator)
    if numbered is not None and _is_video(numbered[0]):
        return _Score.VIDEO_NUMBER
    if worded is not None and _is_video(worded[0]):
        return _Score.VIDEO_WORD
    if numbered is not None:
        return _Score.NUMBER
    return _Score.NONE if worded is None else _Score.WORD


def _numbered(line: str, separator: str) -> tuple[str, Groups] | None:
    """Path and numbers of a line; None where it has not both."""
    path, _, last = line.rpartition(separator)
    if _is_number(last) and _is_video(path) and '"' not in path:
        return path.strip(), ((str(int(last)),),)  # nearly all lines, in a quarter of the time
    fields = _split(line, separator)
    groups: list[list[str]] = []
    while len(fields) > 1 and (not fields[-1].strip() or _NUMBERS.fullmatch(fields[-1].strip())):
        group = _NUMBER.findall(fields.pop())
        if group:
            groups.insert(0, group)
    path = separator.join(fields).strip().strip('"')
    if not path or not groups:
        return None
    return path, tuple(tuple(str(int(label)) for label in group) for group in groups)


def _worded(line: str, separator: str) -> tuple[str, Groups] | None:
    """Path and name of the class of a line; None where it has not both."""
    match = _VIDEO.fullmatch(line)
    if match is not None and match["rest"] is None:
        return None
    if match is not None and match["rest"][0] == separator:
        path, label = match["path"], match["rest"][1:]
    else:
        fields = _split(line, separator)
        path, label = separator.join(fields[:-1]), fields[-1]
    path, label = path.strip().strip('"'), label.strip().strip('"')
    return (path, ((label,),)) if path and label else None


def _split(line: str, separator: str) -> list[str]:
    if '"' in line:
        with contextlib.suppress(csv.Error):
            return next(csv.reader([line], delimiter=separator))
    return line.split(separator)


def _is_number(label: str) -> bool:
    return label.isdecimal() and len(label) <= _MOST_DIGITS


def _is_video(path: str) -> bool:
    _, dot, ending = path.rpartition(".")
    return bool(dot) and f".{ending.lower()}" in VIDEO_SUFFIXES


def _named(
    labels: tuple[str, ...], names: tuple[str, ...] | None, label_file: str | None
) -> tuple[str, ...]:
    if not labels or not _is_number(labels[0].removeprefix("-")):
        return labels
    if len(set(labels)) < len(labels):
        labels = tuple(dict.fromkeys(labels))
    for label in labels:
        if label.startswith("-"):
            raise ValueError(f"label {label} is negative; classes are numbered from 0")
        if names is not None and int(label) >= len(names):
            raise ValueError(
                f"label {label} is not in 0 to {len(names) - 1}, the classes of {label_file}"
            )
    return labels if names is None else tuple(names[int(label)] for label in labels)


def _videos_of_frames(path: Path, lines: list[tuple[int, str]], faults: Faults) -> Iterator[Line]:
    """One clip for each video of a list of its frames, with the classes of all of them."""
    videos: dict[str, tuple[int, str, dict[str, None]]] = {}
    for number, line in lines:
        fields = line.split()
        if len(fields) != 5:
            text = f"{len(fields)} fields where 5 should be: video, its number, frame, path, labels"
            faults.add("malformed", f"{path}:{number}", text)
            continue
        folder = fields[3].rpartition("/")[0]
        known = videos.setdefault(fields[0], (number, folder, {}))
        known[2].update(dict.fromkeys(_NUMBER.findall(fields[4])))
    for number, folder, labels in videos.values():
        yield Line(number, folder, tuple(str(int(label)) for label in labels))
