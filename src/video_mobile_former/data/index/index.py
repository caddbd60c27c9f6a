"""Where clips and their labels come from.

A folder is ``root/<class>/<clip>`` (clips may lie deeper inside a class folder) or
``root/<train|val|test>/<class>/<clip>``. A list has a header with ``path`` and ``label`` and, where
wanted, ``split``, ``group``, ``start_seconds`` and ``end_seconds``; see ``listing.py``. Other forms
are in ``formats/``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from ...console import say
from ...errors import DataError, check_path, known_names
from .clip import SPLITS, Clip
from .columns import ColumnsBuilder
from .formats import find_format
from .labels import check_classes, check_order, one_form, read_label_file
from .listing import SPLIT_NAMES
from .rows import composed, present, without_repetitions
from .source import DataSource, Faults, Format
from .table import ClipTable


@dataclass(frozen=True)
class ClipIndex:
    """Clips with their labels and the order of the classes."""

    clips: Sequence[Clip[int]]
    """Any sequence of clips is taken and stored as a :class:`~.table.ClipTable`."""
    class_names: tuple[str, ...]
    source: str
    """Folder or list the clips come from, for messages."""
    multi_label: bool = False
    """Whether a clip may have several classes, or none."""
    intervals: bool = False
    """Whether clips are whole files, and what counts are their events."""
    window_seconds: float | None = None
    """Length of the windows that are taken of clips, at random in training; None takes all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", ClipTable(self.clips))

    @property
    def table(self) -> ClipTable:
        """The clips in columns."""
        return cast("ClipTable", self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def counts(self) -> tuple[int, ...]:
        """Number of clips of each class, in the order of ``class_names``.

        A clip of several classes counts for each of them.
        """
        _, labels = self.table.label_pairs()
        return tuple(np.bincount(labels, minlength=len(self.class_names)).tolist())

    def splits(self) -> dict[str, int]:
        """Number of clips in each split that the data names, in the order train, val, test."""
        found = {name: int((self.table.split == i).sum()) for i, name in enumerate(SPLITS)}
        return {name: count for name, count in found.items() if count}

    def split(self, name: str) -> ClipIndex:
        """Only the clips of one split; the classes stay as they are.

        Args:
            name: ``"train"``, ``"val"`` (also ``"validation"``) or ``"test"``.

        Raises:
            DataError: If no clip belongs to it; names the splits that are there.
        """
        wanted = SPLIT_NAMES.get(name, name)
        rows = np.flatnonzero(self.table.split == SPLITS.index(wanted)) if wanted in SPLITS else []
        if not len(rows):
            present = ", ".join(f"{key} ({n} clips)" for key, n in self.splits().items())
            raise DataError(
                f"{self.source}: no split {name!r}; "
                + (f"there are: {present}" if present else "its clips are not divided into splits")
            )
        return dataclasses.replace(self, clips=self.table.take(np.asarray(rows)))


def load_index(
    source: DataSource | str | Path,
    *,
    class_names: Sequence[str] | None = None,
    class_names_of: str = "class_names",
    faults: Faults | None = None,
) -> ClipIndex:
    """Read the clips and labels of a data set.

    Args:
        source: A folder or list, or a :class:`DataSource` for other formats.
        class_names: The classes in the order wanted, for example those of a checkpoint. Otherwise
            those of the source's label file, else those of its format, else the sorted names of
            the classes found.
        class_names_of: Where ``class_names`` come from, for messages.
        faults: Collects what is wrong with single rows, which are then excluded; None stops at
            the first one.

    Returns:
        The clips, in a stable order. Classes of the list without a clip are kept, with a note.

    Raises:
        DataError: If something is missing, empty, contradictory or not understood; one line with
            the file and, for lists, the line number. Also if the order of the classes in
            ``class_names``, the label file and the format is not the same.
    """
    if not isinstance(source, DataSource):
        check_path("data", source)
        source = DataSource(str(source))
    faults = faults or Faults()
    form = find_format(source)
    names = _class_names(source, form, class_names, class_names_of)
    multi_label = form.multi_label or source.multi_label
    if multi_label and not (form.multi_label or form.may_be_multi_label):
        raise DataError(
            f"{source.listing}: in this form of data a clip has one class; multi-label clips need "
            "a list whose label column holds their classes, divided by '|'"
        )
    multi_label = multi_label or form.finds_several(source)
    source = dataclasses.replace(source, multi_label=multi_label)
    rows = without_repetitions(composed(form.rows(source, faults), faults), faults)
    rows = present(rows, source, faults, may_lack=form.may_lack_files)
    index = _build(rows, names, source.shown, faults, order=form.order, multi_label=multi_label)
    return dataclasses.replace(index, intervals=form.intervals)


def _class_names(
    source: DataSource, form: Format, wanted: Sequence[str] | None, wanted_of: str
) -> tuple[str, ...] | None:
    """The classes in order, once all sources of an order agree; None without one."""
    names = form.class_names(source)
    if names is not None:
        names = _checked_names(names, source.shown)
    if source.label_file is not None:
        listed = _checked_names(read_label_file(source.label_file), source.label_file)
        if names is not None:
            check_order(listed, names, f"label file {source.label_file}", source.format)
        names = listed
    if wanted is None:
        return names
    wanted = _checked_names(wanted, wanted_of)
    if source.label_file is not None:
        check_classes(names or (), wanted, f"label file {source.label_file}", other=wanted_of)
    elif names is not None:
        check_order(names, wanted, source.shown, wanted_of)
    return wanted


def _build(
    rows: Iterable[Clip[str]],
    names: tuple[str, ...] | None,
    source: str,
    faults: Faults,
    *,
    order: Callable[[Collection[str]], Sequence[str]],
    multi_label: bool,
) -> ClipIndex:
    ids = {} if names is None else {name: i for i, name in enumerate(names)}
    builder = ColumnsBuilder(ids)
    checked: set[tuple[str, ...]] = set()
    for clip in rows:
        labels = clip.all_labels
        if names is not None and labels not in checked:
            unknown = next((label for label in labels if label not in ids), None)
            if unknown is not None:
                text = f"label {unknown!r} is not in the class list" + _hint(unknown, names)
                faults.add("unknown label", clip.where, text, clip.name)
                continue
            checked.add(labels)
        if len(clip.labels) != 1 and not multi_label:
            text = f"{clip.name} has {len(clip.labels)} classes where one is expected"
            faults.add("malformed", clip.where, text, clip.name)
            continue
        builder.add(clip)
    if names is None:
        names = tuple(order(ids))
    # Classes are numbered as they come and sorted at the end, so that rows are read once.
    position = {name: i for i, name in enumerate(names)}
    columns = builder.build(np.array([position[name] for name in ids], dtype=np.int32))
    index = ClipIndex(ClipTable.of(columns), names, source, multi_label)
    if not len(index):
        if faults.without_label:
            raise DataError(f"{source}: no row has a label; a few clips of each class need one")
        raise DataError(f"{source}: lists no clips" + (" that can be used" if faults.found else ""))
    without = [name for name, n in zip(names, index.counts(), strict=True) if not n]
    if without:
        shown = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
        say(f"{source}: {len(without)} of {len(names)} classes have no clip: {shown}")
    return index


def _hint(label: str, names: Sequence[str]) -> str:
    if label.isdecimal():
        return "; numbers stand for classes in lists of --format slowfast with a label file"
    some = f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    otherwise = f"its {len(names)} classes are {some}"
    return known_names(label, names, cutoff=0.6, otherwise=otherwise)


def _checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    if not names:
        raise DataError(f"{where}: no class names")
    names = tuple(map(one_form, names))
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{where}: class {name!r} is listed twice")
        seen.add(name)
    return names
