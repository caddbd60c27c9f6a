"""Reading from a CSV or TSV list where clips are."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from ...console import say
from ...errors import DataError, known_names
from ...text import label_of_list
from ..byte_ranges import is_url
from .clip import Clip, Event, reader
from .source import DataSource, Faults

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of splits in data, and the name here."""

_NOT_UTF8 = "{} is not UTF-8; save the list in that encoding"

REQUIRED = ("path", "label")
_ALIASES = {
    "split": ("subset", "set", "partition"),
    "start_seconds": ("start", "start_time", "time_start", "start_sec"),
    "end_seconds": ("end", "end_time", "time_end", "end_sec"),
}
"""Names of columns in other tools, accepted where ours is absent."""
OPTIONAL = ("split", "group", "start_seconds", "end_seconds", "events")

_ROOTS = frozenset(["", "~", "/", "\\"])
"""Beginnings of names that are no relative paths."""


def list_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the rows of a CSV or TSV.

    The delimiter (comma, tab or semicolon) is read off the header line. A byte-order mark, blank
    lines, quoted fields and Windows line ends are fine. Columns that are not named above are not
    read, with a note; names of other tools (``subset``, ``start_time``) are accepted. Events
    are a JSON list of objects with ``start_seconds``, ``end_seconds`` and ``label`` on the clock of
    the file. With ``source.multi_label`` the classes in the label column are divided by ``|``, and
    an empty one means that the clip has none of the classes.

    Raises:
        DataError: One line with the file and line number.
    """
    path = source.listing
    records = _records(path)
    _, header = next(records, (0, []))
    if not header:
        raise DataError(f"{path}: empty; expected a header with path,label")
    columns = _known([name.strip().lower() for name in header])
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {' and no column '.join(map(repr, missing))} in its header; "
            f"found: {', '.join(c or '(empty)' for c in columns)}"
        )
    twice = sorted({name for name in (*REQUIRED, *OPTIONAL) if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} appears twice in its header")
    ignored = [name for name in columns if name and name not in (*REQUIRED, *OPTIONAL)]
    if ignored:
        what = "column" if len(ignored) == 1 else "columns"
        near = known_names(ignored[0], (*REQUIRED, *OPTIONAL), cutoff=0.6)
        say(f"{path}: {what} {', '.join(map(repr, ignored))} not read{near}")
    folder = os.path.abspath(source.folder)  # noqa: PTH100 - once for all rows, links kept
    read = _RowReader(path, folder, columns, faults, multi_label=source.multi_label)
    for line, fields in records:
        row = read(line, fields)
        if row is not None:
            yield row


def _known(columns: list[str]) -> list[str]:
    """The columns with those of other tools under the names that they have here."""
    columns = list(columns)
    for name, others in _ALIASES.items():
        other = next((other for other in others if other in columns), None)
        if other is not None and name not in columns:
            columns[columns.index(other)] = name
    return columns


def read_text(path: Path, expected: str) -> str:
    """Read a list file as UTF-8 text.

    Args:
        path: The file.
        expected: What it should be, for the message.

    Raises:
        DataError: If it cannot be read or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file; expected {expected}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and fields, without empty lines.

    What is not UTF-8 is kept as the system keeps it in names of files, which may be of any bytes.
    """
    line = 1
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = next((text for text in file if text.strip()), "")
            if "\0" in first or not is_utf8(first):
                raise DataError(f"{path}: not a UTF-8 text file; expected a CSV with path,label")
            delimiter = max(",\t;", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for fields in reader:
                if "".join(fields).strip():
                    yield line, fields
                line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def is_utf8(text: str) -> bool:
    """Whether text was all UTF-8 before it was decoded with ``surrogateescape``."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _RowReader:
    """Turns the fields of a line into a row, or says what is wrong with it.

    Written for speed: this runs for hundreds of thousands of lines whenever training starts.
    """

    def __init__(
        self,
        path: Path,
        folder: str,
        columns: list[str],
        faults: Faults,
        *,
        multi_label: bool,
    ):
        self._listing, self._folder, self._faults = str(path), folder, faults
        self._width = len(columns)
        self._path, self._label = (columns.index(name) for name in REQUIRED)
        self._split, self._group, self._start, self._end, self._events = (
            columns.index(name) if name in columns else None for name in OPTIONAL
        )
        self._multi_label = multi_label
        self._labels: dict[str, tuple[str, ...]] = {}

    def __call__(self, line: int, fields: list[str]) -> Clip[str] | None:
        if len(fields) != self._width:
            text = f"{len(fields)} fields where the header has {self._width}; "
            text += "quote fields that contain the delimiter"
            self._faults.add("malformed", f"{self._listing}:{line}", text)
            return None
        name, label = fields[self._path].strip(), fields[self._label].strip()
        split = group = start = end = None
        events: tuple[Event[str], ...] = ()
        try:
            if not name:
                raise ValueError("path is empty")
            if not label and not self._multi_label:
                label = self._faults.no_label(f"{self._listing}:{line}", name)
                if not label:
                    return None
            labels = self._labels.get(label)
            if labels is None:
                labels = self._labels[label] = _labels(label, multi_label=self._multi_label)
            if self._group is not None:
                group = fields[self._group].strip() or None
                if group is not None and not is_utf8(group):
                    raise ValueError(_NOT_UTF8.format("group"))
                if group is not None and group[0] == "'":
                    group = label_of_list(group)
            if self._start is not None:
                start = _seconds("start_seconds", fields[self._start].strip())
            if self._end is not None:
                end = _seconds("end_seconds", fields[self._end].strip())
                if end is not None and end <= (start or 0.0):
                    raise ValueError(
                        f"end_seconds {end:g} is not after start_seconds {start or 0:g}"
                    )
            if self._events is not None and (text := fields[self._events].strip()):
                events = _events(text)
        except ValueError as error:
            self._faults.add("malformed", f"{self._listing}:{line}", str(error), name)
            return None
        if self._split is not None and (text := fields[self._split].strip()):
            split = SPLIT_NAMES.get(text) or SPLIT_NAMES.get(text.lower())
            if split is None:
                text = f"unknown split {text!r}; use train, val or test, or leave it empty"
                self._faults.add("unknown split", f"{self._listing}:{line}", text, name)
                return None
        path = join(self._folder, name)
        clip = Clip(path, labels, name, self._listing, line, split, group, start, end)
        if events:
            clip.events = events
        return clip


def join(folder: str, name: str) -> str:
    """The path of a file that a list names, relative to an absolute folder; a URL stays one."""
    if "://" in name and is_url(name):
        return name
    if name[:1] in _ROOTS or name[1:2] == ":" or folder.endswith(os.sep):
        return os.path.join(folder, os.path.expanduser(name))  # noqa: PTH111, PTH118 - faster
    return f"{folder}{os.sep}{name}"  # the same, at a fifth of the time


def _labels(text: str, *, multi_label: bool) -> tuple[str, ...]:
    """The class of a clip, or its classes, divided by ``|``; none where nothing is written."""
    if not is_utf8(text):
        raise ValueError(_NOT_UTF8.format("label"))
    text = label_of_list(text)
    if not multi_label:
        if not text:
            raise ValueError("label is empty")
        return (text,)
    labels = tuple(part.strip() for part in text.split("|")) if text else ()
    if not all(labels):
        raise ValueError(f"a label is empty in {text!r}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"label {twice!r} is named twice")
    return labels


def _events(text: str) -> tuple[Event[str], ...]:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return reader("events", str)(value)


def _seconds(column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{column} must be a number of seconds from 0 on, not {text!r}")
    return value
