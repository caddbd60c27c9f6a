"""A sequence of many clips, kept in columns.

A :class:`Clip` is made when it is asked for; worker processes share the columns, see
:mod:`.columns`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from .clip import SPLITS, Clip
from .columns import Columns, ColumnsBuilder, Lists, Scalars, Strings

__all__ = ["SPLITS", "Clip", "ClipTable"]


class ClipTable(Sequence[Clip[int]]):
    """An immutable sequence of clips; see the head of this file.

    Args:
        clips: The clips, consumed one by one.
    """

    _columns: Columns
    _rows: Tensor | None
    """``(N,)`` int64: which clips of the columns, in which order; None is all of them. So a part of
    a table costs eight bytes a clip and shares the rest."""

    def __init__(self, clips: Iterable[Clip[int]] = ()):
        if isinstance(clips, ClipTable):
            self._columns, self._rows = clips._columns, clips._rows
            return
        builder = ColumnsBuilder()
        for clip in clips:
            builder.add(clip)
        self._columns, self._rows = builder.build(), None

    @classmethod
    def of(cls, columns: Columns) -> ClipTable:
        """A table of all clips in these columns."""
        new = cls.__new__(cls)
        new._columns, new._rows = columns, None
        return new

    @property
    def has_events(self) -> bool:
        """Whether any clip of the columns says what happens when."""
        return "events" in self._columns.fields

    def __len__(self) -> int:
        return len(self._columns.names) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Clip[int]: ...
    @overload
    def __getitem__(self, key: slice) -> ClipTable: ...
    def __getitem__(self, key: int | slice) -> Clip[int] | ClipTable:
        if isinstance(key, slice):
            return self.take(np.arange(len(self))[key])
        i = int(key)
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"clip {key} of {len(self)}")
        return self._columns.clip(i if self._rows is None else int(self._rows[i]))

    def __iter__(self) -> Iterator[Clip[int]]:
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
        values = self._columns.values("split").clone()
        rows = slice(None) if self._rows is None else self._rows
        values[rows] = torch.from_numpy(np.ascontiguousarray(splits)).to(values.dtype)
        fields = {**self._columns.fields, "split": Scalars(values, Strings.of(SPLITS))}
        new = ClipTable.of(dataclasses.replace(self._columns, fields=fields))
        new._rows = self._rows
        return new

    def find(self, names: Iterable[str]) -> np.ndarray:
        """The ``(M,)`` int64 sorted positions of the clips with one of these names or paths."""
        columns, wanted = self._columns, {name for name in names if name}
        ends = {name[len(h) :] for h in columns.heads for name in wanted if name.startswith(h)}
        rows = columns.names.find(wanted | ends)
        others = [-1 - k for k in columns.paths.find(wanted)]
        rows += np.flatnonzero(np.isin(columns.head.numpy(), others)).tolist()
        found = [i for i in rows if columns.names[i] in wanted or columns.path(i) in wanted]
        if self._rows is None:
            return np.unique(np.array(found, dtype=np.int64))
        return np.flatnonzero(np.isin(self._rows.numpy(), found))

    @property
    def label(self) -> np.ndarray:
        """``(N,)`` int32: the first class of every clip, -1 where it has none."""
        column = self._columns.fields.get("labels")
        if isinstance(column, Lists) and column.ends is None and isinstance(column.items, Scalars):
            return self._of_rows(column.items.values)
        starts, counts, values = self._labels()
        out = np.full(len(self), -1, dtype=np.int32)
        out[counts > 0] = values[starts[counts > 0]]
        return out

    @property
    def split(self) -> np.ndarray:
        """``(N,)`` int32: position of ``Clip.split`` in ``SPLITS``, -1 where there is none."""
        return self._numbers("split")

    @property
    def group(self) -> np.ndarray:
        """``(N,)`` int32: equal for clips of the same ``Clip.group``, -1 where there is none."""
        return self._numbers("group")

    @property
    def start_seconds(self) -> np.ndarray:
        """``(N,)`` float64: ``Clip.start_seconds``, NaN for None."""
        return self._numbers("start_seconds")

    @property
    def end_seconds(self) -> np.ndarray:
        """``(N,)`` float64: ``Clip.end_seconds``, NaN for None."""
        return self._numbers("end_seconds")

    @property
    def shard(self) -> np.ndarray | None:
        """``(N,)`` int64: a number for the file that holds each clip; None where no clip is a range
        of bytes of a file."""
        if "offset" not in self._columns.fields:
            return None
        heads = self._of_rows(self._columns.head)
        return np.unique(heads, return_inverse=True)[1].astype(np.int64)

    def names(self) -> Iterator[str]:
        """``Clip.name`` of every clip, without making the clips."""
        names = self._columns.names
        rows = range(len(self)) if self._rows is None else self._rows.tolist()
        return (names[i] for i in rows)

    def label_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every class of every clip.

        Returns:
            ``(L,)`` positions of clips, rising, and the ``(L,)`` class of each.
        """
        starts, counts, values = self._labels()
        # The k-th label of the result lies as far behind the first of its clip as in the column.
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(np.arange(len(self)), counts), values[np.repeat(starts, counts) + within]

    def targets(self, num_classes: int) -> np.ndarray:
        """``(N, num_classes)`` uint8: 1 for every class of a clip."""
        out = np.zeros((len(self), num_classes), dtype=np.uint8)
        out[self.label_pairs()] = 1
        return out

    def _labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each clip where its labels begin in the block, and how many; then the block."""
        count = len(self._columns.names)
        column = self._columns.fields.get("labels")
        if not isinstance(column, Lists) or not isinstance(column.items, Scalars):
            ends, values = torch.zeros(count, dtype=torch.int64), np.empty(0, dtype=np.int32)
        else:
            ends = torch.arange(1, count + 1) if column.ends is None else column.ends
            values = column.items.values.numpy()
        starts = torch.cat([ends.new_zeros(1), ends])[:count]
        return self._of_rows(starts), self._of_rows(ends - starts), values

    def _numbers(self, name: str) -> np.ndarray:
        return self._of_rows(self._columns.values(name))

    def _of_rows(self, column: Tensor) -> np.ndarray:
        return (column if self._rows is None else column[self._rows]).numpy()
