"""One WebDataset shard: written, read back, compared."""

from __future__ import annotations

import dataclasses
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
from ..index.clip import KEPT, Clip, named, to_json
from ..index.formats.shard_list import Shard
from ..suffixes import VIDEO_SUFFIXES

_BLOCK = tarfile.BLOCKSIZE
_BESIDE = tuple(
    field.name for field in KEPT if field.name not in ("path", "name", "labels", "offset", "size")
)
"""Fields of a clip that are written under their own names in the JSON beside its video."""


@dataclass(frozen=True)
class TarItem:
    """A clip to pack."""

    key: str
    """Beginning of its names in the tar file."""
    clip: Clip[int]
    """With a name, and with its size unless that is unknown before reading."""
    class_names: tuple[str, ...]
    """Of its labels and of those of its events, in the order of ``clip.all_labels``."""
    multi_label: bool
    changed_ns: int | None
    """Time of change of the source."""

    def description(self) -> bytes:
        """What goes beside the video, as JSON."""
        clip = self.clip
        by_name = named(clip, dict(zip(clip.all_labels, self.class_names, strict=True)))
        value: dict[str, Any] = {"name": clip.name}
        if self.multi_label:
            value |= {"labels": list(clip.labels), "label_names": list(by_name.labels)}
        else:
            value |= {"label": clip.label, "label_name": by_name.label}
        return json.dumps(value | to_json(by_name, *_BESIDE)).encode()

    @property
    def member(self) -> str:
        """Name of the video in the tar file."""
        suffix = re.sub(r".*(?=\.)", "", self.clip.name.rpartition("/")[2]).lower()
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
    size = unknown if item.clip.size is None else item.clip.size
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
    clips: list[Clip[int]] = []
    failures: list[tuple[str, str]] = []
    sums: list[int] = []
    try:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for item in task.items:
                try:
                    data = _read(item)
                except VideoError as error:
                    failures.append((item.clip.name, error.reason))
                    continue
                offset = _add(tar, item.member, data)
                _add(tar, f"{item.key}.json", item.description())
                place = {"path": task.file, "offset": offset, "size": len(data)}
                clips.append(dataclasses.replace(item.clip, **place))
                sums.append(zlib.crc32(data))
                alive()
        _compare(path, clips, sums, alive)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    split = task.items[0].clip.split
    return Shard(task.file, path.stat().st_size, split, tuple(clips)), failures


def _read(item: TarItem) -> bytes:
    clip = item.clip
    data = read_bytes(clip.path, clip.offset or 0, clip.size)
    if clip.size is not None and clip.offset is None and Path(clip.path).exists():
        # read_bytes stops at the size that was planned; a file that has grown is another file.
        now = Path(clip.path).stat().st_size
        if now != clip.size:
            raise VideoError(clip.path, f"it changed meanwhile: {now} bytes, not {clip.size}")
    if not data:
        raise VideoError(clip.path, "the file is empty")
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file; return where its bytes begin."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644  # owner and time stay 0: equal input, equal tar
    offset = tar.offset + _BLOCK
    tar.addfile(member, io.BytesIO(data))
    return offset


def _compare(
    path: Path, clips: list[Clip[int]], sums: list[int], alive: Callable[[], None]
) -> None:
    for clip, wanted in zip(clips, sums, strict=True):
        if zlib.crc32(read_bytes(path, clip.offset or 0, clip.size)) != wanted:
            raise VideoError(path, f"{clip.name} does not read back as it was written")
        alive()
    with tarfile.open(path, "r:") as tar:
        offsets = [member.offset_data for member in tar][::2]
    if offsets != [clip.offset for clip in clips]:
        raise VideoError(path, "its headers do not read back as they were written")
