"""Strings and numbers of many clips, end to end in a few blocks of memory.

A list of 300,000 Python objects takes hundreds of megabytes, and every worker process gets a copy.
Here strings lie end to end in one block of bytes and numbers in tensors, which worker processes map
instead of copying them. What few clips have (a group, a part, a place in a shard) takes no room
where no clip has it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

SPLITS = ("train", "val", "test")
_SPLIT_IDS = {None: -1, **{name: i for i, name in enumerate(SPLITS)}}

MISSING: dict[str, float] = {
    "group": -1,
    "start": float("nan"),
    "end": float("nan"),
    "offset": -1,
    "size": -1,
    "is_multi": 0,
}
"""The columns that are left out where no clip has them, and what stands for none in them."""

TYPES = {"group": "i", "start": "d", "end": "d", "offset": "q", "size": "q", "is_multi": "b"}
"""Their kinds, as ``array`` and NumPy spell them."""


class Strings:
    """Read-only strings end to end in one block of UTF-8.

    Args:
        ends: ``(N,)`` int64: where each one ends.
        block: ``(bytes,)`` uint8.
    """

    def __init__(self, ends: Tensor, block: Tensor):
        self.ends, self.block = ends, block

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> str:
        ends = self.ends.numpy()
        start = int(ends[i - 1]) if i else 0
        text = self.block.numpy()[start : int(ends[i])].tobytes()
        return text.decode("utf-8", "surrogateescape")

    def find(self, wanted: Iterable[str]) -> list[int]:
        """The positions, rising, at which one of the strings ``wanted`` stands."""
        known = set(wanted)
        sizes = [len(value.encode("utf-8", "surrogateescape")) for value in known]
        # Comparing lengths first leaves few strings to make.
        candidates = np.flatnonzero(np.isin(np.diff(self.ends.numpy(), prepend=0), sizes))
        return [i for i in candidates.tolist() if self[i] in known]


class StringsBuilder:
    """Packs strings as they come."""

    def __init__(self, values: Iterable[str] = ()):
        self._block, self._ends = bytearray(), array("q")
        for value in values:
            self.add(value)

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, value: str) -> None:
        """Append one; bytes that are no UTF-8, as Python spells them in file names, survive."""
        self._block += value.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._block))

    def build(self) -> Strings:
        """What was added; the builder is used up."""
        block = self._block or bytearray(1)  # a tensor of no bytes cannot be shared
        return Strings(_tensor(self._ends), torch.from_numpy(np.frombuffer(block, dtype=np.uint8)))


@dataclass(frozen=True)
class Columns:
    """The clips of a table; see :class:`~.table.Clip` for what they mean."""

    names: Strings
    paths: Strings
    """Those that do not end with the name, once where the same one comes several times in a row."""
    heads: Strings
    """The different beginnings of paths that end with their name."""
    groups: Strings
    """The different groups."""
    numbers: dict[str, Tensor]
    """``(N,)`` each: label int32, split int8 (position in ``SPLITS`` or -1), head int32 (below 0:
    minus one minus the position in ``paths``), and of the names in ``MISSING`` those that a clip
    has."""
    label_ends: Tensor
    """``(N,)`` int64: where the labels of each clip end in ``label_values``; ``(0,)`` where no clip
    says all its classes."""
    label_values: Tensor
    """``(L,)`` int32."""

    def path(self, i: int) -> str:
        """Path of a clip."""
        head = int(self.numbers["head"][i])
        return self.heads[head] + self.names[i] if head >= 0 else self.paths[-1 - head]

    def number(self, name: str, i: int) -> float | int:
        """A number of a clip, or what stands for none."""
        column = self.numbers.get(name)
        return MISSING[name] if column is None else column[i].item()


class ColumnsBuilder:
    """Takes clips one by one; holds little more than the columns it makes."""

    def __init__(self) -> None:
        self._names, self._paths = StringsBuilder(), StringsBuilder()
        self._last_path: str | None = None
        self._heads: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._label, self._split, self._head = array("i"), array("b"), array("i")
        self._rare = {name: (array("q"), array(TYPES[name])) for name in MISSING}
        self._label_counts = array("q"), array("q")
        self._label_values = array("i")

    def add(
        self,
        path: str,
        name: str,
        label: int,
        split: str | None,
        group: str | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        labels: Iterable[int] | None = None,
        offset: int | None = None,
        size: int | None = None,
    ) -> None:
        """Append a clip; the arguments are the fields of :class:`~.table.Clip`."""
        if path.endswith(name) and name:
            head = path[: -len(name)]
            self._head.append(self._heads.setdefault(head, len(self._heads)))
        else:
            if path != self._last_path:  # the clips of a shard come in a row
                self._last_path = path
                self._paths.add(path)
            self._head.append(-len(self._paths))
        self._names.add(name)
        self._label.append(label)
        self._split.append(_SPLIT_IDS[split])
        if start_seconds is group is end_seconds is labels is offset is size is None:
            return  # hundreds of thousands of times
        if group is not None:
            self._note("group", self._groups.setdefault(group, len(self._groups)))
        if start_seconds is not None:
            self._note("start", start_seconds)
        if end_seconds is not None:
            self._note("end", end_seconds)
        if offset is not None:
            self._note("offset", offset)
        if size is not None:
            self._note("size", size)
        if labels is not None:
            self._note_labels(labels)

    def build(self, label_ids: np.ndarray | None = None) -> Columns:
        """The clips that were added; the builder is used up.

        Args:
            label_ids: ``(K,)`` new number of each label, where those given were preliminary.
        """
        count = len(self._label)
        numbers = {
            "label": _renumbered(self._label, label_ids),
            "split": _tensor(self._split),
            "head": _tensor(self._head),
        }
        for name, (rows, values) in self._rare.items():
            if len(rows):
                numbers[name] = _filled(count, rows, values, MISSING[name])
        ends = torch.zeros(0, dtype=torch.int64)
        if "is_multi" in numbers:
            ends = _filled(count, *self._label_counts, 0).cumsum(0)
        return Columns(
            names=self._names.build(),
            paths=self._paths.build(),
            heads=StringsBuilder(self._heads).build(),
            groups=StringsBuilder(self._groups).build(),
            numbers=numbers,
            label_ends=ends,
            label_values=_renumbered(self._label_values, label_ids),
        )

    def _note(self, name: str, value: float) -> None:
        rows, values = self._rare[name]
        rows.append(len(self._label) - 1)
        values.append(value)

    def _note_labels(self, labels: Iterable[int]) -> None:
        self._note("is_multi", 1)
        before = len(self._label_values)
        self._label_values.extend(labels)
        rows, counts = self._label_counts
        rows.append(len(self._label) - 1)
        counts.append(len(self._label_values) - before)


def _tensor(values: array[Any]) -> Tensor:
    kind = np.dtype(values.typecode)
    return torch.from_numpy(np.frombuffer(values, kind) if len(values) else np.empty(0, kind))


def _filled(count: int, rows: array[int], values: array[Any], missing: float) -> Tensor:
    out = np.full(count, missing, dtype=np.dtype(values.typecode))
    out[np.asarray(rows)] = np.asarray(values)
    return torch.from_numpy(out)


def _renumbered(labels: array[int], ids: np.ndarray | None) -> Tensor:
    column = _tensor(labels)
    if ids is None or not len(ids):
        return column
    values = column.numpy()
    return torch.from_numpy(np.where(values < 0, values, ids.astype(np.int32)[values]))
