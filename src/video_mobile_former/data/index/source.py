"""What a user names as data: its source, its format and its faults."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from ...errors import DataError, UserError
from ...ranges import Checked, Range
from .clip import Clip
from .labels import in_order


@dataclass(frozen=True)
class DataSource(Checked):
    """Where clips and their labels are; the base of a recipe's ``data``.

    Raises:
        DataError: If a field has another type or is out of range.
    """

    error: ClassVar[type[UserError]] = DataError

    path: str | None = None
    """A folder of class folders, a CSV/TSV file with the columns path and label, shards, or for
    other values of `format` the folder of the videos or the list."""
    format: str = "auto"
    """Format of the data: folder, list, prepared, shards, frames,
    slowfast, mmaction, kinetics400, kinetics600, kinetics700, something_something_v2, jester,
    ucf101, hmdb51, diving48 or charades; with times of events intervals, activitynet,
    charades_events, ava, cvat, label_studio or via; unlabelled (any folder of videos, for
    pretrain.task masked_features) or procedural (generated during training); auto = one of the
    first four."""
    annotations: str | None = None
    """The list file of the format, or the folder in which its list files lie; without it, the
    data itself."""
    root: str | None = None
    """The folder that the paths of a list are relative to; without it, the data if that is a
    folder, else the folder of the list."""
    fold: Annotated[int, Range(1, 100)] = 1
    """Number of the official split (ucf101, hmdb51)."""
    label_file: str | None = None
    """Class names in order, one a line, or the name of a known set such as kinetics400; without
    it, the order of the format, or where that has none the names found, sorted."""
    multi_label: bool = False
    """Clips may have several classes or none; in the label column of a CSV/TSV, `|` separates them.
    Multi-label formats do not need this option."""

    @property
    def place(self) -> str:
        """What names the data: ``path``, or without it ``annotations`` or ``root``.

        Raises:
            DataError: If there is none of them.
        """
        found = self.path or self.annotations or self.root
        if not found:
            raise DataError("no data is named: give --data, or --annotations and --root")
        return found

    @property
    def listing(self) -> Path:
        """The list file, or the folder that holds the list files."""
        return Path(self.shown)

    @property
    def shown(self) -> str:
        """The same as the user wrote it, which may be a URL."""
        return self.annotations or self.place

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        if self.root is not None:
            return Path(self.root)
        path = Path(self.place)
        return path if path.is_dir() else path.parent


@dataclass(frozen=True)
class Fault:
    """Something wrong with one row of the data."""

    kind: str
    """A short name, such as ``"missing"`` or ``"unknown label"``."""
    where: str
    """File and line."""
    name: str
    """The clip, as written in the data; empty where the row does not get that far."""
    text: str
    """What is wrong and what to do."""


class Faults:
    """What to do with a wrong row: stop at the first one, or go on and list all.

    Args:
        collect: Go on; the row is then excluded.
    """

    def __init__(self, *, collect: bool = False):
        self.collect = collect
        self.found: list[Fault] = []
        self.passed_over: list[tuple[str, str]] = []
        """Absolute path and name of files without the ending of a video: no fault, since
        notes and pictures may lie beside videos."""
        self.without_label = 0
        """Rows that were excluded because they have no label, which is no fault."""

    def add(self, kind: str, where: str, text: str, name: str = "") -> None:
        """Note a wrong row.

        Raises:
            DataError: Unless faults are collected.
        """
        if not self.collect:
            raise DataError(f"{where}: {text}")
        self.found.append(Fault(kind, where, name, text))

    def no_label(self, where: str, name: str) -> str:
        """Note a row of a list whose label is empty.

        Args:
            where: File and line.
            name: The clip, as written there.

        Returns:
            What stands for the label; empty excludes the row.
        """
        self.add("malformed", where, "label is empty", name)
        return ""


class WithLabels(Faults):
    """Rows of lists whose label is empty are excluded; anything else stops at the first."""

    def no_label(self, where: str, name: str) -> str:
        """Exclude it without a word, and count it."""
        self.without_label += 1
        return ""


@dataclass(frozen=True)
class Format:
    """One format of data sets."""

    rows: Callable[[DataSource, Faults], Iterator[Clip[str]]]
    """Yields the clips, their classes by name; faulty ones go to the second argument
    instead."""
    summary: str
    """One phrase for the help and for messages."""
    class_names: Callable[[DataSource], tuple[str, ...] | None] = lambda source: None
    """The classes in their official order, where the format has one."""
    order: Callable[[Collection[str]], Sequence[str]] = in_order
    """Puts the classes found in order, where neither the format nor a label file does."""
    multi_label: bool = False
    """A clip may have several classes, or none."""
    may_be_multi_label: bool = False
    """The same where ``DataSource.multi_label`` says so."""
    finds_several: Callable[[DataSource], bool] = lambda source: False
    """Whether the data itself shows that clips have several classes."""
    intervals: bool = False
    """A clip is a whole file, and what counts are its events."""
    may_lack_files: bool = False
    """Listed files are commonly gone (deleted from where they were published): missing
    files are excluded with a note instead of being an error."""
