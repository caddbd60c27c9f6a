"""Reading where clips are: a folder of class folders, or a CSV/TSV list."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from ..console import say
from ..errors import DataError

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


@dataclass(frozen=True)
class Row:
    """A clip as the data names it, the label still a name; fields as in ``Clip``."""

    path: str
    label: str
    name: str
    where: str
    """File and line for messages."""
    split: str | None = None
    group: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None


def read_folder(root: Path) -> list[Row]:
    """Read a folder of class folders, or of train, val and test folders of class folders.

    Hidden files are passed over; files that are no videos by their ending are, too, and are said.

    Raises:
        DataError: If there is no class folder, or one without a clip.
    """
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
    rows: list[Row] = []
    ignored: list[Path] = []
    if in_splits:
        for folder in in_splits:
            split = SPLIT_NAMES[folder.name.lower()]
            classes = _subfolders(folder)
            if not classes:
                raise DataError(f"{folder}: no class folders in it")
            for class_folder in classes:
                rows += _read_class(root, class_folder, split, ignored)
    else:
        for class_folder in folders:
            rows += _read_class(root, class_folder, None, ignored)
    if ignored:
        endings = sorted({path.suffix.lower() or path.name for path in ignored})
        say(
            f"{root}: {len(ignored)} files are no videos by their ending and are ignored: "
            + ", ".join(endings[:8])
        )
    return rows


def _read_class(root: Path, folder: Path, split: str | None, ignored: list[Path]) -> list[Row]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    ignored += [path for path in files if path.suffix.lower() not in VIDEO_SUFFIXES]
    if not videos:
        raise DataError(
            f"{folder}: class {folder.name!r} has no clips"
            + (f" ({len(files)} files, none a video by its ending)" if files else "")
            + "; add some or remove the folder"
        )
    return [
        Row(
            path=str(path.absolute()),
            label=folder.name,
            name=path.relative_to(root).as_posix(),
            where=str(path),
            split=split,
        )
        for path in videos
    ]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def read_list(path: Path) -> list[Row]:
    """Read the rows of a list.

    The delimiter (comma, tab or semicolon) is read off the header line. A byte-order mark, blank
    lines, quoted fields and Windows line ends are fine; columns that are not named above are
    ignored. Relative paths are relative to the list.

    Raises:
        DataError: One line with the file and line number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file; expected a CSV with path,label") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    records = _records(path, text)
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
    rows = []
    for line, fields in records[1:]:
        where = f"{path}:{line}"
        if len(fields) != len(columns):
            raise DataError(
                f"{where}: {len(fields)} fields where the header has {len(columns)}; "
                "quote fields that contain the delimiter"
            )
        rows.append(_row(path, where, dict(zip(columns, map(str.strip, fields), strict=True))))
    rows = _without_duplicates(rows)
    _check_files(path, rows)
    return rows


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


def _row(path: Path, where: str, fields: dict[str, str]) -> Row:
    for name in REQUIRED:
        if not fields[name]:
            raise DataError(f"{where}: {name} is empty")
    split = fields.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise DataError(
            f"{where}: unknown split {fields['split']!r}; use train, val or test, or leave it empty"
        )
    start = _seconds(where, "start_seconds", fields.get("start_seconds", ""))
    end = _seconds(where, "end_seconds", fields.get("end_seconds", ""))
    if end is not None and end <= (start or 0.0):
        raise DataError(f"{where}: end_seconds {end:g} is not after start_seconds {start or 0:g}")
    name = fields["path"]
    return Row(
        path=str((path.parent / Path(name).expanduser()).absolute()),
        label=fields["label"],
        name=name,
        where=where,
        split=SPLIT_NAMES[split] if split else None,
        group=fields.get("group") or None,
        start_seconds=start,
        end_seconds=end,
    )


def _seconds(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(f"{where}: {column} must be a number of seconds from 0 on, not {text!r}")
    return value


def _without_duplicates(rows: list[Row]) -> list[Row]:
    """Drop exact repetitions; the same clip with another label or split is an error."""
    first: dict[tuple[str, float | None, float | None], Row] = {}
    for row in rows:
        key = (row.path, row.start_seconds, row.end_seconds)
        known = first.setdefault(key, row)
        if known.label != row.label:
            raise DataError(
                f"{row.where}: {row.name} has label {row.label!r} here "
                f"and {known.label!r} at {known.where}"
            )
        if known.split != row.split:
            raise DataError(
                f"{row.where}: {row.name} is in split {row.split!r} here "
                f"and in {known.split!r} at {known.where}"
            )
    return list(first.values())


def _check_files(path: Path, rows: list[Row]) -> None:
    missing = [row for row in rows if not Path(row.path).is_file()]
    if missing:
        shown = ", ".join(f"{row.name} (line {row.where.rsplit(':', 1)[1]})" for row in missing[:3])
        raise DataError(
            f"{path}: {len(missing)} of {len(rows)} listed files are missing: {shown}"
            + (", …" if len(missing) > 3 else "")
            + f"; relative paths are relative to {path.parent}"
        )
