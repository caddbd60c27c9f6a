"""Clips by the hundred thousand: a sequence of them held in columns.

A list of 300,000 Python objects takes hundreds of megabytes, and every worker process gets a copy.
Here names lie end to end in one block of bytes and numbers in arrays; a :class:`Clip` is made when
it is asked for, and worker processes share the columns instead of copying them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch

SPLITS = ("train", "val", "test")


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


class _Strings:
    """Read-only strings end to end in one block, without the beginning that all share."""

    def __init__(self, prefix: str, ends: torch.Tensor, block: torch.Tensor):
        self.prefix, self.ends, self.block = prefix, ends, block

    @classmethod
    def pack(cls, values: Sequence[str]) -> _Strings:
        prefix = _shared_folder(min(values), max(values)) if values else ""
        parts = [value[len(prefix) :].encode("utf-8", "surrogateescape") for value in values]
        ends = np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)))
        block = np.frombuffer(bytearray(b"".join(parts)) or bytearray(1), dtype=np.uint8)
        return cls(prefix, torch.from_numpy(ends), torch.from_numpy(block))

    def __getitem__(self, i: int) -> str:
        ends = self.ends.numpy()
        start = int(ends[i - 1]) if i else 0
        text = self.block.numpy()[start : int(ends[i])].tobytes()
        return self.prefix + text.decode("utf-8", "surrogateescape")

    def take(self, rows: np.ndarray) -> _Strings:
        ends = self.ends.numpy()
        starts = np.concatenate([[0], ends[:-1]])[rows]
        lengths = ends[rows] - starts
        new_ends = np.cumsum(lengths)
        # Byte k of the result lies as far behind its string's start as in the old block.
        shift = np.repeat(starts - (new_ends - lengths), lengths)
        block = self.block.numpy()[np.arange(len(shift)) + shift]
        block = block if len(block) else np.zeros(1, dtype=np.uint8)
        return _Strings(self.prefix, torch.from_numpy(new_ends), torch.from_numpy(block))


class ClipTable(Sequence[Clip]):
    """An immutable sequence of clips; see the head of this file.

    Args:
        clips: The clips, consumed one by one.
    """

    def __init__(self, clips: Iterable[Clip] = ()):
        if isinstance(clips, ClipTable):
            self.__dict__.update(clips.__dict__)
            return
        paths: list[str] = []
        names: list[str] = []
        groups: dict[str, int] = {}
        label, split, group = array("i"), array("b"), array("i")
        start, end = array("d"), array("d")
        offset, size = array("q"), array("q")
        label_ends, label_values, is_multi = array("q"), array("i"), array("b")
        for clip in clips:
            paths.append(clip.path)
            names.append(clip.name)
            label.append(clip.label)
            split.append(-1 if clip.split is None else SPLITS.index(clip.split))
            group.append(-1 if clip.group is None else groups.setdefault(clip.group, len(groups)))
            start.append(np.nan if clip.start_seconds is None else clip.start_seconds)
            end.append(np.nan if clip.end_seconds is None else clip.end_seconds)
            offset.append(-1 if clip.offset is None else clip.offset)
            size.append(-1 if clip.size is None else clip.size)
            is_multi.append(clip.labels is not None)
            label_values.extend(clip.labels or ())
            label_ends.append(len(label_values))
        self._paths, self._names = _Strings.pack(paths), _Strings.pack(names)
        self._groups = _Strings.pack(list(groups))
        self._numbers = {
            "label": _tensor(label),
            "split": _tensor(split),
            "group": _tensor(group),
            "start": _tensor(start),
            "end": _tensor(end),
            "offset": _tensor(offset),
            "size": _tensor(size),
            "is_multi": _tensor(is_multi),
        }
        self._label_ends, self._label_values = _tensor(label_ends), _tensor(label_values)

    def __len__(self) -> int:
        return len(self._numbers["label"])

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
        value = {name: column[i].item() for name, column in self._numbers.items()}
        return Clip(
            path=self._paths[i],
            label=int(value["label"]),
            split=None if value["split"] < 0 else SPLITS[int(value["split"])],
            group=None if value["group"] < 0 else self._groups[int(value["group"])],
            start_seconds=_known(value["start"]),
            end_seconds=_known(value["end"]),
            name=self._names[i],
            labels=self._labels_of(i) if value["is_multi"] else None,
            offset=None if value["offset"] < 0 else int(value["offset"]),
            size=None if value["size"] < 0 else int(value["size"]),
        )

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
        """The clips at these positions, in this order.

        Args:
            rows: ``(N,)`` int64 positions.
        """
        new = ClipTable.__new__(ClipTable)
        rows = np.asarray(rows, dtype=np.int64)
        new._paths, new._names = self._paths.take(rows), self._names.take(rows)
        new._groups = self._groups
        chosen = torch.from_numpy(rows)
        new._numbers = {name: column[chosen] for name, column in self._numbers.items()}
        ends = self._label_ends.numpy()
        starts = np.concatenate([[0], ends[:-1]])[rows] if len(ends) else ends
        lengths = ends[rows] - starts
        new_ends = np.cumsum(lengths)
        shift = np.repeat(starts - (new_ends - lengths), lengths)
        new._label_ends = torch.from_numpy(new_ends.astype(np.int64))
        values = self._label_values.numpy()[np.arange(len(shift)) + shift]
        new._label_values = torch.from_numpy(values)
        return new

    @property
    def label(self) -> np.ndarray:
        """``(N,)`` int32: ``Clip.label`` of every clip."""
        return self._numbers["label"].numpy()

    @property
    def split(self) -> np.ndarray:
        """``(N,)`` int8: position of ``Clip.split`` in ``SPLITS``, -1 where there is none."""
        return self._numbers["split"].numpy()

    @property
    def multi_label(self) -> bool:
        """Whether any clip says all its classes."""
        return bool(self._numbers["is_multi"].any())

    def targets(self, num_classes: int) -> np.ndarray:
        """``(N, num_classes)`` uint8: 1 for every class of a clip."""
        out = np.zeros((len(self), num_classes), dtype=np.uint8)
        if self.multi_label:
            ends = self._label_ends.numpy()
            rows = np.repeat(np.arange(len(self)), np.diff(ends, prepend=0))
            out[rows, self._label_values.numpy()] = 1
        else:
            out[np.arange(len(self)), self.label] = 1
        return out

    def _labels_of(self, i: int) -> tuple[int, ...]:
        ends = self._label_ends.numpy()
        start = int(ends[i - 1]) if i else 0
        return tuple(self._label_values.numpy()[start : int(ends[i])].tolist())


def _tensor(values: array[Any]) -> torch.Tensor:
    if not len(values):
        return torch.from_numpy(np.array([], dtype=np.dtype(values.typecode)))
    return torch.from_numpy(np.frombuffer(values, dtype=np.dtype(values.typecode)))


def _shared_folder(first: str, last: str) -> str:
    """The folders, with the last slash, with which all strings begin that sort between these."""
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[: first.rfind("/", 0, same) + 1]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
