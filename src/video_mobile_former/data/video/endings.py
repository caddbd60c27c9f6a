"""Whether a container is complete, whatever its header says of its length."""

from __future__ import annotations

import io
from typing import BinaryIO

from .media import LocalFile

File = LocalFile | BinaryIO | io.BytesIO

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
"""Elements of Matroska whose length may be left open."""


def is_complete(file: File, container: str) -> bool | None:
    """Say whether a file ends where its own structure ends.

    Args:
        file: Its bytes, at any place.
        container: FFmpeg's name of the format.

    Returns:
        None for formats that do not tell.
    """
    if container.startswith("matroska"):
        return _matroska(file)
    if container == "flv":
        return _flv(file)
    if container == "avi":
        return _avi(file)
    return None


def _matroska(file: File) -> bool:
    end = file.seek(0, 2)
    at = 0
    while at < end:
        file.seek(at)
        head = file.read(12)
        name, size_at = _number(head, 0, keep_mark=True)
        size, body_at = _number(head, size_at, keep_mark=False)
        if not body_at:
            return False
        open_ended = size == (1 << 7 * (body_at - size_at)) - 1
        if name == _SEGMENT and not open_ended:
            return at + body_at + size <= end
        # What lies in an element without a length is walked through like what lies beside it.
        at += body_at if open_ended or name == _SEGMENT else body_at + size
        if open_ended and name not in (_SEGMENT, _CLUSTER):
            return False
    return at == end


def _number(data: bytes, at: int, *, keep_mark: bool) -> tuple[int, int]:
    """A number of variable length and the place behind it; that is 0 where there is none."""
    if at >= len(data) or not data[at]:
        return 0, 0
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    if at + length > len(data):
        return 0, 0
    return (value if keep_mark else value & ((1 << 7 * length) - 1)), at + length


def _flv(file: File) -> bool:
    """The last four bytes repeat the length of the last tag."""
    end = file.seek(0, 2)
    file.seek(max(0, end - 4))
    length = int.from_bytes(file.read(4), "big")
    if not 11 <= length <= end - 13:
        return False
    file.seek(end - 4 - length)
    tag = file.read(4)
    return tag[0] & 0x1F in (8, 9, 18) and int.from_bytes(tag[1:], "big") + 11 == length


def _avi(file: File) -> bool:
    """The first chunk says how long it is; others may follow (OpenDML)."""
    end = file.seek(0, 2)
    at = length = 0
    while at < end:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return at > 0
        length = int.from_bytes(head[4:8], "little")
        if not length or at + 8 + length > end:
            return False
        at += 8 + length + length % 2
    return length > 0
