"""What a user names as data, the ways in which it may be written, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from .clip import Clip


@dataclass(frozen=True)
class DataSource:
    """Where clips and their labels are said to be; the fields are those of a recipe's ``data``."""

    path: str = ""
    """A folder of videos, or a list; empty is ``annotations``, or where that is None ``root``."""
    format: str = "auto"
    """A name in ``formats.FORMATS``; ``"auto"`` is a folder of class folders or a CSV/TSV."""
    annotations: str | None = None
    """The list file, or the folder that holds the list files; None is ``path``."""
    root: str | None = None
    """What relative paths are relative to; None is ``path`` if a folder, else the list's folder."""
    label_file: str | None = None
    """Class names in order, one a line; or the name of a known set, such as ``kinetics400``."""
    multi_label: bool = False
    """A clip may have several classes or none, where the format leaves that open: in a CSV/TSV
    those of the label column are then divided by ``|``."""
    fold: int = 1
    """Which of the official divisions into splits, from 1, where a format has several."""

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", self.annotations or self.root or "")
        if not self.path:
            raise DataError("no data is named: give a path, or annotations and root")
        if self.fold < 1:
            raise DataError(f"fold must be at least 1, not {self.fold}")

    @property
    def listing(self) -> Path:
        """The list file, or the folder that holds the list files."""
        return Path(self.annotations if self.annotations is not None else self.path)

    @property
    def shown(self) -> str:
        """The same as the user wrote it, which may be a URL."""
        return self.annotations if self.annotations is not None else self.path

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        if self.root is not None:
            return Path(self.root)
        path = Path(self.path)
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
        collect: Go on; the row is then left out.
    """

    def __init__(self, *, collect: bool = False):
        self.collect = collect
        self.found: list[Fault] = []
        self.passed_over: list[tuple[str, str]] = []
        """Absolute path and name of files that are no videos by their ending: no fault, since
        notes and pictures may lie beside videos."""

    def add(self, kind: str, where: str, text: str, name: str = "") -> None:
        """Note a wrong row.

        Raises:
            DataError: Unless faults are collected.
        """
        if not self.collect:
            raise DataError(f"{where}: {text}")
        self.found.append(Fault(kind, where, name, text))


@dataclass(frozen=True)
class Format:
    """One way in which data sets name their clips."""

    rows: Callable[[DataSource, Faults], Iterator[Clip[str]]]
    """Yields the clips, their classes by name; faulty ones are told to the second argument and left
    out."""
    summary: str
    """One phrase for the help and for messages."""
    class_names: Callable[[DataSource], tuple[str, ...] | None] = lambda source: None
    """The classes in their official order, where the format has one."""
    order: Callable[[Collection[str]], Sequence[str]] = sorted
    """Puts the classes found in order, where neither the format nor a label file does."""
    multi_label: bool = False
    """A clip may have several classes, or none."""
    may_be_multi_label: bool = False
    """The same where ``DataSource.multi_label`` says so."""
    finds_several: Callable[[DataSource], bool] = lambda source: False
    """Whether the data itself shows that clips have several classes."""
    may_lack_files: bool = False
    """Listed files are commonly gone (deleted from where they were published): what is not there
    is left out and said instead of being an error."""
