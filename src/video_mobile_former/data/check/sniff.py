"""Why something is no video: what its first bytes say it is instead."""

from __future__ import annotations

import contextlib
from typing import BinaryIO

import av
import av.error
from av.stream import Disposition

# The first bytes of what ends up in folders of videos under the name of one.
_BEGINNINGS = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"RIFF????WEBP", "a WebP picture"),
    (b"BM", "a BMP picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite", "a database"),
    (b"\x7fELF", "a program"),
)
_HEAD_BYTES = 4096
_TEXT = frozenset(b"\t\n\r\x1b") | frozenset(range(32, 127)) | frozenset(range(128, 256))


def not_a_video(open_file: BinaryIO, reason: str) -> tuple[str, str]:
    """Say what kind of fault keeps a file from being opened as a video.

    Args:
        open_file: Its bytes, at the begin.
        reason: What the reader said of it.

    Returns:
        A kind of fault and one phrase: ``"no video stream"``, ``"not a video"``, ``"truncated"``
        or, where nothing better is known, ``"unreadable"``.
    """
    head = open_file.read(_HEAD_BYTES)
    other = _other_thing(head)
    if other is not None:
        return "not a video", f"not a video but {other}"
    if not head.strip(b"\0"):
        return "unreadable", "it begins with nothing but zero bytes"
    missing = _missing_boxes(open_file, head)
    if missing:
        return "truncated", f"the file is cut off: {missing} bytes are missing at its end"
    open_file.seek(0)
    if _has_no_pictures(open_file):
        return "no video stream", reason
    return "unreadable", reason


def is_video(open_file: BinaryIO) -> bool:
    """Whether a file that does not look like one by its name is a video all the same.

    Args:
        open_file: Its bytes, at the begin.
    """
    head = open_file.read(_HEAD_BYTES)
    if not head or _other_thing(head) is not None:
        return False
    open_file.seek(0)
    try:
        with av.open(open_file, container_options={"protocol_whitelist": ""}) as container:
            if container.format.name.endswith("_pipe") or container.format.name == "tty":
                return False
            still = Disposition.attached_pic | Disposition.timed_thumbnails
            moving = [s for s in container.streams.video if not s.disposition & still]
            return bool(moving) and next(container.decode(moving[0]), None) is not None
    except (av.error.FFmpegError, IndexError, UnicodeDecodeError, ValueError):
        return False


def _other_thing(head: bytes) -> str | None:
    for begin, what in _BEGINNINGS:
        if len(head) >= len(begin) and all(
            wanted in (ord("?"), found) for wanted, found in zip(begin, head, strict=False)
        ):
            return what
    if head and all(byte in _TEXT for byte in head):
        lowered = head.lstrip().lower()
        page = lowered.startswith((b"<!doctype html", b"<html"))
        return "a web page" if page else "text"
    return None


def _has_no_pictures(open_file: BinaryIO) -> bool:
    with (
        contextlib.suppress(av.error.FFmpegError, IndexError, UnicodeDecodeError),
        av.open(open_file, container_options={"protocol_whitelist": ""}) as container,
    ):
        return bool(container.streams) and container.format.name != "tty"
    return False


def missing_bytes(open_file: BinaryIO) -> int:
    """By how much a Matroska or WebM file ends before it should; 0 where that is not known.

    Its last second is easily lost without any decoder noticing.

    Args:
        open_file: Its bytes, at the begin.
    """
    head = open_file.read(_HEAD_BYTES)
    if not head.startswith(b"\x1aE\xdf\xa3"):
        return 0
    start, length = _length(head, 4)
    segment = start + length
    if head[segment : segment + 4] != b"\x18S\x80g":
        return 0
    start, length = _length(head, segment + 4)
    return max(0, start + length - open_file.seek(0, 2))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where an element of Matroska begins behind its length, and that; 0 where it is left open."""
    if at >= len(data) or data[at] == 0:
        return at, 0
    count = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + count], "big") & ((1 << 7 * count) - 1)
    unknown = value == (1 << 7 * count) - 1
    return at + count, 0 if unknown else value


def _missing_boxes(open_file: BinaryIO, head: bytes) -> int:
    """By how much an MP4 or MOV file ends before its last box does; 0 where it does not."""
    if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return 0
    end = open_file.seek(0, 2)
    at = 0
    while at + 8 <= end:
        open_file.seek(at)
        box = open_file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:  # a large box has its length behind its name
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 means to the end of the file; less makes no sense
            return 0
        at += length
    return max(0, at - end)
