"""The fields of many clips, end to end in a few blocks of memory.

A list of 300,000 Python objects takes hundreds of megabytes, and every worker process gets a copy.
Here strings lie end to end in one block of bytes and numbers in tensors, which worker processes map
instead of copying them. What no clip has (a group, a part, a place in a shard, events) takes no
room.

The columns are read off the types of the fields of :class:`~.clip.Clip`: a class is an int32, a
number an int64 or a float64, a word its position among the different ones, and a tuple becomes its
items end to end and where those of each clip end.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import typing
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .clip import KEPT, Clip, plain_type

_TYPES: dict[Any, tuple[str, float]] = {
    float: ("d", math.nan),
    int: ("q", -1),
    str: ("i", -1),
    TypeVar: ("i", -1),
}
"""How ``array`` and NumPy spell the numbers of each type, and what stands for none."""


class Strings:
    """Read-only strings end to end in one block of UTF-8.

    Args:
        ends: ``(N,)`` int64: where each one ends.
        block: ``(bytes,)`` uint8.
    """

    def __init__(self, ends: Tensor, block: Tensor):
        self.ends, self.block = ends, block

    @classmethod
    def of(cls, values: Iterable[str]) -> Strings:
        """These strings."""
        builder = StringsBuilder()
        for value in values:
            builder.add(value)
        return builder.build()

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

    def __init__(self) -> None:
        self._block, self._ends = bytearray(), array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, value: str) -> None:
        """Append one; bytes that are no UTF-8, as Python spells them in file names, are kept."""
        self._block += value.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._block))

    def build(self) -> Strings:
        """What was added; the builder is used up."""
        block = self._block or bytearray(1)  # a tensor of no bytes cannot be shared
        return Strings(_tensor(self._ends), torch.from_numpy(np.frombuffer(block, dtype=np.uint8)))


@dataclass(frozen=True)
class Scalars:
    """A number or word of each clip."""

    values: Tensor
    """``(N,)``: numbers, or positions in ``words``."""
    words: Strings | None = None

    def __getitem__(self, i: int) -> Any:
        value = self.values[i].item()
        if self.words is not None:
            return None if value < 0 else self.words[int(value)]
        none = value != value if self.values.is_floating_point() else value < 0
        return None if none else value


@dataclass(frozen=True)
class Lists:
    """Several items of each clip."""

    ends: Tensor | None
    """``(N,)`` int64: where the items of each clip end; None where each has exactly one."""
    items: Scalars | Records

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        if self.ends is None:
            return (self.items[i],)
        start = int(self.ends[i - 1]) if i else 0
        return tuple(self.items[k] for k in range(start, int(self.ends[i])))


@dataclass(frozen=True)
class Records:
    """An object of each clip, its fields in columns."""

    kind: type
    columns: dict[str, Column]

    def __getitem__(self, i: int) -> Any:
        return self.kind(**{name: column[i] for name, column in self.columns.items()})


Column = Scalars | Lists | Records


@dataclass(frozen=True)
class Columns:
    """The clips of a table."""

    names: Strings
    paths: Strings
    """Those that do not end with the name, once where the same one comes several times in a row."""
    heads: Strings
    """The different beginnings of paths that end with their name."""
    head: Tensor
    """``(N,)`` int32 position in ``heads``; below 0: minus one minus the position in ``paths``."""
    fields: dict[str, Column]
    """The other fields of clips; only those that any clip has."""

    def path(self, i: int) -> str:
        """Path of a clip."""
        head = int(self.head[i])
        return self.heads[head] + self.names[i] if head >= 0 else self.paths[-1 - head]

    def clip(self, i: int) -> Clip[int]:
        """One clip."""
        others: dict[str, Any] = {name: column[i] for name, column in self.fields.items()}
        return Clip(path=self.path(i), name=self.names[i], **others)

    def values(self, name: str) -> Tensor:
        """The ``(N,)`` numbers of a field that is a number or word; below 0 or NaN is none."""
        column = self.fields.get(name)
        if isinstance(column, Scalars):
            return column.values
        code, missing = _TYPES[plain_type(_HINTS[name])]
        return torch.from_numpy(np.full(len(self.names), missing, dtype=code))


_HINTS = typing.get_type_hints(Clip)
_OTHERS = tuple(field for field in KEPT if field.name not in ("path", "name"))
_COMMON = tuple(field for field in _OTHERS if field.name in ("labels", "split"))
_RARE = tuple(field for field in _OTHERS if field not in _COMMON)
_rare_values = operator.attrgetter(*(field.name for field in _RARE))
_RARE_DEFAULTS = tuple(field.default for field in _RARE)


class ColumnsBuilder:
    """Takes clips one by one and keeps little more than their columns.

    Args:
        ids: A number for each name of a class; new names get the next one. None where the
            clips have numbers already.
    """

    def __init__(self, ids: dict[str, int] | None = None) -> None:
        self._names, self._paths = StringsBuilder(), StringsBuilder()
        self._last_path: str | None = None
        self._heads: dict[str, int] = {}
        self._head = array("i")
        self._fields = {f.name: _builder(_HINTS[f.name], ids, f.metadata) for f in _OTHERS}
        self._labels, self._split = self._fields["labels"], self._fields["split"]
        self._rare = [self._fields[field.name] for field in _RARE]

    def add(self, clip: Clip[Any]) -> None:
        """Append a clip."""
        path, name, row = clip.path, clip.name, len(self._head)
        if path.endswith(name) and name:
            head = path[: -len(name)]
            self._head.append(self._heads.setdefault(head, len(self._heads)))
        else:
            if path != self._last_path:  # the clips of a shard come in a row
                self._last_path = path
                self._paths.add(path)
            self._head.append(-len(self._paths))
        self._names.add(name)
        self._labels.add(row, clip.labels)  # hundreds of thousands of times, as split
        if clip.split is not None:
            self._split.add(row, clip.split)
        rare = _rare_values(clip)
        if rare == _RARE_DEFAULTS:
            return
        for column, value, default in zip(self._rare, rare, _RARE_DEFAULTS, strict=True):
            if value != default:
                column.add(row, value)

    def build(self, label_ids: np.ndarray | None = None) -> Columns:
        """The clips that were added; the builder is used up.

        Args:
            label_ids: ``(K,)`` new number of each label, where those given were preliminary.
        """
        count = len(self._head)
        built = {name: column.build(count, label_ids) for name, column in self._fields.items()}
        return Columns(
            names=self._names.build(),
            paths=self._paths.build(),
            heads=Strings.of(self._heads),
            head=_tensor(self._head),
            fields={name: column for name, column in built.items() if column is not None},
        )


class _ScalarsBuilder:
    def __init__(self, code: str, missing: float, words: dict[str, int] | None, *, label: bool):
        self._values, self._missing = array(code), array(code, [missing])  # type: ignore[arg-type]
        self._words, self._is_label = words, label

    def __len__(self) -> int:
        return len(self._values)

    def add(self, row: int, value: Any) -> None:
        if len(self._values) < row:
            self._fill(row)
        words = self._words
        self._values.append(value if words is None else words.setdefault(value, len(words)))

    def build(self, count: int, label_ids: np.ndarray | None) -> Scalars | None:
        if not self._values:
            return None
        self._fill(count)
        values = _tensor(self._values)
        if not self._is_label:
            return Scalars(values, None if self._words is None else Strings.of(self._words))
        if label_ids is None or not len(label_ids):
            return Scalars(values)
        return Scalars(torch.from_numpy(label_ids.astype(np.int32)[values.numpy()]))

    def _fill(self, count: int) -> None:
        self._values.extend(self._missing * (count - len(self._values)))


class _RecordsBuilder:
    def __init__(self, kind: type, columns: dict[str, Any]):
        self._kind, self._columns, self._count = kind, columns, 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: int, value: Any) -> None:
        self._count = row + 1
        for name, column in self._columns.items():
            column.add(row, getattr(value, name))

    def build(self, count: int, label_ids: np.ndarray | None) -> Records:
        built = {name: column.build(count, label_ids) for name, column in self._columns.items()}
        return Records(self._kind, built)


class _ListsBuilder:
    def __init__(self, items: _ScalarsBuilder | _RecordsBuilder):
        self._items, self._add = items, items.add
        self._singles = 0
        """Rows so far, as long as each brought one item."""
        self._ends: array[int] | None = None

    def add(self, row: int, items: Sequence[Any]) -> None:
        if row == self._singles and len(items) == 1:
            self._singles += 1
            self._add(row, items[0])
            return
        self._singles = -1
        ends = self._ends_until(row)
        for item in items:
            self._items.add(len(self._items), item)
        ends.append(len(self._items))

    def build(self, count: int, label_ids: np.ndarray | None) -> Lists | None:
        total = len(self._items)
        if not total:
            return None
        items = self._items.build(total, label_ids)
        assert items is not None
        single = self._ends is None and total == count
        return Lists(None if single else _tensor(self._ends_until(count)), items)

    def _ends_until(self, count: int) -> array[int]:
        """The ends of so many clips; those without items have none."""
        if self._ends is None:
            self._ends = array("q", range(1, len(self._items) + 1))
        self._ends.extend(array("q", [len(self._items)]) * (count - len(self._ends)))
        return self._ends


def _builder(hint: Any, ids: dict[str, int] | None, metadata: typing.Mapping[str, Any]) -> Any:
    """What takes the values of a field of this type."""
    kind = typing.get_origin(hint) or hint
    if kind is tuple:
        return _ListsBuilder(_builder(typing.get_args(hint)[0], ids, metadata))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        columns = {
            f.name: _builder(hints[f.name], ids, f.metadata) for f in dataclasses.fields(kind)
        }
        return _RecordsBuilder(typing.cast("type", kind), columns)
    plain = plain_type(hint)
    code, missing = _TYPES[plain]
    if plain is TypeVar:
        return _ScalarsBuilder(code, missing, ids, label=True)
    known = metadata.get("words", ())
    words = {word: i for i, word in enumerate(known)} if plain is str else None
    return _ScalarsBuilder("b" if known else code, missing, words, label=False)


def _tensor(values: array[Any]) -> Tensor:
    kind = np.dtype(values.typecode)
    return torch.from_numpy(np.frombuffer(values, kind) if len(values) else np.empty(0, kind))
