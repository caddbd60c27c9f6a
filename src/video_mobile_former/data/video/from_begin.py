"""All frames of a video one after another, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from ...errors import VideoError
from .backend import Reading
from .media import READ_ERRORS, open_video, pixel_shape, read_media, time_base, time_origin
from .packets import Unreadable, is_end
from .picture import Converter
from .reader import VideoReader

_TOGETHER = 64
"""Frames that a reader which jumps is asked for at once."""


class DecodedFrame:
    """A frame that is converted only where it is needed; good until the next one is asked for."""

    def __init__(self, frame: VideoFrame, converters: dict[int, Converter], pixel_shape: float):
        self._frame, self._converters, self._shape = frame, converters, pixel_shape

    def rgb(self, short_side: int) -> np.ndarray:
        """``(H, W, 3)`` uint8, upright, with its short side at so many pixels."""
        convert = self._converters.get(short_side)
        if convert is None:
            convert = self._converters[short_side] = Converter(short_side)
            convert.pixel_shape = self._shape
        return convert(self._frame)


def duration_of(path: str | Path, reading: Reading | None = None) -> float:
    """Seconds from the first frame to the last, by the packets, without decoding.

    Raises:
        VideoError: If the file is missing, no video, cut off or broken.
    """
    with VideoReader(path, reading=reading) as reader:
        times = reader.timestamps()
    return float(times[-1] - times[0]) if len(times) else 0.0


def frames_from_begin(
    path: str | Path, reading: Reading | None = None
) -> Iterator[tuple[float, DecodedFrame | np.ndarray]]:
    """Decode a video from its begin to its end.

    Args:
        path: A local file, a URL, or a folder of pictures.
        reading: Backend and frame rate; None takes the defaults.

    Yields:
        Times in seconds on the clock of :class:`~.reader.VideoReader`, and frames: converted when
        asked for, or ``(H, W, 3)`` uint8 where pictures of a folder or another backend are read.

    Raises:
        VideoError: If it cannot be decoded, or too many of its packets cannot.
    """
    reading = reading or Reading()
    if reading.backend == "pyav" and not Path(path).is_dir():
        yield from _decoded(str(path), reading)
        return
    with VideoReader(path, reading=reading) as reader:
        times = reader.timestamps()
        for first in range(0, len(times), _TOGETHER):
            some = times[first : first + _TOGETHER]
            frames = reader.frames(some).permute(0, 2, 3, 1).numpy()
            yield from zip(some.tolist(), frames, strict=True)


def _decoded(path: str, reading: Reading) -> Iterator[tuple[float, DecodedFrame]]:
    media = read_media(path)
    container, stream = open_video(media)
    base, origin, shape = time_base(stream), time_origin(container, stream), pixel_shape(stream)
    unreadable = Unreadable(media.path, stream, reading.damaged_share)
    converters: dict[int, Converter] = {}
    packets, count = stream.frames or 0, 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0 and not is_end(packet):
                continue
            count += 1
            try:
                frames = packet.decode()
            except READ_ERRORS:
                unreadable.note(packet, max(packets, count), "frames")
                continue
            for frame in frames:
                if frame.pts is not None:
                    seconds = (frame.pts - origin) * base.numerator / base.denominator
                    yield seconds, DecodedFrame(frame, converters, shape)
    except READ_ERRORS as error:
        if not reading.partial:
            text = f"damaged: {count} packets decode, then no more"
            raise VideoError(media.path, text) from error
    finally:
        container.close()
