"""``shards.json``: which clips lie where in which tar file, so that one request reads any clip.

The tar files are plain WebDataset shards. Since they are not compressed, a clip is a range of bytes
in one of them, and this file gives offset and size of each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import DataError, UserError
from ....untrusted import parse_json
from ..clip import KEPT, Clip, reader, to_json

FORMAT = 1
"""Of ``shards.json``; raised when its keys change their meaning."""

NAME = "shards.json"
_MOST_BYTES = 4 << 30
"""Of the text: some ten million clips."""

_ELSEWHERE = ("path", "split")
"""Fields of a clip that are those of its shard."""
_ALWAYS = ("name", "offset", "size", "labels")
_COLUMNS = (*_ALWAYS, *(f.name for f in KEPT if f.name not in (*_ALWAYS, *_ELSEWHERE)))


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    file: str
    """Relative to the folder of ``shards.json``."""
    bytes: int
    split: str | None
    clips: tuple[Clip[int], ...]
    """Their ``path`` is ``file``, their ``split`` that of the shard."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data: the clips in columns, without empty columns."""
        clips = [to_json(clip, *_COLUMNS) for clip in self.clips]
        columns = {
            name: [clip.get(name) for clip in clips]
            for name in _COLUMNS
            if name in _ALWAYS or any(name in clip for clip in clips)
        }
        return {"file": self.file, "bytes": self.bytes, "split": self.split, "clips": columns}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Shard:
        """Read what :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: If it did not.
        """
        file, split, columns = str(value["file"]), value["split"], value["clips"]
        if not set(_ALWAYS) <= set(columns):
            raise ValueError("a column is missing")
        known = [name for name in _COLUMNS if name in columns]
        rows = zip(*(map(reader(name, int), columns[name]) for name in known), strict=True)
        clips = tuple(
            Clip(path=file, split=split, **dict(zip(known, row, strict=True))) for row in rows
        )
        return cls(file=file, bytes=int(value["bytes"]), split=split, clips=clips)


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
            try:
                value = parse_json(data, where, _MOST_BYTES)
            except UserError as error:
                raise DataError(f"{error}: damaged, or no list of shards") from error
            if value["format"] != FORMAT:
                raise DataError(
                    f"{where} has format {value['format']}, and this version reads {FORMAT}"
                )
            names = tuple(map(str, value["class_names"]))
            shards = tuple(Shard.from_dict(shard) for shard in value["shards"])
            _check_labels(shards, len(names))
            return cls(names, bool(value["multi_label"]), shards)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{where} is damaged, or no list of shards") from error


def _check_labels(shards: Sequence[Shard], classes: int) -> None:
    for label in (label for shard in shards for clip in shard.clips for label in clip.all_labels):
        if not 0 <= label < classes:
            raise ValueError(f"label {label} of {classes} classes")
