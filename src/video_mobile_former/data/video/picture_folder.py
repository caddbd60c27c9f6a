"""A video kept as a folder of numbered pictures."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ...errors import VideoError
from ...text import natural_key
from ..byte_ranges import read_bytes
from ..limits import check_time
from ..suffixes import PICTURE_SUFFIXES
from .media import READ_ERRORS
from .packets import PacketTable
from .picture import Converter

_DECODERS: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "mjpeg",
    b"\x89PNG": "png",
    b"RIFF": "webp",
    b"BM": "bmp",
}
"""First bytes of a picture and FFmpeg's decoder: endings are sometimes wrong."""


_USUAL = ("img", "image", "images", "rgb", "frame", "frames", "color", "colour")
"""Names of the pictures of a video where others are beside them."""
_NUMBERED = re.compile(r"(?P<stem>.*?)[-_. ]?(?P<number>\d+(?:\.\d+)?)")


def picture_names(folder: str | Path) -> list[str]:
    """Names of the pictures of a video in the order of their numbers.

    Hidden and other files are passed over. Of several numbered sequences, such as ``img_``,
    ``flow_x_`` and ``flow_y_``, the one with a usual name for pictures is the video. Pictures
    without numbers do not belong to it, unless no picture has one.

    Raises:
        VideoError: If the folder cannot be read, or holds several sequences, none with a usual
            name; names them.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise VideoError(folder, f"cannot be read: {error.strerror}") from error
    found = (name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES)
    pictures = [name for name in found if not name.startswith(".")]
    sequences = _sequences(pictures)
    if not sequences:
        return sorted(pictures, key=natural_key)
    usual = [kind for kind in sequences if re.sub(r"[\W\d_]+", "", kind) in _USUAL]
    if len(sequences) > 1 and len(usual) != 1:
        kinds = ", ".join(f"{kind or 'numbers'} ({len(sequences[kind])})" for kind in sequences)
        raise VideoError(
            folder, f"pictures of several sequences: {kinds}; keep each in a folder of its own"
        )
    numbers = sequences[usual[0] if len(sequences) > 1 else next(iter(sequences))]
    if any("." in number for number in numbers.values()):
        return sorted(numbers, key=lambda name: (Decimal(numbers[name]), name))
    return sorted(numbers, key=natural_key)


def _sequences(pictures: list[str]) -> dict[str, dict[str, str]]:
    """The numbers of pictures by sequence and name; a sequence has at least two pictures.

    Beginnings that differ in digits alone (a date, a shot) go on where the other ends, unless both
    have the very same numbers, as those of two cameras.
    """
    by_stem: dict[str, dict[str, str]] = {}
    for name in sorted(pictures, key=natural_key):
        match = _NUMBERED.fullmatch(Path(name).stem)
        if match is not None:
            by_stem.setdefault(match["stem"].casefold(), {})[name] = match["number"]
    found: dict[str, dict[str, str]] = {}
    for stem, numbers in by_stem.items():
        letters = re.sub(r"[\W\d_]+", " ", stem).strip()
        known = found.get(letters)
        if known is None:
            found[letters] = dict(numbers)
        elif letters and len(numbers) > 1 and set(numbers.values()) <= set(known.values()):
            found[stem] = numbers
        else:
            known |= numbers
    return {kind: numbers for kind, numbers in found.items() if len(numbers) > 1}


class FrameFolder:
    """The pictures of a folder, evenly timed; see :class:`~.backend.FrameSource`.

    Args:
        path: The folder.
        frame_rate: Pictures per second.

    Raises:
        VideoError: If it holds no pictures or cannot be read.
    """

    origin = 0

    def __init__(self, path: str, frame_rate: float):
        self.path = path
        self.base = 1 / Fraction(frame_rate).limit_denominator(1_000_000)
        self.codec = ""
        self._names = picture_names(path)
        if not self._names:
            kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
            raise VideoError(path, f"a folder without pictures ({kinds})")

    def close(self) -> None:
        """Nothing stays open between pictures."""

    def read_table(self, start: int | None = None, end: int | None = None) -> PacketTable:
        """Number the pictures, one a tick; a folder is always listed as a whole."""
        ticks = np.arange(len(self._names), dtype=np.int64)
        return PacketTable(ticks, ticks, "time", whole=True)

    def pictures(self, ranks: np.ndarray, table: PacketTable, convert: Converter) -> np.ndarray:
        """Decode the pictures at these positions, all to the size of the first of them."""
        found = []
        for rank in ranks:
            check_time()
            found.append(convert(self._decode(self._names[rank])))
        return np.stack(found)

    def _decode(self, name: str) -> VideoFrame:
        path = str(Path(self.path, name))
        content = read_bytes(path)
        decoder = next((d for begin, d in _DECODERS.items() if content.startswith(begin)), None)
        if decoder is None:
            empty = "the file is empty" if not content else "not a picture, or of an unknown kind"
            raise VideoError(path, empty)
        self.codec = decoder
        # A new one each time: that of PNG takes a picture for the difference to the one before.
        context = _context(decoder)
        frames: list[VideoFrame] = []
        with contextlib.suppress(*READ_ERRORS):
            frames += context.decode(av.Packet(content))
            frames += context.decode(None)
        if len(frames) != 1 or frames[0].is_corrupt:
            raise VideoError(path, "the picture is damaged or cut off")
        return frames[0]


def _context(decoder: str) -> VideoCodecContext:
    context: Any = av.CodecContext.create(decoder, "r")
    context.thread_count = 1
    # Half a picture must not count as a whole one.
    context.options = {"err_detect": "explode"}
    return cast("VideoCodecContext", context)
