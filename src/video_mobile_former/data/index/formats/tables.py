"""Reading the lists of data sets: which file belongs to which split, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....errors import DataError
from ..listing import SPLIT_NAMES, read_text
from ..source import DataSource

LIST_FOLDERS = (
    "annotations",
    "annotation",
    "labels",
    "lists",
    "splits",
    "ucfTrainTestlist",
    "testTrainMulti_7030_splits",
    "test_train_splits",
    "Charades",
)
"""Folders beside or above the videos in which the usual downloads keep their lists."""


def without_labels(path: Path | str, count: int) -> str:
    """Message for a list of clips without labels."""
    if count == 1:
        return f"{path}: its only clip has no label, so it is excluded"
    return f"{path}: its {count} clips have no labels, so they are excluded"


def list_folders(folder: Path) -> Iterator[Path]:
    """The folder, then those in it that lists usually lie in."""
    yield folder
    known = {name.lower() for name in LIST_FOLDERS}
    for inner in sorted(path for path in folder.iterdir() if path.name.lower() in known):
        if inner.is_dir():
            yield inner


def find_lists(source: DataSource, pattern: str, expected: str) -> dict[re.Match[str], Path]:
    """The list files of a source: its listing if that is a file, else what lies in that folder.

    Args:
        source: The data.
        pattern: What the whole name must match, in any case.
        expected: What there should be, for the message.

    Returns:
        The files by the match of their name, sorted by name.

    Raises:
        DataError: If there is none.
    """
    listing = source.listing
    wanted = re.compile(pattern, re.IGNORECASE)
    if not listing.is_dir():
        match = wanted.fullmatch(listing.name)
        if match is None:
            raise DataError(f"{listing}: expected {expected}")
        return {match: listing}
    for folder in list_folders(listing):
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        found = {m: folder / m.string for m in map(wanted.fullmatch, names) if m is not None}
        if found:
            return found
    raise DataError(f"{listing}: no {expected} in it; say where with --annotations")


def find_split_lists(
    source: DataSource, pattern: str, expected: str
) -> list[tuple[str | None, Path]]:
    """The list file of each split, recognised by the words train, val or test in its name.

    Args:
        source: The data; a listing that is a file is taken whatever its name.
        pattern: What the names of lists match, in any case.
        expected: What there should be, for the message.

    Returns:
        Splits and files, in the order train, val, test.

    Raises:
        DataError: If there is none, or a split has two.
    """
    listing = source.listing
    if not listing.is_dir():
        return [(split_of(listing.name), listing)]
    found: dict[str, Path] = {}
    for path in find_lists(source, pattern, expected).values():
        split = split_of(path.name)
        if split is None or _fold_of(path.name) not in (None, source.fold):
            continue
        if split in found:
            raise DataError(
                f"{path.parent}: two lists of the split {split!r}, {found[split].name} and "
                f"{path.name}; name one with --annotations, or keep them in folders of their own"
            )
        found[split] = path
    if not found:
        raise DataError(f"{listing}: no {expected} in it; say where with --annotations")
    return [(split, found[split]) for split in ("train", "val", "test") if split in found]


def find_beside(source: DataSource, pattern: str) -> Path | None:
    """The first file of this name, in any case, in the folders in which the lists may be."""
    wanted = re.compile(pattern, re.IGNORECASE)
    listing = source.listing
    folders = list_folders(listing) if listing.is_dir() else [listing.parent]
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if wanted.fullmatch(path.name) and path.is_file():
                return path
    return None


def split_of(name: str) -> str | None:
    """The split that a file name tells, as ``jester-v1-validation.csv``; None where it does not."""
    words = re.findall(r"[a-z]+", name.rpartition(".")[0].lower())
    splits = {SPLIT_NAMES[word.removesuffix("list")] for word in words if _names_split(word)}
    return splits.pop() if len(splits) == 1 else None


def _names_split(word: str) -> bool:
    return word.removesuffix("list") in SPLIT_NAMES


def _fold_of(name: str) -> int | None:
    match = re.search(r"split[-_]?0*(\d+)", name.lower())
    return int(match[1]) if match else None


def read_records(path: Path, expected: str, delimiter: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and stripped fields of a delimited file, without lines that hold nothing.

    Args:
        path: The file.
        expected: What it should be, for the message.
        delimiter: Read off the first line where it is empty.

    Raises:
        DataError: If it cannot be read or its quotes are wrong.
    """
    text = read_text(path, expected)
    if not delimiter:
        first = re.search(r"\S.*", text)
        delimiter = max(",;\t", key=first[0].count) if first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            fields = list(map(str.strip, fields))
            if any(fields):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}") from error


def find_columns(
    header: Sequence[str], names: Mapping[str, Sequence[str]]
) -> dict[str, int] | None:
    """Where the columns of a table are, whatever the release calls them.

    Args:
        header: Fields of the first line.
        names: What each column may be called; the first field that fits counts.

    Returns:
        The positions of the columns that are there; None where none is, so that this is no header.
    """
    cleaned = [re.sub(r"[^a-z0-9]+", "_", field.lower()).strip("_") for field in header]
    found = {
        name: cleaned.index(spelling)
        for name, known in names.items()
        for spelling in reversed(known)
        if spelling in cleaned
    }
    return found or None


def field_of(fields: Sequence[str], columns: Mapping[str, int], name: str) -> str:
    """A field of a line; empty where the table or the line lacks it."""
    place = columns.get(name, len(fields))
    return fields[place] if place < len(fields) else ""


def read_json(path: Path, expected: str) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: If it cannot be read or is no JSON.
    """
    try:
        return json.loads(read_text(path, expected))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
