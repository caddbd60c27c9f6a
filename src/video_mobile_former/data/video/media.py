"""Opening a video file and choosing its pictures, with readable reasons."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ...errors import VideoError
from ..byte_ranges import is_url, open_errors, read_bytes
from ..limits import check_pixels, most_pixels
from .first_bytes import DEMUXERS, HEAD_BYTES, other_thing

# Titles and the like in another encoding than UTF-8 must not make a file unreadable; from version
# 19 on PyAV sees to that itself and no longer knows the option.
_OPEN_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)

READ_ERRORS = (av.error.FFmpegError, IndexError)
"""What PyAV raises while it reads a damaged file; IndexError where the noise announces a stream."""


@dataclass(frozen=True)
class Media:
    """What a video is read from, as often as it is opened."""

    path: str
    """A local file; where ``content`` is given, only its name in messages."""
    content: bytes | None = None
    """The bytes of the video, where they do not make up a local file."""


def read_media(path: str, offset: int | None = None, size: int | None = None) -> Media:
    """Fetch what a path and a range stand for; a whole local file is left where it is.

    Args:
        path: A local file or a URL.
        offset: First byte of the video inside it; None is its start.
        size: Bytes of the video inside it; None is all that follow.

    Raises:
        VideoError: If the bytes cannot be read.
    """
    if offset is None and size is None:
        return Media(path, read_bytes(path) if is_url(path) else None)
    content = read_bytes(path, offset or 0, size)
    return Media(f"{path} (bytes from {offset or 0})", content)


class LocalFile:
    """An open file as FFmpeg reads it: bytes and places, no name that it could derive others from.

    Closed when nothing refers to it any more, which ``container.close()`` sees to.

    Args:
        path: A regular file; anything else is refused without waiting for it.

    Raises:
        VideoError: If it is missing, empty, no regular file or cannot be read.
    """

    def __init__(self, path: str):
        self.name = path
        self._descriptor = -1
        # Opening a pipe of that name would block.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open_errors(path):
            self._descriptor = os.open(path, flags)
            status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(path, "is not a file")
        if status.st_size == 0:
            raise VideoError(path, "the file is empty")

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        return os.read(self._descriptor, size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte; see :meth:`io.IOBase.seek`."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """The byte that is read next."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)


def open_bytes(media: Media) -> LocalFile | io.BytesIO:
    """Open the bytes of a video, at their start.

    Raises:
        VideoError: If it is missing, empty, no regular file or cannot be read.
    """
    if media.content is None:
        return LocalFile(media.path)
    if not media.content:
        raise VideoError(media.path, "the file is empty")
    return io.BytesIO(media.content)


def open_container(file: LocalFile | BinaryIO) -> InputContainer:
    """Open a file with FFmpeg, which can open no other file and no address meanwhile.

    It is given the bytes, not the name; every protocol is refused, and so is every demuxer that
    does not stand in :data:`~.first_bytes.DEMUXERS`.

    Args:
        file: At its start.

    Raises:
        av.error.FFmpegError: If it is no such file.
    """
    # Not as `options`: PyAV before 17 crashes on those with files whose streams show up late.
    return av.open(
        file,
        container_options={"protocol_whitelist": "", "format_whitelist": DEMUXERS},
        **_OPEN_OPTIONS,
    )


def open_video(media: Media) -> tuple[InputContainer, VideoStream]:
    """Open a video and choose its pictures.

    Returns:
        The container, to be closed by the caller, and its first stream of moving pictures, set to
        decode on one core.

    Raises:
        VideoError: If it is missing, is no video, has no video stream or an unknown codec.
    """
    path, file = media.path, open_bytes(media)
    try:
        container = open_container(file)
    except av.error.FFmpegError as error:
        file.seek(0)
        other = other_thing(file.read(HEAD_BYTES))
        what = f" but {other}" if other else ", or damaged or cut off at its begin or end"
        raise VideoError(path, f"not a video file{what}") from error
    try:
        return container, choose_stream(path, container)
    except VideoError:
        container.close()
        raise


def choose_stream(path: str, container: InputContainer) -> VideoStream:
    """The first stream of moving pictures, set to decode on one core.

    Raises:
        VideoError: If there is none, or no decoder for it.
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & still]
    if not streams:
        only = "only sound" if container.streams.audio else "it may be damaged or cut off"
        raise VideoError(path, f"no video stream in it ({only})")
    # A still may come before the moving pictures, as in an animated AVIF.
    stream = next((s for s in streams if s.frames != 1), streams[0])
    if stream.codec_context is None:
        raise VideoError(path, "no decoder for its video codec")
    # One worker process decodes on one core; frame threads would fight over the others.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    most = most_pixels()
    if most is not None:
        check_pixels(stream.codec_context.width, stream.codec_context.height)
        # Pictures may grow later in the stream: the decoder refuses those.
        stream.codec_context.options = {"max_pixels": str(most)}
    return stream


def time_base(stream: VideoStream) -> Fraction:
    """Seconds per tick of a stream."""
    base = stream.time_base
    return Fraction(base.numerator, base.denominator) if base else Fraction(1, av.time_base)


def picture_memory(stream: VideoStream, pictures: int = 2) -> tuple[int, str]:
    """Memory for so many decoded pictures of a stream at the size it announces.

    Returns:
        Bytes, and what they are for in words.
    """
    context = stream.codec_context
    width, height = context.width, context.height
    bits = context.format.padded_bits_per_pixel if context.format else 12
    return pictures * width * height * bits // 8, f"pictures of {width}×{height}"


_PIXEL_SHAPES = (0.2, 5.0)
"""Beyond these a ratio is a mistake, and would ask for pictures of any size."""


def pixel_shape(stream: VideoStream) -> float:
    """Width of a pixel over its height, as a player takes it; 1 where the file does not say."""
    ratio = stream.sample_aspect_ratio
    if not ratio or not _PIXEL_SHAPES[0] <= ratio <= _PIXEL_SHAPES[1]:
        return 1.0
    return float(ratio)


def time_origin(container: InputContainer, stream: VideoStream) -> int:
    """Tick of a stream at which a player's clock shows 0: the start of the whole file."""
    base = time_base(stream)
    first = stream.start_time or 0
    if container.start_time is None:
        return first
    begin = Fraction(container.start_time, av.time_base)
    # The start of the container is rounded to microseconds; do not carry that into time stamps.
    return first if abs(first * base - begin) < Fraction(1, 1000) else round(begin / base)
