"""One WebDataset shard: written, read back, compared."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import VideoError
from ..byte_ranges import read_bytes
from ..index.formats.shard_list import Shard, ShardClip
from ..suffixes import VIDEO_SUFFIXES

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class TarItem:
    """A clip to pack."""

    key: str
    """Beginning of its names in the tar file."""
    name: str
    path: str
    offset: int | None
    size: int | None
    """Bytes; None where only reading tells."""
    changed_ns: int | None
    """Time of change of the source."""
    labels: tuple[int, ...]
    label_names: tuple[str, ...]
    multi_label: bool
    split: str | None
    group: str | None
    start_seconds: float | None
    end_seconds: float | None

    def description(self) -> bytes:
        """What goes beside the video, as JSON."""
        value: dict[str, Any] = {"name": self.name}
        if self.multi_label:
            value |= {"labels": list(self.labels), "label_names": list(self.label_names)}
        else:
            value |= {"label": self.labels[0], "label_name": self.label_names[0]}
        for key in ("split", "group", "start_seconds", "end_seconds"):
            if getattr(self, key) is not None:
                value[key] = getattr(self, key)
        return json.dumps(value).encode()

    @property
    def member(self) -> str:
        """Name of the video in the tar file."""
        suffix = re.sub(r".*(?=\.)", "", self.name.rpartition("/")[2]).lower()
        return self.key + (suffix if suffix in VIDEO_SUFFIXES else ".mp4")


@dataclass(frozen=True)
class TarTask:
    """A shard to write."""

    file: str
    partial: str
    """Where to write it."""
    items: tuple[TarItem, ...]


def item_bytes(item: TarItem, unknown: int) -> int:
    """Bytes that a clip takes in a tar file, with its headers.

    Args:
        item: The clip.
        unknown: Taken as the size of the video where that is not known.
    """
    size = unknown if item.size is None else item.size
    return sum(_BLOCK + -(-part // _BLOCK) * _BLOCK for part in (size, len(item.description())))


def write_tar(task: TarTask, alive: Callable[[], None]) -> tuple[Shard, list[tuple[str, str]]]:
    """Write a shard and read it back.

    Args:
        task: What goes where.
        alive: Called after every clip.

    Returns:
        Where the clips lie, and name and reason of those that could not be read.

    Raises:
        VideoError: If what is read back is not what was written.
        OSError: If the system refuses to write.
    """
    path = Path(task.partial)
    clips: list[ShardClip] = []
    failures: list[tuple[str, str]] = []
    sums: list[int] = []
    try:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for item in task.items:
                try:
                    data = _read(item)
                except VideoError as error:
                    failures.append((item.name, error.reason))
                    continue
                offset = _add(tar, item.member, data)
                _add(tar, f"{item.key}.json", item.description())
                clips.append(_clip(item, offset, len(data)))
                sums.append(zlib.crc32(data))
                alive()
        _compare(path, clips, sums, alive)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    split = task.items[0].split
    return Shard(task.file, path.stat().st_size, split, tuple(clips)), failures


def _read(item: TarItem) -> bytes:
    data = read_bytes(item.path, item.offset or 0, item.size)
    if item.size is not None and item.offset is None and Path(item.path).exists():
        # read_bytes stops at the size that was planned; a file that has grown is another file.
        now = Path(item.path).stat().st_size
        if now != item.size:
            raise VideoError(item.path, f"it changed meanwhile: {now} bytes, not {item.size}")
    if not data:
        raise VideoError(item.path, "the file is empty")
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file; return where its bytes begin."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644  # owner and time stay 0: equal input, equal tar
    offset = tar.offset + _BLOCK
    tar.addfile(member, io.BytesIO(data))
    return offset


def _clip(item: TarItem, offset: int, size: int) -> ShardClip:
    return ShardClip(
        name=item.name,
        offset=offset,
        size=size,
        labels=item.labels,
        group=item.group,
        start_seconds=item.start_seconds,
        end_seconds=item.end_seconds,
    )


def _compare(
    path: Path, clips: list[ShardClip], sums: list[int], alive: Callable[[], None]
) -> None:
    for clip, wanted in zip(clips, sums, strict=True):
        if zlib.crc32(read_bytes(path, clip.offset, clip.size)) != wanted:
            raise VideoError(path, f"{clip.name} does not read back as it was written")
        alive()
    with tarfile.open(path, "r:") as tar:
        offsets = [member.offset_data for member in tar][::2]
    if offsets != [clip.offset for clip in clips]:
        raise VideoError(path, "its headers do not read back as they were written")
