"""Reading where clips are: a folder of class folders, or a CSV/TSV list."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..console import say
from ..errors import DataError
from .source import DataSource, Faults, Row

# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".h264", ".hevc", ".ivf",
    ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".ogg", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m",
])
# fmt: on
"""Files with these endings are taken as videos where a folder is searched."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What a split may be called in data, and what it is called here."""

REQUIRED = ("path", "label")
OPTIONAL = ("split", "group", "start_seconds", "end_seconds")


def folder_rows(source: DataSource, faults: Faults) -> Iterator[Row]:
    """Yield the clips of a folder of class folders, or of train, val and test folders of them.

    Hidden files are passed over; files that are no videos by their ending are, too, and are said.

    Raises:
        DataError: If there is no class folder, or one without a clip.
    """
    root = Path(source.path)
    folders = _subfolders(root)
    if not folders:
        raise DataError(
            f"{root}: no class folders in it; expected {root.name}/<class>/<clip>.mp4 "
            "or a CSV file with the columns path,label"
        )
    in_splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if in_splits and len(in_splits) < len(folders):
        other = next(folder.name for folder in folders if folder not in in_splits)
        raise DataError(
            f"{root}: {in_splits[0].name!r} is the name of a split but {other!r} is not; "
            "use either only split folders or only class folders"
        )
    ignored: list[Path] = []
    if in_splits:
        for folder in in_splits:
            split = SPLIT_NAMES[folder.name.lower()]
            classes = _subfolders(folder)
            if not classes:
                faults.add("empty", str(folder), "no class folders in it")
            for class_folder in classes:
                yield from _read_class(root, class_folder, split, ignored, faults)
    else:
        for class_folder in folders:
            yield from _read_class(root, class_folder, None, ignored, faults)
    if ignored:
        endings = sorted({path.suffix.lower() or path.name for path in ignored})
        say(
            f"{root}: {len(ignored)} files are no videos by their ending and are ignored: "
            + ", ".join(endings[:8])
        )


