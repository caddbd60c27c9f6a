"""A video kept as a folder of numbered pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
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
"""First bytes of a picture and FFmpeg's decoder: endings lie now and then."""


def picture_names(folder: str | Path) -> list[str]:
    """Names of the pictures in a folder in natural order; hidden and other files are passed over.

    Raises:
        VideoError: If the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise VideoError(folder, f"cannot be read: {error.strerror}") from error
    found = (name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES)
    return sorted((name for name in found if not name.startswith(".")), key=natural_key)


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
    # Half a picture is not to pass for a whole one.
    context.options = {"err_detect": "explode"}
    return cast("VideoCodecContext", context)
