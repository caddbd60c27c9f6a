"""Why a file is not a video: what its first bytes show."""

from __future__ import annotations

import contextlib
from typing import BinaryIO

import av.error
from av.stream import Disposition

from ..video.first_bytes import HEAD_BYTES, other_thing
from ..video.media import open_container


def not_a_video(open_file: BinaryIO, reason: str) -> tuple[str, str]:
    """The kind of fault that keeps a file from being opened as a video.

    Args:
        open_file: Its bytes, at the start.
        reason: The decoder's error.

    Returns:
        A kind of fault and one phrase: ``"no video stream"``, ``"not a video"``, ``"truncated"``
        or, if no better reason is known, ``"unreadable"``.
    """
    head = open_file.read(HEAD_BYTES)
    other = other_thing(head)
    if other is not None:
        return "not a video", f"not a video but {other}"
    if not head.strip(b"\0"):
        return "unreadable", "it starts with nothing but zero bytes"
    missing = _missing_boxes(open_file, head)
    if missing:
        return "truncated", f"the file is cut off: {missing} bytes are missing at its end"
    open_file.seek(0)
    if _has_no_pictures(open_file):
        return "no video stream", reason
    return "unreadable", reason


def is_video(open_file: BinaryIO) -> bool:
    """Whether a file without the name of a video is one by its content.

    Args:
        open_file: Its bytes, at the start.
    """
    head = open_file.read(HEAD_BYTES)
    if not head or other_thing(head) is not None:
        return False
    open_file.seek(0)
    try:
        with open_container(open_file) as container:
            if container.format.name.endswith("_pipe"):
                return False
            still = Disposition.attached_pic | Disposition.timed_thumbnails
            moving = [s for s in container.streams.video if not s.disposition & still]
            return bool(moving) and next(container.decode(moving[0]), None) is not None
    except (av.error.FFmpegError, IndexError, UnicodeDecodeError, ValueError):
        return False


def _has_no_pictures(open_file: BinaryIO) -> bool:
    with (
        contextlib.suppress(av.error.FFmpegError, IndexError, UnicodeDecodeError),
        open_container(open_file) as container,
    ):
        return bool(container.streams)
    return False


def missing_bytes(open_file: BinaryIO) -> int:
    """Bytes missing at the end of a Matroska or WebM file; 0 where unknown.

    Decoders do not notice a missing last second.

    Args:
        open_file: Its bytes, at the start.
    """
    head = open_file.read(HEAD_BYTES)
    if not head.startswith(b"\x1aE\xdf\xa3"):
        return 0
    start, length = _length(head, 4)
    segment = start + length
    if head[segment : segment + 4] != b"\x18S\x80g":
        return 0
    start, length = _length(head, segment + 4)
    return max(0, start + length - open_file.seek(0, 2))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Start of the content of a Matroska element, and its length; 0 where it is left open."""
    if at >= len(data) or data[at] == 0:
        return at, 0
    count = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + count], "big") & ((1 << 7 * count) - 1)
    unknown = value == (1 << 7 * count) - 1
    return at + count, 0 if unknown else value


def _missing_boxes(open_file: BinaryIO, head: bytes) -> int:
    """Bytes missing at the end of the last box of an MP4 or MOV file; 0 where it is complete."""
    if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return 0
    end = open_file.seek(0, 2)
    at = 0
    while at + 8 <= end:
        open_file.seek(at)
        box = open_file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:  # a large box has its length after its name
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 means to the end of the file; other values are invalid
            return 0
        at += length
    return max(0, at - end)
