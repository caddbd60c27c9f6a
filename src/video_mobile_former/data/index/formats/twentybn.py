"""Something-Something V2 and Jester by their own lists.

Source: https://www.qualcomm.com/developer/software/something-something-v-2-dataset and
https://www.qualcomm.com/developer/software/jester-dataset. Videos are named by a number; those of
Jester come as folders of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ....console import say
from ....errors import DataError
from ..clip import Clip
from ..labels import check_order, folded, label_names, names_of_json, read_label_file, spellings
from ..listing import read_text
from ..source import DataSource, Faults
from .tables import (
    field_of,
    find_beside,
    find_columns,
    find_split_lists,
    read_json,
    read_records,
    without_labels,
)
from .videos import Videos

_SOMETHING = "Something-Something list (something-something-v2-train.json, …)"
_JESTER = "Jester list (jester-v1-train.csv with lines 'id;label', …)"
_COLUMNS = {"id": ("video_id", "id", "video"), "label": ("label", "template", "class")}


class _Entry(NamedTuple):
    """A clip as a list names it."""

    id: str
    label: str
    """Empty where the list has none."""
    line: int = 0


def something_names(source: DataSource) -> tuple[str, ...]:
    """The classes in the order of ``labels.json``, or where it is absent in the official one."""
    path = find_beside(source, r"(.*[-_])?labels\.json")
    official = label_names("something_something_v2")
    if path is None:
        return official
    names = names_of_json(read_text(path, "the classes of a data set"), path)
    names = tuple(map(_without_brackets, names))
    check_order(names, official, str(path), "Something-Something V2")
    return names


def something_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of the JSON lists; a list without templates is passed over and said.

    Raises:
        DataError: If there is no list, or none with labels.
    """
    lists = find_split_lists(source, r".*\.json", _SOMETHING)
    entries = ((split, path, _json_entries(path, faults)) for split, path in lists)
    yield from _rows(source, entries, something_names(source), _SOMETHING, faults)


def jester_names(source: DataSource) -> tuple[str, ...]:
    """The classes in the order of ``jester-v1-labels.csv``, or where it is absent the official."""
    path = find_beside(source, r"(.*[-_])?labels\.(csv|txt)")
    official = label_names("jester")
    if path is None:
        return official
    names = read_label_file(path)
    check_order(names, official, str(path), "Jester")
    return names


def jester_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of the lists; a list without labels is passed over and said.

    Raises:
        DataError: If there is no list, or none with labels.
    """
    lists = find_split_lists(source, r"(?!.*answers).*\.(csv|txt)", _JESTER)
    entries = ((split, path, _table_entries(path, _JESTER)) for split, path in lists)
    yield from _rows(source, entries, jester_names(source), _JESTER, faults)


def _rows(
    source: DataSource,
    lists: Iterable[tuple[str | None, Path, Iterable[_Entry]]],
    names: tuple[str, ...],
    expected: str,
    faults: Faults,
) -> Iterator[Clip[str]]:
    known = spellings(names)
    videos: Videos | None = None
    for split, path, found in lists:
        entries = list(found)
        if not any(entry.label for entry in entries):
            answers = _answers(source) if split == "test" else {}
            entries = [e._replace(label=answers.get(e.id, "")) for e in entries]
        if not any(entry.label for entry in entries):
            say(without_labels(path, len(entries)))
            continue
        videos = videos or Videos(source.folder)
        for entry in entries:
            if not entry.label:
                where = f"{path}:{entry.line}" if entry.line else str(path)
                faults.add("malformed", where, f"clip {entry.id} has no label", entry.id)
                continue
            label = known.get(folded(entry.label), entry.label)
            yield videos.row(entry.id, (label,), str(path), entry.line, split=split)
    if videos is None:
        raise DataError(f"{source.listing}: lists no clips with a label; expected a {expected}")


def _json_entries(path: Path, faults: Faults) -> Iterator[_Entry]:
    values = read_json(path, f"a {_SOMETHING}")
    if not isinstance(values, list):
        raise DataError(f"{path}: expected a list of clips; a {_SOMETHING}")
    for i, value in enumerate(values):
        clip = str(value.get("id", "")) if isinstance(value, dict) else ""
        if not clip:
            faults.add("malformed", str(path), f"entry {i} has no id")
            continue
        yield _Entry(clip, _without_brackets(str(value.get("template") or "")))


def _table_entries(path: Path, expected: str) -> Iterator[_Entry]:
    columns = {"id": 0, "label": 1}
    for i, (line, fields) in enumerate(read_records(path, f"a {expected}")):
        header = find_columns(fields, _COLUMNS) if i == 0 else None
        if header is not None and "id" in header:
            columns = header
            continue
        clip, label = field_of(fields, columns, "id"), field_of(fields, columns, "label")
        yield _Entry(clip, _without_brackets(label), line)


def _answers(source: DataSource) -> dict[str, str]:
    """Labels of the test clips, which later releases have in a file of their own."""
    path = find_beside(source, r".*answers\.csv")
    entries = [] if path is None else _table_entries(path, "list of answers, 'id;label'")
    return {entry.id: entry.label for entry in entries}


def _without_brackets(template: str) -> str:
    return " ".join(template.replace("[", "").replace("]", "").split())
