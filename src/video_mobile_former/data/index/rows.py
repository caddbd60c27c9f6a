"""Checks on the rows of a list: repetitions are dropped, missing files reported."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from ...console import say
from ...errors import DataError
from .clip import Clip, Event
from .labels import one_form
from .source import DataSource, Faults

_BREAK = re.compile(r"[\n\r\v\f\x85\u2028\u2029]")
_LOOKS_BEFORE_LISTING = 16
"""Files of a folder that are looked up one by one before the folder is listed."""
_LISTED_PER_LOOK = 64
"""Entries that may be listed for each file looked up: a listing takes a fraction of a microsecond
an entry, a look some microseconds, on network drives up to a millisecond."""


def without_repetitions(rows: Iterable[Clip[str]], faults: Faults) -> Iterator[Clip[str]]:
    """Drop exact repetitions; the same clip with another label or split is a fault."""
    first = _FirstRows()
    for row in rows:
        known = first.of(row)
        if known is None:
            yield row
            continue
        said, where = known
        if row.labels != said.labels:
            text = f"{row.name} has label {_plain(row.labels)} here and {_plain(said.labels)}"
            faults.add("two labels", row.where, f"{text} at {where}", row.name)
        elif row.split != said.split:
            text = f"{row.name} is in split {row.split!r} here and in {said.split!r}"
            faults.add("two splits", row.where, f"{text} at {where}", row.name)
        elif row.events != said.events:
            text = f"{row.name} has other events here than at {where}; a clip has one row"
            faults.add("two labels", row.where, text, row.name)


def composed(rows: Iterable[Clip[str]], faults: Faults) -> Iterator[Clip[str]]:
    """Write names of classes and groups in one Unicode form (NFC), and refuse line breaks in them.

    The same word may come composed from one system and decomposed from another; the two look alike
    and must not be two classes, nor two groups.
    """
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        labels = known.get(row.labels)
        if labels is None or row.events:
            broken = next((label for label in row.all_labels if _BREAK.search(label)), None)
            if broken is not None:
                text = f"{row.name} has label {broken!r}; a label is one line"
                faults.add("malformed", row.where, text, row.name)
                continue
            labels = known[row.labels] = tuple(map(one_form, row.labels))
            row.events = tuple(
                dataclasses.replace(event, label=one_form(event.label)) for event in row.events
            )
        if labels is not row.labels:
            row.labels = labels
        if row.group is not None:
            row.group = one_form(row.group)
        yield row


class _Said(NamedTuple):
    """The content of a row; one object for all rows with the same content."""

    labels: tuple[str, ...]
    split: str | None
    events: tuple[Event[str], ...]
    listing: str


class _FirstRows:
    """Keeps the first row of every clip, in some sixty bytes and its name."""

    def __init__(self) -> None:
        self._said: dict[tuple[object, ...], _Said] = {}
        self._known: dict[object, _Said] = {}
        self._lines = array("q")
        self._ranks: dict[object, int] = {}
        self._folder: str | None = None

    def of(self, row: Clip[str]) -> tuple[_Said, str] | None:
        """Content and place of the first row of this clip; None if this is the first."""
        path, start, end, offset = row.path, row.start_seconds, row.end_seconds, row.offset
        if "//" in path or "/." in path or os.sep != "/":
            path = os.path.normpath(path)
        if self._folder is None:
            self._folder = path.removesuffix(row.name)
        key = path.removeprefix(self._folder)  # the part that differs in a list of one folder
        if start is not None or end is not None or offset is not None:
            key = (key, start, end, offset)
        what = (row.labels, row.split, row.events, row.listing)
        said = self._said.get(what)
        if said is None:
            said = self._said[what] = _Said(*what)
        known = self._known.setdefault(key, said)
        if len(self._known) > len(self._lines):
            self._lines.append(row.line)
            return None
        for other in islice(self._known, len(self._ranks), None):
            self._ranks[other] = len(self._ranks)
        first_line = self._lines[self._ranks[key]]
        return known, f"{known.listing}:{first_line}" if first_line else known.listing


def _plain(labels: tuple[str, ...]) -> str:
    return repr(labels[0]) if len(labels) == 1 else repr(labels)


def present(
    rows: Iterable[Clip[str]], source: DataSource, faults: Faults, *, may_lack: bool
) -> Iterator[Clip[str]]:
    """Drop the rows whose file is missing.

    Args:
        rows: All rows; URLs are taken to be there.
        source: For messages.
        faults: Takes every missing file.
        may_lack: Say how many are missing and go on; otherwise it is an error.

    Raises:
        DataError: At the end, if files are missing and neither ``may_lack`` nor ``faults`` allows
            it.
    """
    count = 0
    missing: list[str] = []
    folders: dict[str, _Folder] = {}
    for row in rows:
        count += 1
        path = row.path
        head, _, name = path.rpartition(os.sep)
        folder = folders.get(head)
        if folder is None:
            folder = folders[head] = _Folder(head + os.sep)
        if name in folder.names:
            yield row
            continue
        folder.look()
        # A name that was not listed may still be one: a link, another spelling of ``..``, or on
        # some systems another case.
        if "://" in path or os.path.exists(path):  # noqa: PTH110 - for 300,000 of them
            yield row
            continue
        if faults.collect:
            faults.add("missing", row.where, "no such file", row.name)
        missing.append(f"{row.name} (line {row.line})" if row.line else row.name)
    if not missing or faults.collect:
        return
    shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    are, they_are = ("is", "it is") if len(missing) == 1 else ("are", "they are")
    text = f"{source.listing}: {len(missing)} of {count} listed files {are} missing: {shown}"
    if may_lack and len(missing) < count:
        say(f"{text}; {they_are} excluded")
        return
    raise DataError(f"{text}; relative paths are relative to {source.folder}")


class _Folder:
    """Lists a folder once it pays: a listing of many files is faster than a look at each."""

    def __init__(self, path: str):
        self._path = path
        self._looked = 0
        self._list_at = _LOOKS_BEFORE_LISTING
        self.names: set[str] = set()
        """Files that are there; empty until the folder is listed."""

    def look(self) -> None:
        """Take note that a file was looked up on its own."""
        self._looked += 1
        if self._looked != self._list_at:
            return
        # Where the folder turns out to be much larger than what is asked for, it is tried again
        # when twice as many were asked for.
        self._list_at *= 2
        with contextlib.suppress(OSError), os.scandir(self._path) as entries:
            # Links may lead nowhere.
            most = self._looked * _LISTED_PER_LOOK
            names = {entry.name for entry in islice(entries, most) if not entry.is_symlink()}
            if next(entries, None) is None:
                self.names, self._list_at = names, -1
