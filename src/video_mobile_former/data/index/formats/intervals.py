"""Data sets that say what happens when: one clip a file, with its events.

A clip has the classes of its events, each once, and the group of its first. Its events are sorted
by begin. Events without a length and the like are faults of their line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..clip import Clip, Event
from ..listing import list_rows
from ..source import DataSource, Faults


class Interval(NamedTuple):
    """One event as a list names it."""

    path: str
    """Absolute path of the file."""
    name: str
    """The file as people are shown it."""
    label: str
    start_seconds: float
    end_seconds: float
    listing: str
    line: int = 0
    split: str | None = None
    group: str | None = None

    @property
    def where(self) -> str:
        """File and line for messages."""
        return f"{self.listing}:{self.line}" if self.line else self.listing


@dataclass
class _File:
    first: Interval
    events: list[Event[str]] = field(default_factory=list)


def clips_of(intervals: Iterable[Interval], faults: Faults) -> Iterator[Clip[str]]:
    """The clips of files, in the order in which they come first.

    Args:
        intervals: Events of files; an empty label stands for a file without events.
        faults: Told of what is wrong.
    """
    files: dict[str, _File] = {}
    for one in intervals:
        file = files.setdefault(one.path, _File(one))
        if one.split != file.first.split:
            text = f"{one.name} is of another split than in {file.first.where}"
            faults.add("malformed", one.where, text, one.name)
            continue
        if not one.label:
            continue
        try:
            file.events.append(Event(one.start_seconds, one.end_seconds, one.label))
        except ValueError as error:
            faults.add("malformed", one.where, str(error), one.name)
    for path, file in files.items():
        first = file.first
        events = sorted(set(file.events), key=lambda e: (e.start_seconds, e.end_seconds, e.label))
        labels = tuple(sorted({event.label for event in events}))
        clip = Clip(path, labels, first.name, first.listing, first.line, first.split, first.group)
        clip.events = tuple(events)
        yield clip


def interval_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the files of a CSV or TSV with a line for each event.

    Columns are those of a list: path, label, start_seconds (or start), end_seconds (or end), split,
    group.

    Raises:
        DataError: One line with the file and line number.
    """
    return clips_of(_listed(source, faults), faults)


def _listed(source: DataSource, faults: Faults) -> Iterator[Interval]:
    for row in list_rows(source, faults):
        if row.end_seconds is None:
            text = "no end_seconds: an event needs start_seconds and end_seconds"
            faults.add("malformed", row.where, text, row.name)
            continue
        for label in row.labels:
            yield Interval(
                row.path,
                row.name,
                label,
                row.start_seconds or 0.0,
                row.end_seconds,
                row.listing,
                row.line,
                row.split,
                row.group,
            )
