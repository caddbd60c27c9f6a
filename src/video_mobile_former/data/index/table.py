"""Clips by the hundred thousand: a sequence of them held in columns.

A :class:`Clip` is made when it is asked for; worker processes share the columns, see
:mod:`.columns`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from .columns import MISSING, SPLITS, TYPES, Columns, ColumnsBuilder

__all__ = ["SPLITS", "Clip", "ClipTable"]


@dataclass(frozen=True)
class Clip:
    """One labelled video, or a part of one."""

    path: str
    """Absolute path of the file (or its URL)."""
    label: int
    """Position of the class in ``ClipIndex.class_names``; of several classes the first, -1 where a
    clip of a multi-label set has none."""
    split: str | None = None
    """``"train"``, ``"val"``, ``"test"``, or None where the data does not say."""
    group: str | None = None
    """Clips that must stay on one side of a split: same person, scene or source video."""
    start_seconds: float | None = None
    """Begin of the part that carries the label; None is the begin of the file."""
    end_seconds: float | None = None
    """End of that part, itself excluded; None is the end of the file."""
    name: str = ""
    """The path as written in the data: what people are shown."""
    labels: tuple[int, ...] | None = None
    """All classes of a clip of a multi-label set, possibly none; else None."""
    offset: int | None = None
    """First byte of the video inside the file, where the file holds several (a tar shard)."""
    size: int | None = None
    """Bytes of the video inside the file; None with ``offset``."""


class ClipTable(Sequence[Clip]):
    """An immutable sequence of clips; see the head of this file.

    Args:
        clips: The clips, consumed one by one.
    """

    _columns: Columns
    _rows: Tensor | None
    """``(N,)`` int64: which clips of the columns, in which order; None is all of them. So a part of
    a table costs eight bytes a clip and shares the rest."""

    def __init__(self, clips: Iterable[Clip] = ()):
        if isinstance(clips, ClipTable):
            self._columns, self._rows = clips._columns, clips._rows
            return
        builder = ColumnsBuilder()
        for clip in clips:
            builder.add(
                clip.path,
                clip.name,
                clip.label,
                clip.split,
                clip.group,
                clip.start_seconds,
                clip.end_seconds,
                clip.labels,
                clip.offset,
                clip.size,
            )
        self._columns, self._rows = builder.build(), None

    @classmethod
    def of(cls, columns: Columns) -> ClipTable:
        """A table of all clips in these columns."""
        new = cls.__new__(cls)
        new._columns, new._rows = columns, None
        return new

    def __len__(self) -> int:
        return len(self._columns.names) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Clip: ...
    @overload
    def __getitem__(self, key: slice) -> ClipTable: ...
    def __getitem__(self, key: int | slice) -> Clip | ClipTable:
        if isinstance(key, slice):
            return self.take(np.arange(len(self))[key])
        i = int(key)
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"clip {key} of {len(self)}")
        return self._clip(i if self._rows is None else int(self._rows[i]))

    def __iter__(self) -> Iterator[Clip]:
        for i in range(len(self)):
            yield self[i]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # compared by value, like a list

    def __repr__(self) -> str:
        return f"ClipTable({len(self)} clips)"

    def take(self, rows: np.ndarray) -> ClipTable:
        """The clips at these positions, in this order; the columns are shared with this table.

        Args:
            rows: ``(N,)`` int64 positions.
        """
        chosen = torch.from_numpy(np.array(rows, dtype=np.int64))
        new = ClipTable.of(self._columns)
        new._rows = chosen if self._rows is None else self._rows[chosen]
        return new

    def with_splits(self, splits: np.ndarray) -> ClipTable:
        """The same clips in other splits; the other columns are shared with this table.

        Args:
            splits: ``(N,)`` as :attr:`split`.
        """
        column = self._columns.numbers["split"].clone()
        rows = slice(None) if self._rows is None else self._rows
        column[rows] = torch.from_numpy(np.ascontiguousarray(splits)).to(column.dtype)
        new = ClipTable.of(
            dataclasses.replace(self._columns, numbers={**self._columns.numbers, "split": column})
        )
        new._rows = self._rows
        return new

    def find(self, names: Iterable[str]) -> np.ndarray:
        """The ``(M,)`` int64 sorted positions of the clips with one of these names or paths."""
        columns, wanted = self._columns, {name for name in names if name}
        ends = {name[len(h) :] for h in columns.heads for name in wanted if name.startswith(h)}
        rows = columns.names.find(wanted | ends)
        others = [-1 - k for k in columns.paths.find(wanted)]
        rows += np.flatnonzero(np.isin(columns.numbers["head"].numpy(), others)).tolist()
        found = [i for i in rows if columns.names[i] in wanted or columns.path(i) in wanted]
        if self._rows is None:
            return np.unique(np.array(found, dtype=np.int64))
        return np.flatnonzero(np.isin(self._rows.numpy(), found))

    @property
    def label(self) -> np.ndarray:
        """``(N,)`` int32: ``Clip.label`` of every clip."""
        return self._numbers("label")

    @property
    def split(self) -> np.ndarray:
        """``(N,)`` int8: position of ``Clip.split`` in ``SPLITS``, -1 where there is none."""
        return self._numbers("split")

    @property
    def group(self) -> np.ndarray:
        """``(N,)`` int32: equal for clips of the same ``Clip.group``, -1 where there is none."""
        return self._numbers("group")

    @property
    def start_seconds(self) -> np.ndarray:
        """``(N,)`` float64: ``Clip.start_seconds``, NaN for None."""
        return self._numbers("start")

    @property
    def end_seconds(self) -> np.ndarray:
        """``(N,)`` float64: ``Clip.end_seconds``, NaN for None."""
        return self._numbers("end")

    @property
    def shard(self) -> np.ndarray | None:
        """``(N,)`` int64: a number for the file that holds each clip; None where no clip is a range
        of bytes of a file."""
        if "offset" not in self._columns.numbers:
            return None
        return np.unique(self._numbers("head"), return_inverse=True)[1].astype(np.int64)

    def names(self) -> Iterator[str]:
        """``Clip.name`` of every clip, without making the clips."""
        names = self._columns.names
        rows = range(len(self)) if self._rows is None else self._rows.tolist()
        return (names[i] for i in rows)

    @property
    def multi_label(self) -> bool:
        """Whether any clip says all its classes."""
        return "is_multi" in self._columns.numbers and bool(self._numbers("is_multi").any())

    def label_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every class of every clip.

        Returns:
            ``(L,)`` positions of clips, rising, and the ``(L,)`` class of each.
        """
        if not self.multi_label:
            return np.arange(len(self)), self.label
        ends = self._columns.label_ends.numpy()
        starts = np.concatenate([ends[:1] * 0, ends[:-1]])
        rows = np.arange(len(ends)) if self._rows is None else self._rows.numpy()
        starts, counts = starts[rows], (ends - starts)[rows]
        # The k-th label of the result lies as far behind the first of its clip as in the column.
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        values = self._columns.label_values.numpy()[np.repeat(starts, counts) + within]
        return np.repeat(np.arange(len(self)), counts), values

    def targets(self, num_classes: int) -> np.ndarray:
        """``(N, num_classes)`` uint8: 1 for every class of a clip."""
        out = np.zeros((len(self), num_classes), dtype=np.uint8)
        out[self.label_pairs()] = 1
        return out

    def _numbers(self, name: str) -> np.ndarray:
        column = self._columns.numbers.get(name)
        if column is None:
            return np.full(len(self), MISSING[name], dtype=TYPES[name])
        return (column if self._rows is None else column[self._rows]).numpy()

    def _clip(self, i: int) -> Clip:
        """The clip at a position of the columns."""
        columns = self._columns
        split, group = columns.number("split", i), columns.number("group", i)
        offset, size = columns.number("offset", i), columns.number("size", i)
        return Clip(
            path=columns.path(i),
            label=int(columns.number("label", i)),
            split=None if split < 0 else SPLITS[int(split)],
            group=None if group < 0 else columns.groups[int(group)],
            start_seconds=_known(columns.number("start", i)),
            end_seconds=_known(columns.number("end", i)),
            name=columns.names[i],
            labels=self._labels_of(i) if columns.number("is_multi", i) else None,
            offset=None if offset < 0 else int(offset),
            size=None if size < 0 else int(size),
        )

    def _labels_of(self, i: int) -> tuple[int, ...]:
        ends = self._columns.label_ends.numpy()
        start = int(ends[i - 1]) if i else 0
        return tuple(self._columns.label_values.numpy()[start : int(ends[i])].tolist())


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