def _read_class(
    root: Path, folder: Path, split: str | None, ignored: list[Path], faults: Faults
) -> list[Row]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    ignored += [path for path in files if path.suffix.lower() not in VIDEO_SUFFIXES]
    if not videos:
        faults.add(
            "empty class",
            str(folder),
            f"class {folder.name!r} has no clips"
            + (f" ({len(files)} files, none a video by its ending)" if files else "")
            + "; add some or remove the folder",
        )
    return [
        Row(
            path=str(path.absolute()),
            labels=(folder.name,),
            name=path.relative_to(root).as_posix(),
            listing=str(path),
            split=split,
        )
        for path in videos
    ]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def list_rows(source: DataSource, faults: Faults) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV.

    The delimiter (comma, tab or semicolon) is read off the header line. A byte-order mark, blank
    lines, quoted fields and Windows line ends are fine; columns that are not named above are
    ignored. With ``source.multi_label`` the classes in the label column are divided by ``|``, and
    an empty one means that the clip has none of the classes.

    Raises:
        DataError: One line with the file and line number.
    """
    path = source.listing
    records = _records(path, read_text(path, "a CSV with path,label"))
    if not records:
        raise DataError(f"{path}: empty; expected a header with path,label")
    _, header = records[0]
    columns = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {' and no column '.join(map(repr, missing))} in its header; "
            f"found: {', '.join(c or '(empty)' for c in columns)}"
        )
    twice = sorted({name for name in (*REQUIRED, *OPTIONAL) if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} appears twice in its header")
    folder = os.path.abspath(source.folder)  # noqa: PTH100 - once for all rows, links kept
    for line, fields in records[1:]:
        if len(fields) != len(columns):
            faults.add(
                "malformed",
                f"{path}:{line}",
                f"{len(fields)} fields where the header has {len(columns)}; "
                "quote fields that contain the delimiter",
            )
            continue
        named = dict(zip(columns, map(str.strip, fields), strict=True))
        row = _row(folder, path, line, named, faults, multi_label=source.multi_label)
        if row is not None:
            yield row


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


def _records(path: Path, text: str) -> list[tuple[int, list[str]]]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = []
    line = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                records.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}") from error
    return records


def _row(
    folder: str,
    path: Path,
    line: int,
    fields: dict[str, str],
    faults: Faults,
    *,
    multi_label: bool,
) -> Row | None:
    where, name = f"{path}:{line}", fields["path"]
    for column in REQUIRED:
        if not fields[column] and not (multi_label and column == "label"):
            faults.add("malformed", where, f"{column} is empty", name)
            return None
    split = fields.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        faults.add(
            "unknown split",
            where,
            f"unknown split {fields['split']!r}; use train, val or test, or leave it empty",
            name,
        )
        return None
    try:
        start = _seconds("start_seconds", fields.get("start_seconds", ""))
        end = _seconds("end_seconds", fields.get("end_seconds", ""))
        labels = _labels(fields["label"]) if multi_label else (fields["label"],)
        if end is not None and end <= (start or 0.0):
            raise ValueError(f"end_seconds {end:g} is not after start_seconds {start or 0:g}")
    except ValueError as error:
        faults.add("malformed", where, str(error), name)
        return None
    return Row(
        path=join(folder, name),
        labels=labels,
        name=name,
        listing=str(path),
        line=line,
        split=SPLIT_NAMES[split] if split else None,
        group=fields.get("group") or None,
        start_seconds=start,
        end_seconds=end,
    )


def join(folder: str, name: str) -> str:
    """The path of a file that a list names, relative to an absolute folder unless absolute."""
    return os.path.join(folder, os.path.expanduser(name))  # noqa: PTH111, PTH118 - 5 times faster


def _labels(text: str) -> tuple[str, ...]:
    """The classes of a clip, divided by ``|``; none where nothing is written."""
    labels = tuple(part.strip() for part in text.split("|")) if text else ()
    if not all(labels):
        raise ValueError(f"a label is empty in {text!r}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"label {twice!r} is named twice")
    return labels


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


def without_repetitions(rows: Iterable[Row], faults: Faults) -> Iterator[Row]:
    """Drop exact repetitions; the same clip with another label or split is a fault."""
    first: dict[object, Row] = {}
    for row in rows:
        key = (os.path.normpath(row.path), row.start_seconds, row.end_seconds, row.offset)
        known = first.setdefault(key, row)
        if known is row:
            yield row
            continue
        for what, kind in (("labels", "two labels"), ("split", "two splits")):
            here, there = getattr(row, what), getattr(known, what)
            if here == there:
                continue
            if what == "labels":
                text = f"{row.name} has label {_plain(here)} here and {_plain(there)}"
            else:
                text = f"{row.name} is in split {here!r} here and in {there!r}"
            faults.add(kind, row.where, f"{text} at {known.where}", row.name)
            break


def _plain(labels: tuple[str, ...]) -> str:
    return repr(labels[0]) if len(labels) == 1 else repr(labels)


def present(
    rows: Iterable[Row], source: DataSource, faults: Faults, *, may_lack: bool
) -> Iterator[Row]:
    """Leave out the rows whose file is not there.

    Args:
        rows: All rows; URLs are taken to be there.
        source: For messages.
        faults: Where every missing file is told.
        may_lack: Say how many are missing and go on; otherwise it is an error.

    Raises:
        DataError: At the end, if files are missing and neither ``may_lack`` nor ``faults`` allows
            it.
    """
    count = 0
    missing: list[str] = []
    for row in rows:
        count += 1
        if "://" in row.path or os.path.exists(row.path):  # noqa: PTH110 - for 300,000 of them
            yield row
            continue
        if faults.collect:
            faults.add("missing", row.where, "no such file", row.name)
        missing.append(f"{row.name} (line {row.line})" if row.line else row.name)
    if not missing or faults.collect:
        return
    shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    text = f"{source.listing}: {len(missing)} of {count} listed files are missing: {shown}"
    if may_lack and len(missing) < count:
        say(f"{text}; they are left out")
        return
    raise DataError(f"{text}; relative paths are relative to {source.folder}")
