"""``shards.json``: which clips lie where in which tar file, so that any clip is one read away.

The tar files are plain WebDataset shards. Since they are not compressed, a clip is a range of bytes
in one of them, and this file gives offset and size of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import DataError

FORMAT = 1
"""Of ``shards.json``; raised when its keys change their meaning."""

NAME = "shards.json"

_OPTIONAL = ("group", "start_seconds", "end_seconds")


@dataclass(frozen=True)
class ShardClip:
    """One clip in a shard."""

    name: str
    """As its data named it."""
    offset: int
    """First byte of the video in the tar file."""
    size: int
    """Bytes of the video."""
    labels: tuple[int, ...]
    """Positions of its classes."""
    group: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    file: str
    """Relative to the folder of ``shards.json``."""
    bytes: int
    split: str | None
    clips: tuple[ShardClip, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data: the clips in columns, columns of nothing left out."""
        clips = self.clips
        columns: dict[str, list[Any]] = {
            "name": [clip.name for clip in clips],
            "offset": [clip.offset for clip in clips],
            "size": [clip.size for clip in clips],
            "labels": [list(clip.labels) for clip in clips],
        }
        for key in _OPTIONAL:
            values = [getattr(clip, key) for clip in clips]
            if any(value is not None for value in values):
                columns[key] = values
        return {"file": self.file, "bytes": self.bytes, "split": self.split, "clips": columns}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Shard:
        """Read what :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: If it did not.
        """
        columns = value["clips"]
        count = len(columns["name"])
        nothing = [None] * count
        optional = [columns.get(key, nothing) for key in _OPTIONAL]
        names, offsets, sizes = columns["name"], columns["offset"], columns["size"]
        rows = zip(names, offsets, sizes, columns["labels"], *optional, strict=True)
        return cls(
            file=str(value["file"]),
            bytes=int(value["bytes"]),
            split=value["split"],
            clips=tuple(
                ShardClip(str(name), int(offset), int(size), tuple(map(int, labels)), *rest)
                for name, offset, size, labels, *rest in rows
            ),
        )


@dataclass(frozen=True)
class ShardList:
    """All shards of a data set."""

    class_names: tuple[str, ...]
    multi_label: bool
    shards: tuple[Shard, ...]

    def dumps(self) -> str:
        """As the text of ``shards.json``, a line for each shard."""
        head = {
            "format": FORMAT,
            "class_names": list(self.class_names),
            "multi_label": self.multi_label,
        }
        # ASCII, so that names that are not UTF-8 survive as escapes.
        lines = [json.dumps(shard.to_dict(), separators=(",", ":")) for shard in self.shards]
        return json.dumps(head)[:-1] + ', "shards": [\n' + ",\n".join(lines) + "\n]}\n"

    @classmethod
    def loads(cls, data: bytes, where: str) -> ShardList:
        """Read the text of ``shards.json``.

        Args:
            data: The text.
            where: Path or URL, for messages.

        Raises:
            DataError: If it is damaged or of a newer format.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise DataError(
                    f"{where} has format {value['format']}, and this version reads {FORMAT}"
                )
            names = tuple(map(str, value["class_names"]))
            shards = tuple(Shard.from_dict(shard) for shard in value["shards"])
            _check_labels(shards, len(names))
            return cls(names, bool(value["multi_label"]), shards)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{where} is damaged, or no list of shards") from error


def _check_labels(shards: Sequence[Shard], classes: int) -> None:
    for clip in _all_clips(shards):
        if clip.labels and not 0 <= min(clip.labels) <= max(clip.labels) < classes:
            raise ValueError(f"label {clip.labels} of {classes} classes")


def _all_clips(shards: Sequence[Shard]) -> Iterator[ShardClip]:
    for shard in shards:
        yield from shard.clips
